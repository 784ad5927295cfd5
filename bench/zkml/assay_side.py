"""Assay on one model, by its command line as a user has it."""

from process import Failed
from side import Side


class Assay(Side):
    """Each command of `assay zkml`."""

    name = "Assay"

    def __init__(self, binary, *common, name="Assay", mode=None):
        super().__init__(*common)
        self.name = name
        self.mode = ["--mode", mode] if mode else []
        self.binary = binary
        self.model = self.folder / "network.zkml"
        # `compile` writes the verifying file beside the program.
        self.key = self.folder / "network.vk"
        self.proof_bytes = {}
        self.stated = {}

    def command(self, step, verb, *arguments):
        """Runs one command; its own figure for the time is in milliseconds."""

        def inside(report):
            return report[f"{verb}_ms"] / 1000 if f"{verb}_ms" in report else None

        report = self.run(step, [self.binary, "zkml", verb, *arguments, "--json"], inside)
        for name in ("security_bits", "model_id", "float_us"):
            if name in report:
                self.stated[name] = report[name]
        return report

    def compile(self, onnx, inputs):
        """From the ONNX file to the program that proves and the file that verifies."""
        calibrate = self.rows("calibrate", inputs["calibrate"])
        self.rows("agree", inputs["agree"])
        self.onnx = onnx
        self.command("compile", "compile", onnx, "--calibrate", calibrate, "--out", self.model,
                     *self.mode)
        for file in (self.model, self.key):
            if not file.is_file():
                raise Failed("compile", f"wrote no {file.name}")

    def setup(self):
        """Nothing: there is no proving key."""

    def prove(self, rows, sizes):
        """A proof of one row, and one for each size of a batch."""
        for size in [1, *sizes]:
            if size <= len(rows):
                self.prove_and_verify(rows[:size])

    def prove_and_verify(self, rows):
        """One proof for all of `rows`, and its verification with the outputs that `prove` gave."""
        size = len(rows)
        inputs = self.rows(f"input-{size}", rows)
        proof = self.folder / f"{size}.proof"
        output = self.folder / f"output-{size}.json"
        arguments = [self.model, "--input", inputs, "--out", proof, "--output", output,
                     "--clamp"]
        # Whether the proof is good is the next command's to say.
        self.command(f"prove-{size}", "prove", *arguments, "--no-check")
        self.proof_bytes[str(size)] = proof.stat().st_size
        arguments = ["--key", self.key, "--input", inputs, "--output", output, proof, "--clamp"]
        self.command(f"verify-{size}", "verify", *arguments)

    def outputs(self):
        """The dequantised outputs of the rows to agree on."""
        agree = self.folder / "agree.json"
        arguments = [self.model, "--input", agree, "--against", self.onnx, "--clamp"]
        report = self.command("run", "run", *arguments)
        return report["output"]

    def facts(self):
        facts = {**self.stated, "proof_bytes": self.proof_bytes}
        if "compile" in self.steps:
            facts["program_bytes"] = self.model.stat().st_size
            facts["verifying_key_bytes"] = self.key.stat().st_size
        return facts

    def rows(self, name, rows):
        return self.write(f"{name}.json", {"input_data": rows})
