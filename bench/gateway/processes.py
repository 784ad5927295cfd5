"""Starts what is measured, and reads from /proc what it uses."""

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


class MemoryWatch:
    """Notes every second what processes hold in memory."""

    def __init__(self, pids):
        self.pids = pids
        self.samples = []
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._end.set()
        self._thread.join()
        self.samples.append(self._sample())

    def _sample(self):
        memory = {name: resident_bytes(pid) for name, pid in self.pids.items()}
        return {"at": time.monotonic(), **memory}

    def _run(self):
        self.samples.append(self._sample())
        while not self._end.wait(1):
            self.samples.append(self._sample())
