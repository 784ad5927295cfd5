"""Assay on one model, by its command line as a user has it."""

import json

import process


class Assay:
    """Holds one model's folder and collects what each command took."""

    name = "Assay"

    def __init__(self, binary, folder, limits, environment):
        self.binary = binary
        self.folder = folder
        self.limits = limits
        self.environment = environment
        self.model = folder / "network.zkml"
        self.key = folder / "network.key"
        self.steps = {}
        self.reports = {}

    def command(self, step, verb, *arguments, inside=None):
        """Runs one command and keeps its cost; `inside` names its own figure in milliseconds."""
        line = [self.binary, "zkml", verb, *arguments, "--json"]
        cost, output = process.run(step, line, self.limits, self.environment)
        report = process.last_object(output)
        seconds = report[inside] / 1000 if inside in report else None
        self.steps.setdefault(step, []).append(process.record(cost, seconds))
        self.reports[step] = report
        return report

    def prepare(self, onnx, inputs):
        """From the ONNX file to the program that proves and the file that verifies."""
        self.folder.mkdir(parents=True, exist_ok=True)
        calibrate = self.rows("calibrate", inputs["calibrate"])
        self.rows("agree", inputs["agree"])
        arguments = [onnx, "--calibrate", calibrate, "--out", self.model]
        self.command("compile", "compile", *arguments, inside="compile_ms")

    def prove(self, rows):
        """One proof for all of `rows`, and its verification with the outputs that `prove` gave."""
        size = len(rows)
        inputs = self.rows(f"input-{size}", rows)
        proof = self.folder / f"{size}.proof"
        arguments = [self.model, "--input", inputs, "--out", proof]
        report = self.command(f"prove-{size}", "prove", *arguments, inside="prove_ms")
        output = self.write(f"output-{size}", report)
        arguments = ["--key", self.key, "--input", inputs, "--output", output, proof]
        self.command(f"verify-{size}", "verify", *arguments, inside="verify_ms")
        self.reports[f"prove-{size}"]["proof_bytes"] = proof.stat().st_size

    def outputs(self):
        """The dequantised outputs of the rows to agree on."""
        arguments = [self.model, "--input", self.folder / "agree.json"]
        return self.command("run", "run", *arguments)["output"]

    def facts(self):
        """What is known of the model on this side, as far as the commands came."""
        facts = {"steps": self.steps, "proof_bytes": {}}
        if "compile" in self.steps:
            facts["program_bytes"] = self.model.stat().st_size
            facts["verifying_key_bytes"] = self.key.stat().st_size
        for step, report in self.reports.items():
            if step.startswith("prove-"):
                facts["proof_bytes"][step.removeprefix("prove-")] = report["proof_bytes"]
            for name in ("security_bits", "model_id", "float_us"):
                if name in report:
                    facts[name] = report[name]
        return facts

    def rows(self, name, rows):
        return self.write(name, {"input_data": rows})

    def write(self, name, content):
        path = self.folder / f"{name}.json"
        path.write_text(json.dumps(content))
        return path
