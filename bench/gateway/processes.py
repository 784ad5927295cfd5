"""Starts what is measured and what loads it, and reads from /proc what a process uses."""

import json
import os
import pathlib
import resource
import signal
import subprocess
import threading
import time

PAGE = resource.getpagesize()
TICKS = os.sysconf("SC_CLK_TCK")


class Started:
    """A process of the binary that says in one line of JSON what it started."""

    def __init__(self, name, command, environment, log):
        self.name = name
        self.log = open(log, "wb")
        self.process = subprocess.Popen(
            [str(part) for part in command],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=self.log,
            env={**os.environ, **environment},
        )
        self.told = json.loads(self._object())

    def _object(self):
        """Reads the first JSON object, which may stretch over lines."""
        text = b""
        while True:
            line = self.process.stdout.readline()
            if not line:
                raise RuntimeError(f"{self.name} ended before it was ready: see {self.log.name}")
            text += line
            try:
                json.loads(text)
                return text
            except json.JSONDecodeError:
                continue

    @property
    def pid(self):
        return self.process.pid

    def stop(self, seconds=120):
        """Ends the process as an operator does, and returns its exit code."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise RuntimeError(f"{self.name} did not end within {seconds} s of SIGTERM") from None
        finally:
            self.process.stdout.close()
            self.log.close()


def devchain(assay, folder):
    """A development chain whose data and log are in a folder."""
    command = [assay, "devchain", "--listen", "127.0.0.1:0", "--data", folder / "chain", "--json"]
    return Started("devchain", command, {}, folder / "devchain.log")


def gateway(assay, folder, chain, settings):
    """A gateway over a chain, with its data and log in a folder, and further environment variables."""
    environment = {
        "ASSAY_LISTEN": "127.0.0.1:0",
        "ASSAY_DATA": str(folder / "data"),
        "ASSAY_RPC_URL": chain.told["rpcUrl"],
        **settings,
    }
    return Started("gateway", [assay, "serve", "--json"], environment, folder / "gateway.log")


def load(args, folder, chain, gateway, model, method, further):
    """The command that loads a gateway with a model's example, which is written into a folder."""
    example = subprocess.run([args.assay, "models", "--example", model], capture_output=True, check=True)
    (folder / "input.json").write_bytes(example.stdout)
    command = [
        args.load, "--gateway", gateway.told["gateway"], "--rpc-url", chain.told["rpcUrl"],
        "--model", model, "--method", method, "--input", folder / "input.json", *further,
    ]
    return [str(part) for part in command]


def resident_bytes(pid):
    """What a process holds in memory now; 0 when it has ended."""
    try:
        return int(pathlib.Path(f"/proc/{pid}/statm").read_text().split()[1]) * PAGE
    except (FileNotFoundError, ProcessLookupError):
        return 0


def cpu_seconds(pid):
    """The processor time of a process until now, as (user, system)."""
    fields = _after_name(pathlib.Path(f"/proc/{pid}/stat"))
    return int(fields[11]) / TICKS, int(fields[12]) / TICKS


def cpu_by_thread(pid):
    """The processor seconds of a process's living threads, summed by their names."""
    seconds = {}
    for folder in pathlib.Path(f"/proc/{pid}/task").iterdir():
        try:
            name = (folder / "comm").read_text().strip()
            fields = _after_name(folder / "stat")
        except (FileNotFoundError, ProcessLookupError):
            continue
        seconds[name] = seconds.get(name, 0) + (int(fields[11]) + int(fields[12])) / TICKS
    return seconds


def written_bytes(pid):
    """What a process caused to be written to the disk, or None where that is not told."""
    try:
        for line in pathlib.Path(f"/proc/{pid}/io").read_text().splitlines():
            if line.startswith("write_bytes:"):
                return int(line.split()[1])
    except (FileNotFoundError, PermissionError, ProcessLookupError):
        pass
    return None


def _after_name(path):
    # The name stands in brackets and may hold anything.
    return path.read_text().rpartition(")")[2].split()


class Meanwhile:
    """Repeats a step in a thread of its own, with pauses, until it is left. It is left with the step's error."""

    def __init__(self, pause, step):
        self._end = threading.Event()
        self._error = None
        self._thread = threading.Thread(target=self._run, args=(pause, step))

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._end.set()
        self._thread.join()
        if self._error:
            raise self._error

    def _run(self, pause, step):
        try:
            step()
            while not self._end.wait(pause):
                step()
        except Exception as error:
            self._error = error


class MemoryWatch:
    """Notes every second, at the beginning and at the end, what processes hold in memory."""

    def __init__(self, pids):
        self.samples = []
        self._pids = pids
        self._meanwhile = Meanwhile(1, self._note)

    def __enter__(self):
        self._meanwhile.__enter__()
        return self

    def __exit__(self, *left):
        self._meanwhile.__exit__(*left)
        self._note()

    def _note(self):
        memory = {name: resident_bytes(pid) for name, pid in self._pids.items()}
        self.samples.append({"at": time.monotonic(), **memory})
