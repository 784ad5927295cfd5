"""Starts and stops the assay binary, and counts what passed."""

import atexit
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
LOOPBACK = "127.0.0.1:0"
START_SECONDS = 30
STOP_SECONDS = 20


def sample(n):
    """The n-th sample of the model `digits`: 64 numbers."""
    samples = json.loads((ROOT / "models/digits/samples.json").read_text(encoding="utf-8"))
    return samples["samples"][n]["data"]


def request(n):
    """The n-th sample of the model `digits` as a request in JSON."""
    tensor = {"name": "image", "shape": [1, 1, 8, 8], "datatype": "FP32", "data": sample(n)}
    return {"inputs": [tensor]}


class Report:
    """One line for each case, and a count at the end."""

    def __init__(self):
        self.passed = self.failed = 0

    def group(self, name, body):
        """Runs cases that stand on one ground; a ground that cannot be laid is a failed case."""
        print(f"\n{name}", flush=True)
        try:
            body()
        except Exception:  # as in a case
            self.fail(name)

    def test(self, name, body):
        """Runs a case and returns what it returns; None when it failed."""
        started = time.monotonic()
        try:
            result = body()
        except Exception:  # a case may fail in any way
            return self.fail(name)
        self.passed += 1
        print(f"ok    {name} ({(time.monotonic() - started) * 1000:.0f} ms)", flush=True)
        return result

    def fail(self, name):
        self.failed += 1
        trace = re.sub("^", " " * 8, traceback.format_exc(), flags=re.M)
        print(f"FAIL  {name}\n{trace}", flush=True)

    def finish(self):
        """Prints the count and returns the exit code."""
        print(f"\n{self.passed} passed, {self.failed} failed", flush=True)
        return 0 if self.passed and not self.failed else 1


class Gateway:
    """`assay serve` with a development chain of its own, in a folder of its own."""

    def __init__(self, binary):
        self.binary = binary
        self.scratch = tempfile.TemporaryDirectory(
            prefix="assay-interop-", ignore_cleanup_errors=True
        )
        self.folder = Path(self.scratch.name)
        self.lines = []
        self.daemon = subprocess.Popen(
            [binary, "serve"],
            cwd=self.folder,
            env=self.environment(
                ASSAY_DATA=str(self.folder / "data"),
                ASSAY_DEVCHAIN_LISTEN=LOOPBACK,
                ASSAY_LISTEN=LOOPBACK,
                ASSAY_MODELS=str(ROOT / "models"),
                ASSAY_TEE_ATTESTER="none",
            ),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=(self.folder / "stderr").open("w"),
            text=True,
        )
        atexit.register(self.daemon.kill)
        self.reader = threading.Thread(
            target=lambda: self.lines.extend(self.daemon.stdout), daemon=True
        )
        self.reader.start()
        self.wait_for(r"^account 9 .*\n")
        self.url = self.wait_for(r"^gateway +(http://127\.0\.0\.1:\d+)$").group(1)
        self.rpc_url = self.wait_for(r"^network +eip155:31337 at (\S+)$").group(1)
        self.pay_to = self.wait_for(r"^paid to +(0x[0-9a-fA-F]{40})$").group(1)
        self.keys = re.findall(r"^account \d .* key (0x[0-9a-f]{64})$", "".join(self.lines), re.M)

    def environment(self, **more):
        """The environment without what would configure an `assay` of the developer's own."""
        own = {name: value for name, value in os.environ.items() if not name.startswith("ASSAY_")}
        return own | {"NO_COLOR": "1"} | more

    def wait_for(self, pattern):
        deadline = time.monotonic() + START_SECONDS
        while not (found := re.search(pattern, "".join(self.lines), re.M)):
            if self.daemon.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"assay serve did not print {pattern}\n{self.output()}")
            time.sleep(0.02)
        return found

    def output(self):
        stderr = (self.folder / "stderr").read_text(encoding="utf-8")
        return "\n".join(("".join(self.lines) + stderr).splitlines()[-30:])

    def stop(self):
        """Sends SIGTERM; it has to end by itself, with exit code 0."""
        self.daemon.send_signal(signal.SIGTERM)
        try:
            code = self.daemon.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.daemon.kill()
            code = "a time-out"
        assert code == 0, f"expected exit code 0 after SIGTERM, got {code}\n{self.output()}"

    def verify(self, bundle, *arguments):
        """(exit code, report) of `assay verify` on the bytes of a bundle."""
        file = self.folder / "bundle.assay"
        file.write_bytes(bundle)
        command = [self.binary, "verify", "--json", str(file), *arguments]
        done = subprocess.run(
            command,
            cwd=self.folder,
            env=self.environment(),
            capture_output=True,
            text=True,
            timeout=30,
        )
        return done.returncode, json.loads(done.stdout) if done.stdout else {"error": done.stderr}

    def assert_simulated(self, bundle, payer, amount, transaction):
        """Asserts that a bundle verifies on a development chain, and is about this payment."""
        code, report = self.verify(bundle)
        assert (code, report.get("verdict")) == (3, "simulated"), report
        payment = report["payment"]
        stated = [payment[key] for key in ["state", "authorized", "settled", "transaction"]]
        assert stated == ["settled", str(amount), str(amount), transaction], payment
        assert payment["payer"].lower() == payer.lower(), payment
        assert payment["payTo"].lower() == self.pay_to.lower(), payment
        return report


def stop_after(seconds):
    """Ends the process, and all that it started, when it is not done in time."""

    def late():
        print(f"FAIL  not done within {seconds} s", flush=True)
        os.kill(os.getpid(), signal.SIGTERM)

    timer = threading.Timer(seconds, late)
    timer.daemon = True
    timer.start()
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: sys.exit(1))
