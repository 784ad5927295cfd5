"""One step of EZKL in a process of its own, so that its time and memory can be told apart.

    python ezkl_step.py STEP FOLDER [KEY=VALUE ...]

Prints one JSON object on its last line: the seconds that the call itself took, without the start of
Python, and what the step has to say.
"""

import inspect
import json
import pathlib
import sys
import time

import ezkl


class Files:
    """Where each file of one model lies."""

    def __init__(self, folder):
        folder = pathlib.Path(folder)
        self.folder = folder
        self.model = str(folder / "network.onnx")
        self.calibration = str(folder / "calibrate.json")
        self.input = str(folder / "input.json")
        self.settings = str(folder / "settings.json")
        self.compiled = str(folder / "network.ezkl")
        self.proving_key = str(folder / "pk.key")
        self.verifying_key = str(folder / "vk.key")
        self.witness = str(folder / "witness.json")
        self.proof = str(folder / "proof.json")


def settings(files):
    """Visibilities as ours: input and output public, weights fixed in the verifying key."""
    arguments = ezkl.PyRunArgs()
    arguments.input_visibility = "public"
    arguments.output_visibility = "public"
    arguments.param_visibility = "fixed"
    return ezkl.gen_settings(files.model, files.settings, py_run_args=arguments)


def calibrate(files, target, max_logrows):
    return ezkl.calibrate_settings(
        files.calibration, files.model, files.settings, target, max_logrows=int(max_logrows)
    )


def compile_circuit(files):
    return ezkl.compile_circuit(files.model, files.compiled, files.settings)


def srs(files, path, logrows):
    """A reference string made here: as large as a ceremony's, and worth nothing but to measure."""
    return ezkl.gen_srs(path, int(logrows))


def setup(files, srs):
    return ezkl.setup(files.compiled, files.verifying_key, files.proving_key, srs)


def witness(files):
    return ezkl.gen_witness(files.input, files.compiled, files.witness)


def prove(files, srs):
    return ezkl.prove(files.witness, files.compiled, files.proving_key, files.proof, srs)


def verify(files, srs):
    if not ezkl.verify(files.proof, files.settings, files.verifying_key, srs):
        raise RuntimeError("the proof was refused")


def outputs(files, rows):
    """The dequantised outputs of every row of `rows`."""
    found = []
    place, answer = files.folder / "agree-input.json", files.folder / "agree-witness.json"
    for row in json.loads(pathlib.Path(rows).read_text()):
        place.write_text(json.dumps({"input_data": [row]}))
        finished(ezkl.gen_witness(str(place), files.compiled, str(answer)))
        (logits,) = json.loads(answer.read_text())["pretty_elements"]["rescaled_outputs"]
        found.append([float(value) for value in logits])
    return found


def finished(answer):
    """The answer of a call, awaited where this version of EZKL has it asynchronous."""
    if not inspect.isawaitable(answer):
        return answer
    import asyncio

    async def wait():
        return await answer

    return asyncio.run(wait())


STEPS = {
    "settings": settings,
    "calibrate": calibrate,
    "compile": compile_circuit,
    "srs": srs,
    "setup": setup,
    "witness": witness,
    "prove": prove,
    "verify": verify,
    "outputs": outputs,
}


def main():
    name, folder, *rest = sys.argv[1:]
    arguments = dict(argument.split("=", 1) for argument in rest)
    start = time.perf_counter()
    answer = finished(STEPS[name](Files(folder), **arguments))
    report = {"seconds": time.perf_counter() - start}
    if name == "outputs":
        report["outputs"] = answer
    elif answer is False:
        raise RuntimeError(f"EZKL's {name} answered False")
    print("\n" + json.dumps(report))


if __name__ == "__main__":
    main()
