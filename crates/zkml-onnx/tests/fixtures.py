"""Writes what onnxruntime says of the model `digits`, for the tests of this crate.

    pip install onnx==1.23.2 onnxruntime==1.31.1
    python crates/zkml-onnx/tests/fixtures.py

writes into `tests/data` beside it
- `digits-qdq.onnx`: the model quantised by onnxruntime, int8 weights for each channel, uint8
  activations, calibrated on the first 64 samples;
- `digits.json`: of the float model the index of the largest logit of each sample, and of the quantised
  one the logits.
"""

import json
import pathlib

import numpy as np
import onnxruntime as ort
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

HERE = pathlib.Path(__file__).resolve().parent
PACKAGE = HERE.parents[2] / "models" / "digits"
CALIBRATION = 64


class Samples(CalibrationDataReader):
    def __init__(self, images):
        self.images = iter(images)

    def get_next(self):
        image = next(self.images, None)
        return None if image is None else {"image": image}


def logits(path, images):
    session = ort.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return np.stack([session.run(None, {"image": image})[0][0] for image in images])


def main():
    samples = json.loads((PACKAGE / "samples.json").read_text())["samples"]
    images = [np.array(s["data"], dtype=np.float32).reshape(1, 1, 8, 8) for s in samples]
    quantised = HERE / "data" / "digits-qdq.onnx"
    quantize_static(
        PACKAGE / "model.onnx",
        quantised,
        Samples(images[:CALIBRATION]),
        quant_format=QuantFormat.QDQ,
        activation_type=QuantType.QUInt8,
        weight_type=QuantType.QInt8,
        per_channel=True,
    )
    said = {
        "float": logits(PACKAGE / "model.onnx", images).argmax(1).tolist(),
        "quantised": [[round(float(x), 4) for x in row] for row in logits(quantised, images)],
    }
    (HERE / "data" / "digits.json").write_text(json.dumps(said, separators=(",", ":")) + "\n")


if __name__ == "__main__":
    main()
