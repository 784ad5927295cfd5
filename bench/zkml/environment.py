"""The virtual environment of the benchmark, and what there is to say about machine and versions."""

import datetime
import hashlib
import os
import pathlib
import platform
import subprocess
import sys
import time

HERE = pathlib.Path(__file__).resolve().parent
REQUIREMENTS = HERE / "requirements.txt"


def virtual_environment(work):
    """Makes the virtual environment of requirements.txt, unless it stands; its Python."""
    folder = work / "python"
    python = folder / "bin" / "python"
    stamp = folder / "requirements.txt"
    wanted = f"# {sys.version}\n{REQUIREMENTS.read_text()}"
    if not stamp.exists() or stamp.read_text() != wanted:
        subprocess.run([sys.executable, "-m", "venv", "--clear", folder], check=True)
        install = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        subprocess.run([python, *install, "--requirement", REQUIREMENTS], check=True)
        stamp.write_text(wanted)
    return python


def clean(work):
    """The environment of every measured process: EZKL's own folder lies in `work`, too."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("EZKL")}
    home = work / "home"
    home.mkdir(exist_ok=True)
    return {**kept, "HOME": str(home), "EZKL_REPO_PATH": str(home / "ezkl")}


def machine():
    """What the figures depend on besides the programs."""
    return {
        "processor": field("/proc/cpuinfo", "model name"),
        "cores": len(os.sched_getaffinity(0)),
        "vectors": vectors(),
        "memory_bytes": int(field("/proc/meminfo", "MemTotal").split()[0]) * 1024,
        "system": platform.system(),
    }


def vectors():
    """The widest of the vector instructions that either side can use."""
    flags = field("/proc/cpuinfo", "flags").split()
    return next((name for name in ("avx512f", "avx2", "sse2") if name in flags), None)


def available_bytes():
    return int(field("/proc/meminfo", "MemAvailable").split()[0]) * 1024


def busy_cores():
    """How many cores others keep busy, over a second in which nothing of ours runs."""
    before = ticks()
    time.sleep(1)
    idle, total = (after - earlier for after, earlier in zip(ticks(), before))
    return (1 - idle / total) * os.cpu_count()


def ticks():
    """The time that all cores were idle, and all time, since the machine started."""
    line = pathlib.Path("/proc/stat").read_text().split("\n", 1)[0]
    # user, nice, system, idle, iowait, irq, softirq, steal; what follows is in user already.
    times = [int(count) for count in line.split()[1:9]]
    return times[3] + times[4], sum(times)


def now():
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")


def field(path, name):
    """The value of the first line `name: value` of a file of the kernel, or an empty string."""
    for line in pathlib.Path(path).read_text().splitlines():
        key, _, value = line.partition(":")
        if key.strip().lower() == name.lower():
            return value.strip()
    return ""


def versions(assay):
    """Each program's version, as it was pinned or as it says itself."""
    lines = REQUIREMENTS.read_text().splitlines()
    pinned = dict(line.split("==") for line in lines if "==" in line)
    found = {**pinned, "python": platform.python_version(), "commit": commit()}
    if assay is not None:
        found["assay"] = output([assay, "--version"])
    return found


def digest(binary):
    """A binary's name and what is in it: two builds of one version say the same of themselves."""
    with binary.open("rb") as file:
        return {"file": binary.name, "sha256": hashlib.file_digest(file, "sha256").hexdigest()}


def commit():
    """The commit of this repository, with a mark where files differ from it."""
    return output(["git", "-C", HERE, "describe", "--always", "--dirty", "--abbrev=12"])


def output(command):
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return done.stdout.strip()
