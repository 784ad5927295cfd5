"""EZKL on one model: calibration, keys, and any number of proofs."""

import json
import pathlib

import process

STEP = pathlib.Path(__file__).resolve().parent / "ezkl_step.py"
# BN254 was made for 128 bits; the attacks on its pairing known since 2016 leave about 100
# (Barbulescu and Duquesne 2019). Soundness is in the algebraic group model, with a trusted setup.
SECURITY_BITS = 100


class Ezkl:
    """Holds one model's folder and collects what each step took."""

    name = "EZKL"

    def __init__(self, python, folder, srs_folder, limits, environment, target):
        self.python = python
        self.folder = folder
        self.srs_folder = srs_folder
        self.limits = limits
        self.environment = environment
        self.target = target
        self.steps = {}

    def step(self, name, **arguments):
        """Runs one step in a process of its own and keeps its cost."""
        pairs = [f"{key}={value}" for key, value in arguments.items()]
        command = [self.python, STEP, name, self.folder, *pairs]
        cost, output = process.run(name, command, self.limits, self.environment)
        report = process.last_object(output)
        self.steps.setdefault(name, []).append(process.record(cost, report["seconds"]))
        return report

    def prepare(self, onnx, inputs):
        """From the ONNX file to both keys."""
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / "network.onnx").write_bytes(onnx.read_bytes())
        # EZKL takes several samples for its calibration as one row, one behind the other.
        samples = [value for row in inputs["calibrate"] for value in row]
        self.write("calibrate.json", {"input_data": [samples]})
        self.write("input.json", {"input_data": [inputs["prove"][0]]})
        self.write("agree.json", inputs["agree"])
        self.step("settings")
        self.step("calibrate", target=self.target)
        self.step("compile")
        self.reference_string()
        self.step("setup", srs=self.srs)

    def reference_string(self):
        """Makes the reference string of the size that the settings ask for, unless it is there."""
        if not self.srs.exists():
            unfinished = self.srs.with_suffix(".unfinished")
            self.step("srs", path=unfinished, logrows=self.settings()["run_args"]["logrows"])
            unfinished.rename(self.srs)

    @property
    def srs(self):
        return self.srs_folder / f"{self.settings()['run_args']['logrows']}.srs"

    def prove(self):
        self.step("witness")
        self.step("prove", srs=self.srs)
        self.step("verify", srs=self.srs)

    def outputs(self):
        """The dequantised outputs of the rows to agree on."""
        return self.step("outputs", rows=self.folder / "agree.json")["outputs"]

    def settings(self):
        return json.loads((self.folder / "settings.json").read_text())

    def facts(self):
        """What is known of the model on this side, as far as the steps came."""
        facts = {"steps": self.steps, "security_bits": SECURITY_BITS}
        if (self.folder / "settings.json").exists():
            settings = self.settings()
            arguments = settings["run_args"]
            facts["settings"] = {
                "target": self.target,
                "logrows": arguments["logrows"],
                "rows": settings["num_rows"],
                "input_scale": arguments["input_scale"],
                "param_scale": arguments["param_scale"],
                "freivalds": not arguments["disable_freivalds"],
                "visibility": {
                    kind: arguments[f"{kind}_visibility"] for kind in ("input", "param", "output")
                },
            }
        if "setup" in self.steps:
            facts["proving_key_bytes"] = (self.folder / "pk.key").stat().st_size
            facts["verifying_key_bytes"] = (self.folder / "vk.key").stat().st_size
            facts["srs_bytes"] = self.srs.stat().st_size
        if "prove" in self.steps:
            proof = json.loads((self.folder / "proof.json").read_text())
            facts["proof_bytes"] = len(proof["proof"])
            facts["proof_file_bytes"] = (self.folder / "proof.json").stat().st_size
        return facts

    def write(self, name, content):
        (self.folder / name).write_text(json.dumps(content))
