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

import environment
import process
import report
from assay_side import Assay
from ezkl_side import Ezkl
from side import Surroundings, say

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
MODELS = ["mlp", "lenet", "cnn-62k", "cnn-256k", "dense", "mobilenet", "resnet18"]
# EZKL's keys for the largest that it was given, 3 million multiplications, are 13 GB; these take 570
# million and 1.8 billion.
WITHOUT_EZKL = ["mobilenet", "resnet18"]
BUSY = 0.2


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--models", nargs="+", choices=MODELS, default=MODELS, metavar="NAME",
                        help=f"which models (of {', '.join(MODELS)})")
    parser.add_argument("--only", choices=["assay", "ezkl"], help="one side only")
    parser.add_argument("--assay", type=pathlib.Path, default=ROOT / "target/release/assay",
                        help="the binary (default: target/release/assay)")
    parser.add_argument("--before", type=pathlib.Path, metavar="FILE",
                        help="another binary of ours: both are measured in turns")
    parser.add_argument("--mode", choices=["fast", "small"],
                        help="how Assay opens the weights, where it is not the binary's default")
    parser.add_argument("--repeat", type=int, default=9, help="proofs by Assay for a median")
    parser.add_argument("--repeat-ezkl", type=int, default=3, help="proofs by EZKL for a median")
    parser.add_argument("--batches", type=int, nargs="+", default=[8, 64],
                        help="rows in one proof by Assay, besides 1")
    parser.add_argument("--agree", type=int, default=100, help="inputs to compare the argmax on")
    parser.add_argument("--calibrate", type=int, default=16, help="inputs to calibrate on")
    parser.add_argument("--target", choices=["resources", "accuracy"], default="resources",
                        help="what EZKL's calibration prefers")
    parser.add_argument("--max-logrows", type=int, default=17,
                        help="EZKL's calibration may choose up to 2^N rows (default: 17)")
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
    if options.before is not None and (options.only == "ezkl" or not options.before.is_file()):
        parser.error("--before is a binary, beside that of --assay")
    # A measured process does not start in the folder that a relative path was given from.
    for name in ("assay", "before", "work", "out"):
        if getattr(options, name) is not None:
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
            "before": None if options.before is None else environment.digest(options.before),
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
        busy = environment.busy_cores()
        if busy > BUSY:
            say(f"others keep {busy:.1f} cores busy, so the times of {name} will be too long")
        onnx, description = self.make(name)
        inputs = description.pop("inputs")
        reference = self.reference(name)
        sides = self.sides(name)
        for side in sides:
            side.attempt(side.compile, onnx, inputs)
            side.attempt(side.agree, reference["outputs"])
            side.attempt(side.setup)
        # The sides take turns, so that neither has the machine at its best.
        for turn in range(max(side.repeat for side in sides)):
            # Nor does the one that always comes first.
            for side in sides if turn % 2 == 0 else reversed(sides):
                if turn < side.repeat:
                    side.attempt(side.prove, inputs["prove"], self.options.batches)
        result = {**description, "busy_cores_before": busy, "float_us": reference["float_us"]}
        result.update({side.name.lower(): side.result() for side in sides})
        if not self.options.keep:
            shutil.rmtree(self.options.work / name)
        return result

    def sides(self, name):
        """The sides that take part, each with a folder of its own for this model."""
        options, folder = self.options, self.options.work / name
        surroundings = Surroundings(self.limits, self.environment)
        sides = []
        if options.only != "ezkl":
            common = [folder / "assay", surroundings, options.repeat]
            sides.append(Assay(options.assay, *common, mode=options.mode))
        if options.before is not None:
            common = [folder / "before", surroundings, options.repeat]
            sides.append(Assay(options.before, *common, name="Before"))
        if options.only != "assay" and name not in WITHOUT_EZKL:
            common = [folder / "ezkl", surroundings, options.repeat_ezkl]
            calibration = {"target": options.target, "max_logrows": options.max_logrows}
            sides.append(Ezkl(self.python, options.work / "srs", calibration, *common))
        return sides

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
