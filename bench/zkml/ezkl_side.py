"""EZKL on one model: calibration, keys, and any number of proofs."""

import json
import pathlib

from side import Side

STEP = pathlib.Path(__file__).resolve().parent / "ezkl_step.py"
# BN254 was made for 128 bits; the attacks on its pairing known since 2016 leave about 100
# (Barbulescu and Duquesne 2019). Soundness is in the algebraic group model, with a trusted setup.
SECURITY_BITS = 100


class Ezkl(Side):
    """Each step of EZKL by its Python package."""

    name = "EZKL"

    def __init__(self, python, srs_folder, calibration, *common):
        super().__init__(*common)
        self.python = python
        self.srs_folder = srs_folder
        self.calibration = calibration
        srs_folder.mkdir(exist_ok=True)

    def step(self, name, **arguments):
        pairs = [f"{key}={value}" for key, value in arguments.items()]
        command = [self.python, STEP, name, self.folder, *pairs]
        return self.run(name, command, lambda report: report["seconds"])

    def compile(self, onnx, inputs):
        """From the ONNX file to the circuit."""
        (self.folder / "network.onnx").write_bytes(onnx.read_bytes())
        # EZKL takes several samples for its calibration as one row, one behind the other.
        samples = [value for row in inputs["calibrate"] for value in row]
        self.write("calibrate.json", {"input_data": [samples]})
        self.write("input.json", {"input_data": [inputs["prove"][0]]})
        self.write("agree.json", inputs["agree"])
        self.step("settings")
        self.step("calibrate", **self.calibration)
        self.step("compile")

    def setup(self):
        """Both keys, and a reference string of the size that the settings ask for."""
        if not self.srs().exists():
            unfinished = self.srs().with_suffix(".unfinished")
            self.step("srs", path=unfinished, logrows=self.settings()["run_args"]["logrows"])
            unfinished.rename(self.srs())
        self.step("setup", srs=self.srs())

    def srs(self):
        return self.srs_folder / f"{self.settings()['run_args']['logrows']}.srs"

    def prove(self, rows, sizes):
        """One proof of the first row: EZKL has no batches."""
        self.step("witness")
        self.step("prove", srs=self.srs())
        self.step("verify", srs=self.srs())

    def outputs(self):
        """The dequantised outputs of the rows to agree on."""
        return self.step("outputs", rows=self.folder / "agree.json")["outputs"]

    def settings(self):
        return json.loads((self.folder / "settings.json").read_text())

    def facts(self):
        facts = {"security_bits": SECURITY_BITS}
        if "calibrate" in self.steps:
            facts["settings"] = self.chosen()
        if "setup" in self.steps:
            facts["proving_key_bytes"] = (self.folder / "pk.key").stat().st_size
            facts["verifying_key_bytes"] = (self.folder / "vk.key").stat().st_size
            facts["srs_bytes"] = self.srs().stat().st_size
        if "prove" in self.steps:
            proof = self.folder / "proof.json"
            facts["proof_bytes"] = len(json.loads(proof.read_text())["proof"])
            facts["proof_file_bytes"] = proof.stat().st_size
        return facts

    def chosen(self):
        """What the calibration decided, and the visibilities that were asked for."""
        settings = self.settings()
        arguments = settings["run_args"]
        kinds = ("input", "param", "output")
        return {
            **self.calibration,
            "logrows": arguments["logrows"],
            "rows": settings["num_rows"],
            "input_scale": arguments["input_scale"],
            "param_scale": arguments["param_scale"],
            "freivalds": not arguments["disable_freivalds"],
            "visibility": {kind: arguments[f"{kind}_visibility"].lower() for kind in kinds},
        }
