"""Measures Assay's zkml method and EZKL on the same models and inputs, in one run.

    cargo build --release && python3 bench/zkml/run.py

makes what it needs below target/zkml-bench, writes bench/zkml/results.json after each model, and
prints the tables. README.md says what is measured and how. Python 3.11 or newer, and only its own
library: packages go into a virtual environment.
"""

import argparse
import json
import pathlib
import shutil
import sys

import environment
import process
import report
from assay_side import Assay
from ezkl_side import Ezkl

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
MODELS = ["mlp", "lenet", "cnn-62k", "cnn-256k", "dense"]
BUSY = 0.5


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--models", nargs="+", choices=MODELS, default=MODELS, metavar="NAME",
                        help=f"which models (of {', '.join(MODELS)})")
    parser.add_argument("--only", choices=["assay", "ezkl"], help="one side only")
    parser.add_argument("--assay", type=pathlib.Path, default=ROOT / "target/release/assay",
                        help="the binary (default: target/release/assay)")
    parser.add_argument("--repeat", type=int, default=9, help="proofs by Assay for a median")
    parser.add_argument("--repeat-ezkl", type=int, default=3, help="proofs by EZKL for a median")
    parser.add_argument("--batches", type=int, nargs="+", default=[8, 64],
                        help="rows in one proof by Assay, besides 1")
    parser.add_argument("--agree", type=int, default=100, help="inputs to compare the argmax on")
    parser.add_argument("--calibrate", type=int, default=16, help="inputs to calibrate on")
    parser.add_argument("--target", choices=["resources", "accuracy"], default="resources",
                        help="what EZKL's calibration prefers")
    parser.add_argument("--memory-gb", type=float, help="where a step is stopped (default: 90 %% "
                        "of what is available)")
    parser.add_argument("--step-minutes", type=float, default=60, help="where a step is stopped")
    parser.add_argument("--work", type=pathlib.Path, default=ROOT / "target/zkml-bench",
                        help="the folder for everything but the results")
    parser.add_argument("--out", type=pathlib.Path, default=HERE / "results.json")
    parser.add_argument("--keep", action="store_true", help="keep keys and proofs")
    options = parser.parse_args()
    if min(options.repeat, options.repeat_ezkl, options.agree, options.calibrate) < 1:
        parser.error("each count is 1 or more")
    if min(options.batches) < 2:
        parser.error("a batch has two rows or more")
    if options.only != "ezkl" and not options.assay.is_file():
        parser.error(f"there is no {options.assay}: `cargo build --release` makes it")
    # A measured process does not start in the folder that a relative path was given from.
    for name in ("assay", "work", "out"):
        setattr(options, name, getattr(options, name).resolve())
    return options


def limits(options):
    memory = environment.available_bytes() * 9 // 10
    if options.memory_gb is not None:
        memory = int(options.memory_gb * 1e9)
    return process.Limits(memory_bytes=memory, seconds=options.step_minutes * 60)


class Bench:
    """What all models share: the options, the limits and the Python with the packages."""

    def __init__(self, options):
        self.options = options
        options.work.mkdir(parents=True, exist_ok=True)
        self.limits = limits(options)
        self.environment = environment.clean(options.work)
        say("packages")
        self.python = environment.virtual_environment(options.work)

    def header(self):
        """What the figures of this run depend on."""
        options = self.options
        return {
            "started": environment.now(),
            "machine": environment.machine(),
            "versions": environment.versions(None if options.only == "ezkl" else options.assay),
            "options": {
                "sides": [options.only] if options.only else ["assay", "ezkl"],
                "repeat": options.repeat,
                "repeat_ezkl": options.repeat_ezkl,
                "batches": options.batches,
                "agree": options.agree,
                "calibrate": options.calibrate,
                "memory_limit_bytes": self.limits.memory_bytes,
                "seconds_limit": self.limits.seconds,
            },
        }

    def model(self, name):
        """Everything about one model."""
        load = environment.load()
        if load > BUSY:
            say(f"{name}: the machine is busy (load {load:.2f}), so its times will be too long")
        onnx, description = self.make(name)
        inputs = description.pop("inputs")
        reference = self.reference(name)
        sides = self.sides(name)
        for side in sides:
            self.attempt(side, "prepare", lambda side=side: side.prepare(onnx, inputs))
        self.prove(sides, inputs["prove"])
        result = {**description, "load_before": load, "float_us": reference["float_us"]}
        for side in sides:
            if side.stopped is None:
                self.attempt(side, "outputs", lambda side=side: self.agree(side, reference))
            result[side.name.lower()] = {**side.facts(), **side.result}
            if not self.options.keep:
                shutil.rmtree(side.folder, ignore_errors=True)
        return result

    def sides(self, name):
        """The sides that take part, each with a folder of its own for this model."""
        options, folder = self.options, self.options.work / name
        sides = []
        if options.only != "ezkl":
            sides.append(Assay(options.assay, folder / "assay", self.limits, self.environment))
        if options.only != "assay":
            srs = options.work / "srs"
            srs.mkdir(exist_ok=True)
            sides.append(Ezkl(self.python, folder / "ezkl", srs, self.limits, self.environment,
                              options.target))
        for side in sides:
            side.stopped, side.result = None, {}
            shutil.rmtree(side.folder, ignore_errors=True)
        return sides

    def prove(self, sides, rows):
        """All proofs: the sides take turns, so that neither has the machine at its best."""
        counts = {"Assay": self.options.repeat, "EZKL": self.options.repeat_ezkl}
        for turn in range(max(counts[side.name] for side in sides)):
            for side in sides:
                if side.stopped is not None or turn >= counts[side.name]:
                    continue
                if side.name == "EZKL":
                    self.attempt(side, f"proof {turn + 1}", side.prove)
                    continue
                for size in [1, *self.options.batches]:
                    what = f"proof {turn + 1} of {size}"
                    self.attempt(side, what, lambda: side.prove(rows[:size]))

    def attempt(self, side, what, action):
        """Does one thing on one side; a side that stops is left out from there on."""
        if side.stopped is not None:
            return
        say(f"  {side.name}: {what}")
        try:
            action()
        except process.Failed as failed:
            side.stopped = failed
            kind = "does_not_fit" if isinstance(failed, process.DoesNotFit) else "failed"
            side.result[kind] = {"step": failed.step, "reason": failed.reason}
            say(f"  {side.name} stops: {failed}")

    def agree(self, side, reference):
        """On how many inputs the greatest output is the same as the float model's."""
        outputs = side.outputs()
        if len(outputs) != len(reference["outputs"]):
            raise process.Failed(
                "outputs", f"{len(outputs)} rows for {len(reference['outputs'])} inputs"
            )
        pairs = list(zip(outputs, reference["outputs"]))
        side.result["agree"] = {
            "inputs": len(pairs),
            "agreed": sum(argmax(ours) == argmax(theirs) for ours, theirs in pairs),
            "greatest_error": max(
                abs(a - b) for ours, theirs in pairs for a, b in zip(ours, theirs, strict=True)
            ),
        }

    def make(self, name):
        """Writes the model and its inputs; the ONNX file and the description."""
        say(name)
        options, folder = self.options, self.options.work / "models"
        counts = {"calibrate": options.calibrate, "agree": options.agree}
        counts["prove"] = max([1, *options.batches])
        flags = [text for key, count in counts.items() for text in (f"--{key}", str(count))]
        command = [self.python, HERE / "models.py", folder, name, *flags]
        process.run("models.py", command, self.limits, self.environment)
        return folder / f"{name}.onnx", json.loads((folder / f"{name}.json").read_text())

    def reference(self, name):
        folder = self.options.work / "models"
        files = [folder / f"{name}.onnx", folder / f"{name}.json"]
        command = [self.python, HERE / "reference.py", *files]
        _, output = process.run("reference.py", command, self.limits, self.environment)
        return process.last_object(output)


def argmax(values):
    return max(range(len(values)), key=values.__getitem__)


def say(text):
    print(text, file=sys.stderr, flush=True)


def main():
    options = arguments()
    bench = Bench(options)
    results = {**bench.header(), "models": []}
    for name in options.models:
        results["models"].append(bench.model(name))
        options.out.write_text(json.dumps(results, indent=1) + "\n")
    print(report.markdown(results))


if __name__ == "__main__":
    main()
