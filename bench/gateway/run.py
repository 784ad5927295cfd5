#!/usr/bin/env python3
"""Measures the gateway under paid requests, and keeps what `reconcile.py` needs."""

import argparse
import itertools
import json
import os
import pathlib
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

import processes
import reconcile
from chain import Chain

ROOT = pathlib.Path(__file__).resolve().parents[2]
TOKEN = "0x5fe8d7270f11f9ea5af4d68f6ba63cc478996ee6"


def main():
    args = arguments()
    work = pathlib.Path(args.work or tempfile.mkdtemp(prefix="assay-load-"))
    work.mkdir(parents=True, exist_ok=True)
    results = {"machine": machine(work), "settings": settings(args), "runs": []}
    passed = True
    # Methods take turns, so that what else the machine does falls on each.
    runs = itertools.product(args.rate, range(args.repeat), args.method)
    for rate, repetition, method in runs:
        folder = work / f"rate-{rate:g}-{method}-{repetition}"
        if folder.exists():
            shutil.rmtree(folder)
        folder.mkdir()
        result = {"method": method, **measure(args, rate, method, folder)}
        results["runs"].append(result)
        print(line(result), flush=True)
        if args.out:
            pathlib.Path(args.out).write_text(json.dumps(results, indent=1) + "\n")
        passed = passed and result["reconciled"] is not False
        if not args.keep:
            shutil.rmtree(folder)
    print()
    print(tables(results))
    if not args.keep and not args.work:
        shutil.rmtree(work)
    return 0 if passed else 1


def arguments():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rate", type=float, nargs="+", default=[50], help="requests a second")
    length = parser.add_mutually_exclusive_group()
    length.add_argument("--for", dest="duration", default="30s", help="for how long, as 10m")
    length.add_argument("--count", type=int, help="how many requests in all")
    parser.add_argument("--payers", type=int, default=64)
    parser.add_argument("--durability", default="full", choices=["full", "normal"])
    parser.add_argument("--release", default="settlement", choices=["settlement", "verification"])
    parser.add_argument("--model", default="digits")
    parser.add_argument("--method", nargs="+", default=["signed"], choices=["signed", "tee"],
                        help="several take turns, and the first is what others are compared with")
    parser.add_argument("--repeat", type=int, default=1, help="how often each is measured")
    parser.add_argument("--assay", default=target() / "release/assay", help="the binary")
    parser.add_argument("--load", default=target() / "release/examples/paid_load")
    parser.add_argument("--work", help="where data and logs are kept; on the disk to be measured")
    parser.add_argument("--keep", action="store_true", help="keep data, chain and lines")
    parser.add_argument("--out", help="write the results into this file, as JSON")
    parser.add_argument("--no-reconcile", action="store_true")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE",
                        help="a further environment variable of the gateway")
    return parser.parse_args()


def target():
    return pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))


def settings(args):
    return {
        "durability": args.durability,
        "release": args.release,
        "model": args.model,
        "methods": args.method,
        "payers": args.payers,
        "further": args.set,
    }


def measure(args, rate, method, folder):
    """One run, on a chain and a data folder of its own."""
    chain = processes.devchain(args.assay, folder)
    try:
        keep_beginning(chain.told, folder)
        result = with_gateway(args, rate, method, folder, chain)
        result["reconciled"] = None
        if not args.no_reconcile:
            result["reconciled"] = reconciled(folder, chain.told["rpcUrl"])
        return result
    finally:
        chain.stop()


def keep_beginning(told, folder):
    """Notes every balance before anything is bought."""
    chain = Chain(told["rpcUrl"])
    accounts = [account["address"] for account in told["accounts"]]
    begin = {
        "token": TOKEN,
        "block": chain.head(),
        "supply": str(chain.supply(TOKEN)),
        "balances": {account: str(chain.balance(TOKEN, account)) for account in accounts},
    }
    (folder / "begin.json").write_text(json.dumps(begin, indent=1) + "\n")


def with_gateway(args, rate, method, folder, chain):
    settings = {
        "ASSAY_TEE_ATTESTER": "simulated-nitro" if method == "tee" else "none",
        "ASSAY_DURABILITY": args.durability,
        "ASSAY_RELEASE": args.release,
        **dict(pair.split("=", 1) for pair in args.set),
    }
    gateway = processes.gateway(args.assay, folder, chain, settings)
    try:
        result = with_load(args, rate, method, folder, chain, gateway)
    finally:
        begun = time.monotonic()
        code = gateway.stop()
        stopping = time.monotonic() - begun
    result["gatewayExit"] = code
    result["gatewayStopSeconds"] = stopping
    return result


def with_load(args, rate, method, folder, chain, gateway):
    length = ["--count", args.count] if args.count else ["--for", args.duration]
    further = [
        "--rate", rate, *length, "--payers", args.payers, "--lines", folder / "lines.jsonl",
    ]
    command = processes.load(args, folder, chain, gateway, args.model, method, further)
    load = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    pids = {"gateway": gateway.pid, "devchain": chain.pid, "load": load.pid}
    # The load says on standard error when it begins to send.
    said = b""
    while not said.startswith(b"Sending"):
        said = load.stderr.readline()
        if not said:
            raise RuntimeError(f"the load ended with {load.wait()} before it began")
    before = {name: usage(pid) for name, pid in pids.items()}
    with processes.MemoryWatch(pids) as watch:
        report, complaint = load.stdout.read(), load.stderr.read()
        # A zombie until waited for: its figures can still be read.
        after = {name: usage(pid) for name, pid in pids.items()}
        code = load.wait()
    if code != 0:
        raise RuntimeError(f"the load ended with {code}: {complaint.decode()}")
    report = json.loads(report)
    (folder / "report.json").write_text(json.dumps(report, indent=1) + "\n")
    return {"load": report, "processes": spent(pids, before, after, watch.samples, report)}


def usage(pid):
    user, system = processes.cpu_seconds(pid)
    return {
        "user": user,
        "system": system,
        "threads": processes.cpu_by_thread(pid),
        "written": processes.written_bytes(pid),
    }


def spent(pids, before, after, samples, report):
    """What each process used between the first request and the last answer."""
    requests = report["requests"] or 1
    result = {}
    for name in pids:
        begin, end = before[name], after[name]
        user, system = end["user"] - begin["user"], end["system"] - begin["system"]
        memory = [sample[name] for sample in samples if sample[name]]
        threads = {
            thread: round(seconds - begin["threads"].get(thread, 0), 2)
            for thread, seconds in sorted(end["threads"].items())
        }
        written = [end["written"], begin["written"]]
        result[name] = {
            "cpuSeconds": round(user + system, 2),
            "userSeconds": round(user, 2),
            "systemSeconds": round(system, 2),
            "cpuMillisecondsPerRequest": round((user + system) * 1e3 / requests, 3),
            "cores": round((user + system) / report["seconds"], 2),
            "cpuSecondsByThread": {name: used for name, used in threads.items() if used},
            "writtenBytesPerRequest": None if None in written
            else round((written[0] - written[1]) / requests),
            "memoryBegin": memory[0],
            "memoryMiddle": memory[len(memory) // 2],
            "memoryEnd": memory[-1],
            "memoryPeak": max(memory),
        }
    return result


def reconciled(folder, url):
    """Runs the reconciliation and keeps what it prints. Returns whether all agreed."""
    found = reconcile.reconcile_folder(folder, url)
    (folder / "reconciled.txt").write_text(found.table() + "\n")
    if not found.agrees():
        print(found.table(), file=sys.stderr)
    return found.agrees()


def machine(work):
    names = [
        line.split(":", 1)[1].strip()
        for line in pathlib.Path("/proc/cpuinfo").read_text().splitlines()
        if line.startswith("model name")
    ]
    return {
        "cpu": names[0] if names else platform.machine(),
        "cores": os.cpu_count(),
        "memoryBytes": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        "system": platform.release(),
        "loadAverage": os.getloadavg(),
        "fdatasyncMilliseconds": fdatasync(work),
    }


def fdatasync(folder, count=300):
    """How long the disk takes to keep 4 KiB at the end of a file."""
    taken = []
    with tempfile.TemporaryFile(dir=folder) as file:
        for _ in range(count):
            file.write(bytes(4096))
            file.flush()
            begun = time.perf_counter()
            os.fdatasync(file.fileno())
            taken.append((time.perf_counter() - begun) * 1e3)
    taken.sort()
    return {
        name: round(taken[min(count - 1, int(count * part))], 3)
        for name, part in [("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("max", 1)]
    }


def line(result):
    load = result["load"]
    latency = load["latency"]
    return (
        f"{result['method']}, {load['rateAsked']:g}/s asked: {load['rateReached']:.1f}/s reached, "
        f"p50 {latency['p50']:.1f} ms, p99 {latency['p99']:.1f} ms, {load['outcomes']}"
    )


def tables(results):
    machine, chosen = results["machine"], results["settings"]
    sync = machine["fdatasyncMilliseconds"]
    out = [
        f"{machine['cores']} cores of {machine['cpu']}; fdatasync of 4 KiB p50 {sync['p50']} ms, "
        f"p99 {sync['p99']} ms; durability {chosen['durability']}, release on {chosen['release']}",
        "",
        "| method | asked /s | reached /s | p50 ms | p90 ms | p99 ms | max ms | outcomes | gateway CPU ms | "
        "devchain CPU ms | load CPU ms | cores used | gateway MB begin, middle, end | reconciled |",
        "|---|---|---|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    for run in results["runs"]:
        load, used = run["load"], run["processes"]
        latency = load["latency"]
        memory = " / ".join(
            f"{used['gateway'][f'memory{when}'] / 1e6:.0f}" for when in ("Begin", "Middle", "End")
        )
        cells = [
            run["method"],
            f"{load['rateAsked']:g}",
            f"{load['rateReached']:.1f}",
            *(f"{latency[name]:.1f}" for name in ("p50", "p90", "p99", "max")),
            ", ".join(f"{name}: {count}" for name, count in load["outcomes"].items()),
            *(f"{used[name]['cpuMillisecondsPerRequest']:.2f}"
              for name in ("gateway", "devchain", "load")),
            f"{sum(one['cores'] for one in used.values()):.2f}",
            memory,
            {True: "yes", False: "NO", None: "not asked"}[run["reconciled"]],
        ]
        out.append("| " + " | ".join(cells) + " |")
    return "\n".join(out + differences(results))


def differences(results):
    """What each method takes beyond the first one, in runs beside each other."""
    first, *others = results["settings"]["methods"]
    out = []
    for rate in dict.fromkeys(run["load"]["rateAsked"] for run in results["runs"]):
        p50 = {}
        for run in results["runs"]:
            if run["load"]["rateAsked"] == rate:
                p50.setdefault(run["method"], []).append(run["load"]["latency"]["p50"])
        for method in others:
            more = sorted(one - base for base, one in zip(p50[first], p50[method]))
            out.append(
                f"{method} over {first} at {rate:g}/s: p50 {statistics.median(more):+.2f} ms in the "
                f"median of {len(more)} (from {more[0]:+.2f} to {more[-1]:+.2f})"
            )
    return ["", *out] if out else []


if __name__ == "__main__":
    sys.exit(main())
