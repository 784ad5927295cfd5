"""Runs one command and says what it cost: wall clock, processor time and peak memory."""

import dataclasses
import json
import os
import pathlib
import resource
import select
import signal
import subprocess
import tempfile
import time

WATCH_MILLISECONDS = 100
PAGE = resource.getpagesize()


class Failed(Exception):
    """A step did not end as it should; the text says how, and `step` which."""

    def __init__(self, step, reason):
        super().__init__(f"{step}: {reason}")
        self.step = step
        self.reason = reason


class DoesNotFit(Failed):
    """A step passed the limit on memory or time and was stopped."""


@dataclasses.dataclass(frozen=True)
class Limits:
    """Where a step is stopped."""

    memory_bytes: int
    seconds: float


@dataclasses.dataclass(frozen=True)
class Cost:
    """What one command took, from its start to its end."""

    wall_seconds: float
    cpu_seconds: float
    peak_bytes: int


def resident_bytes(process):
    """What the process holds in memory now, or 0 when it has ended."""
    try:
        fields = pathlib.Path(f"/proc/{process}/statm").read_text().split()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    return int(fields[1]) * PAGE


def run(step, command, limits, environment=None):
    """Runs `command` to its end and returns its Cost and its standard output.

    Raises DoesNotFit where it passed a limit, and Failed where it exited with anything but 0. The
    peak is the kernel's own figure for this one process; it starts at what this runner holds when
    it starts a process (some 20 MB), which is why the runner imports nothing large.
    """
    # Files, not pipes: nothing here reads while the child runs, and no pipe can fill up.
    with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as errors:
        start = time.perf_counter()
        child = subprocess.Popen(
            command, stdout=output, stderr=errors, env=environment, start_new_session=True
        )
        try:
            status, usage = wait(step, child, limits, start)
        finally:
            stop(child)
        cost = Cost(
            wall_seconds=time.perf_counter() - start,
            cpu_seconds=usage.ru_utime + usage.ru_stime,
            peak_bytes=usage.ru_maxrss * 1024,
        )
        if status != 0:
            raise Failed(step, f"exit {status}: {last_line(errors) or last_line(output)}")
        return cost, text(output)


def stop(child):
    """Ends a child that has not ended, with what it started."""
    if child.returncode is None:
        os.killpg(child.pid, signal.SIGKILL)
        child.wait()


def wait(step, child, limits, start):
    """Waits for the child, watching both limits; its exit status and resource usage."""
    handle = os.pidfd_open(child.pid)
    poll = select.poll()
    poll.register(handle, select.POLLIN)
    try:
        while not poll.poll(WATCH_MILLISECONDS):
            watch(step, child, limits, time.perf_counter() - start)
    finally:
        os.close(handle)
    _, status, usage = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    return child.returncode, usage


def watch(step, child, limits, seconds):
    """Raises DoesNotFit where the child is past a limit."""
    held = resident_bytes(child.pid)
    if held > limits.memory_bytes:
        cap = gigabytes(limits.memory_bytes)
        raise DoesNotFit(step, f"passed the limit of {cap} of memory after {seconds:.0f} s")
    if seconds > limits.seconds:
        raise DoesNotFit(step, f"not done after {seconds:.0f} s, with {gigabytes(held)} in memory")


def gigabytes(size):
    return f"{size / 1e9:.1f} GB"


def text(file):
    file.seek(0)
    return file.read().decode(errors="replace")


def last_line(file):
    lines = [line for line in text(file).splitlines() if line.strip()]
    return lines[-1].strip() if lines else ""


def last_object(output):
    """The JSON object on the last line that has one."""
    for line in reversed(output.splitlines()):
        if line.startswith("{"):
            return json.loads(line)
    raise ValueError("the command printed no JSON object")
