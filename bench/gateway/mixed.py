#!/usr/bin/env python3
"""Measures transactions whose items are certified differently: what the whole takes beyond its slowest chain, and
what a prover at work costs the signed items beside it."""

import argparse
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

import processes
from run import target

# The account that pays for transactions; the load's payers are others.
ACCOUNT = "2"


def main():
    args = arguments()
    with tempfile.TemporaryDirectory(prefix="assay-mixed-") as folder:
        folder = pathlib.Path(folder)
        chain = processes.devchain(args.assay, folder)
        try:
            with_gateway(args, folder, chain)
        finally:
            chain.stop()
    return 0


def arguments():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--assay", default=target() / "release/assay", help="the binary")
    parser.add_argument("--load", default=target() / "release/examples/paid_load")
    parser.add_argument("--proven", type=int, default=256, help="inferences in the proof")
    parser.add_argument("--repeat", type=int, default=15, help="transactions of each kind, in turns")
    parser.add_argument("--rate", type=float, default=50, help="signed requests a second")
    parser.add_argument("--for", dest="duration", default="4s", help="for how long, each time")
    parser.add_argument("--every", type=float, default=0.5, help="seconds from one transaction beside it to the next")
    parser.add_argument("--rounds", type=int, default=9, help="with the prover and without, in turns")
    return parser.parse_args()


def with_gateway(args, folder, chain):
    settings = {"ASSAY_TEE_ATTESTER": "simulated-nitro"}
    gateway = processes.gateway(args.assay, folder, chain, settings)
    try:
        root = folder / "data/tee/simulated-nitro/root.pem"
        buy = [args.assay, "buy", "--gateway", gateway.told["gateway"], "--json",
               "--development-account", ACCOUNT, "--development-root", root, "--max-amount", "1000000000"]
        whole(args, folder, buy)
        beside(args, folder, chain, gateway, buy)
    finally:
        gateway.stop()


def whole(args, folder, buy):
    """A proof by itself, and the same proof within a transaction by all methods, in turns."""
    proof = items_by("zkml", args.proven)
    others = items_by("signed", 5) + items_by("tee", 2)
    kinds = {"proof": proof, "mixed": proof + others}
    files = {kind: transaction(folder / f"{kind}.toml", items) for kind, items in kinds.items()}
    took = {kind: [] for kind in kinds}
    for kind, file in files.items():
        purchase(buy, file)
    for _ in range(args.repeat):
        for kind, file in files.items():
            took[kind].append(purchase(buy, file)["answeredInMicroseconds"] / 1e3)
    middle = {kind: statistics.median(times) for kind, times in took.items()}
    more = statistics.median(b / a for a, b in zip(took["proof"], took["mixed"]))
    print(f"a proof of {args.proven} inferences: {middle['proof']:.1f} ms; with {len(others)} items by other "
          f"methods: {middle['mixed']:.1f} ms; the median of {args.repeat} pairs: {(more - 1) * 100:+.1f} %",
          flush=True)


def beside(args, folder, chain, gateway, buy):
    """Signed requests by themselves, beside transactions of many signed items, and beside as many with a proof of
    as many inferences, in turns."""
    length = ["--rate", args.rate, "--for", args.duration]
    load = processes.load(args, folder, chain, gateway, "digits", "signed", length)
    besides = {"alone": None, "signed": transaction(folder / "signed.toml", items_by("signed", args.proven)),
               "proof": folder / "proof.toml"}
    found = {kind: [] for kind in besides}
    for _ in range(args.rounds):
        for kind, file in besides.items():
            before = prover_seconds(gateway)
            took, made = busy(args, load, buy, file)
            prover = (prover_seconds(gateway) - before) / took["seconds"]
            found[kind].append(took["p50"])
            print(f"signed at {args.rate:g}/s, {kind}: p50 {took['p50']:.2f} ms, p90 {took['p90']:.2f} ms; "
                  f"{made} transactions beside it, {prover:.2f} cores to the prover", flush=True)
    for kind, than in [("signed", "alone"), ("proof", "alone"), ("proof", "signed")]:
        ratio = statistics.median(a / b for a, b in zip(found[kind], found[than]))
        print(f"the median of {args.rounds} rounds, of p50: {kind} over {than} {(ratio - 1) * 100:+.1f} %")


def busy(args, load, buy, file):
    """The latency of a load while a transaction is bought again and again, and how often it was."""
    if file is None:
        return latency(load), 0
    made = []

    def step():
        begun = time.monotonic()
        made.append(purchase(giving_way(buy), file))
        time.sleep(max(0, begun + args.every - time.monotonic()))

    with processes.Meanwhile(0, step):
        return latency(load), len(made)


def prover_seconds(gateway):
    threads = processes.cpu_by_thread(gateway.pid).items()
    return sum(seconds for name, seconds in threads if name.startswith("prover-"))


def latency(load):
    ran = subprocess.run(load, capture_output=True)
    if ran.returncode != 0:
        raise RuntimeError(f"the load ended with {ran.returncode}: {ran.stderr.decode()}")
    report = json.loads(ran.stdout)
    if any(not outcome.startswith("200 ") for outcome in report["outcomes"]):
        print(f"not every request was served: {report['outcomes']}", file=sys.stderr)
    return {**report["latency"], "seconds": report["seconds"]}


def items_by(method, count):
    return [{"id": f"{method}-{index}", "model": "digits", "method": method, "sample": index % 10}
            for index in range(count)]


def giving_way(buy):
    """Whoever buys verifies as well: it only gets what no other process wants, as it is the gateway that is
    measured."""
    return ["chrt", "--idle", "0", *buy]


def transaction(file, items):
    lines = ", ".join("{ " + ", ".join(f"{key} = {json.dumps(value)}" for key, value in item.items()) + " }"
                      for item in items)
    file.write_text(f"items = [{lines}]\n")
    return file


def purchase(buy, file):
    command = [str(part) for part in [*buy, file]]
    ran = subprocess.run(command, capture_output=True, env={**os.environ, "NO_COLOR": "1"})
    # 3: what verifies, but stands on keys that nobody pinned.
    if ran.returncode not in (0, 3):
        raise RuntimeError(f"a purchase ended with {ran.returncode}: {ran.stderr.decode()}")
    return json.loads(ran.stdout)


if __name__ == "__main__":
    sys.exit(main())
