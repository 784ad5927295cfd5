"""Writes what onnxruntime says of the model `digits` and of tree ensembles, for the tests of this crate.

    pip install onnx==1.23.2 onnxruntime==1.31.1 scikit-learn==1.9.1 skl2onnx==1.20.0
    python crates/zkml-onnx/tests/fixtures.py

writes into `tests/data` beside it
- `digits-qdq.onnx`: the model quantised by onnxruntime, int8 weights for each channel, uint8
  activations, calibrated on the first 64 samples;
- `digits.json`: of the float model the index of the largest logit of each sample, and of the quantised
  one the logits;
- `forest.onnx`, `boosting.onnx`, `binary.onnx`: a random forest, boosted trees that regress, and
  boosted trees of two classes, as skl2onnx writes them;
- `trees.json`: for each of them inputs, some of whose values are thresholds, and the outputs.
"""

import json
import pathlib

import numpy as np
import onnx
import onnxruntime as ort
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
from skl2onnx import to_onnx
from sklearn.datasets import load_breast_cancer, load_diabetes, load_iris
from sklearn.ensemble import (
    GradientBoostingClassifier,
    GradientBoostingRegressor,
    RandomForestClassifier,
)

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


def trees():
    """Writes the ensembles, and what is said of them."""
    said = {}
    for name, model, load in [
        ("forest", RandomForestClassifier(8, max_depth=5, random_state=1), load_iris),
        ("boosting", GradientBoostingRegressor(n_estimators=20, random_state=1), load_diabetes),
        ("binary", GradientBoostingClassifier(n_estimators=20, random_state=1), load_breast_cancer),
    ]:
        inputs, labels = load(return_X_y=True)
        inputs = inputs.astype(np.float32)
        options = None if name == "boosting" else {"zipmap": False}
        exported = to_onnx(model.fit(inputs, labels), inputs[:1], options=options)
        (HERE / "data" / f"{name}.onnx").write_bytes(exported.SerializeToString())
        rows = at_thresholds(exported, inputs[:: len(inputs) // 40])
        session = ort.InferenceSession(exported.SerializeToString())
        outputs = [session.run(None, {"X": row[None]})[-1].ravel().tolist() for row in rows]
        said[name] = {"inputs": rows.tolist(), "outputs": outputs}
    (HERE / "data" / "trees.json").write_text(json.dumps(said, separators=(",", ":")) + "\n")


def at_thresholds(exported, rows):
    """The rows, each with a few of its values at a threshold of theirs, or next to one."""
    attributes = exported.graph.node[0].attribute
    lists = {a.name: onnx.helper.get_attribute_value(a) for a in attributes}
    asked = zip(lists["nodes_featureids"], lists["nodes_values"], lists["nodes_modes"])
    branches = [(feature, value) for feature, value, mode in asked if mode != b"LEAF"]
    rng = np.random.default_rng(1)
    rows = rows.copy()
    for row in rows:
        for feature, value in rng.permutation(branches)[:4]:
            row[int(feature)] = value
            towards = np.float32(rng.choice([-np.inf, value, np.inf]))
            row[int(feature)] = np.nextafter(row[int(feature)], towards)
    return rows


def main():
    trees()
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
