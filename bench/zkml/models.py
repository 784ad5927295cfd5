"""The five models and their inputs, always the same bytes from the same seed.

Untrained: weights are drawn as He et al. 2015 propose, which keeps activations at one scale
through the layers, and no cost measured here depends on what a network has learnt. Inputs are
standard normal, as normalised images are.

    python models.py FOLDER [NAME ...]

writes for each model NAME.onnx, and beside it NAME.json with what it is (weights, multiplications,
digest) and three disjoint sets of inputs, each a list of flattened rows: `calibrate`, `agree` and
`prove`.
"""

import argparse
import hashlib
import json
import pathlib

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

IR_VERSION = 8
OPSET = 17
SEED = 20261121
CLASSES = 10
# Defaults of ONNX, written out as exporters do: EZKL refuses a convolution without them.
PLAIN = {"strides": [1, 1], "pads": [0, 0, 0, 0], "dilations": [1, 1]}


def dense(*widths):
    """Dense layers from widths[0] values to widths[-1], with ReLU between them."""
    return [("dense", width) for width in widths]


def convolutional(first, second, *widths):
    """Two 5x5 convolutions without padding, each with ReLU and 2x2 pooling, then dense layers."""
    return [("conv", first), ("pool",), ("conv", second), ("pool",), ("flatten",), *dense(*widths)]


MODELS = {
    "mlp": ("MLP 784-128-10", [784], dense(128, CLASSES)),
    "lenet": ("LeNet 28x28", [1, 28, 28], convolutional(6, 16, 120, 84, CLASSES)),
    "cnn-62k": ("CNN 32x32x3, 62k", [3, 32, 32], convolutional(6, 16, 120, 84, CLASSES)),
    "cnn-256k": ("CNN 32x32x3, 256k", [3, 32, 32], convolutional(18, 48, 160, 240, CLASSES)),
    "dense": ("dense 5x1024", [1024], dense(1024, 1024, 1024, 1024, CLASSES)),
}


class Builder:
    """Appends layers to a graph and keeps the shape and the costs so far."""

    def __init__(self, shape, random):
        self.shape = shape
        self.random = random
        self.nodes = []
        self.initializers = []
        self.weights = 0
        self.multiplications = 0
        self.last = "input"

    def node(self, operator, shape, *constants, **attributes):
        """Adds one node that reads the last tensor and `constants`."""
        name = f"{operator.lower()}_{len(self.nodes)}"
        inputs = [self.last]
        for suffix, value in zip(("weight", "bias"), constants):
            inputs.append(f"{name}.{suffix}")
            self.initializers.append(numpy_helper.from_array(value, inputs[-1]))
            self.weights += value.size
        self.nodes.append(helper.make_node(operator, inputs, [name], name=name, **attributes))
        self.last, self.shape = name, shape

    def drawn(self, outputs, *inputs):
        """Weights of variance 2 / fan-in, and biases a tenth of that spread."""
        spread = np.sqrt(2.0 / np.prod(inputs))
        weight = spread * self.random.standard_normal((outputs, *inputs))
        bias = 0.1 * spread * self.random.standard_normal(outputs)
        return weight.astype(np.float32), bias.astype(np.float32)

    def conv(self, outputs):
        channels, height, width = self.shape
        shape = [outputs, height - 4, width - 4]
        self.multiplications += int(np.prod(shape)) * channels * 25
        constants = self.drawn(outputs, channels, 5, 5)
        self.node("Conv", shape, *constants, kernel_shape=[5, 5], **PLAIN)
        self.node("Relu", shape)

    def pool(self):
        channels, height, width = self.shape
        shape = [channels, height // 2, width // 2]
        self.node("MaxPool", shape, kernel_shape=[2, 2], **{**PLAIN, "strides": [2, 2]})

    def flatten(self):
        self.node("Flatten", [int(np.prod(self.shape))], axis=1)

    def dense(self, outputs, last):
        (inputs,) = self.shape
        self.multiplications += inputs * outputs
        self.node("Gemm", [outputs], *self.drawn(outputs, inputs), transB=1)
        if not last:
            self.node("Relu", [outputs])


def build(shape, layers, random):
    """The layers as a Builder that has them all."""
    builder = Builder(shape, random)
    for index, (kind, *arguments) in enumerate(layers):
        if kind == "dense":
            arguments.append(index == len(layers) - 1)
        getattr(builder, kind)(*arguments)
    return builder


def to_onnx(name, shape, builder):
    """The bytes of the model file: batch of one, every shape fixed."""
    graph = helper.make_graph(
        nodes=builder.nodes,
        name=name,
        inputs=[helper.make_tensor_value_info("input", TensorProto.FLOAT, [1, *shape])],
        outputs=[helper.make_tensor_value_info(builder.last, TensorProto.FLOAT, [1, CLASSES])],
        initializer=builder.initializers,
    )
    model = helper.make_model(
        graph,
        ir_version=IR_VERSION,
        opset_imports=[helper.make_opsetid("", OPSET)],
        producer_name="assay-bench",
    )
    model = onnx.shape_inference.infer_shapes(model, check_type=True, strict_mode=True)
    onnx.checker.check_model(model, full_check=True)
    return model.SerializeToString(deterministic=True)


def write(folder, name, counts):
    """Writes one model and its inputs; `counts` has the number of rows of each set."""
    title, shape, layers = MODELS[name]
    place = list(MODELS).index(name)
    builder = build(shape, layers, np.random.default_rng([SEED, place]))
    model = to_onnx(name, shape, builder)
    (folder / f"{name}.onnx").write_bytes(model)

    description = {
        "name": name,
        "title": title,
        "input_shape": shape,
        "weights": builder.weights,
        "multiplications": builder.multiplications,
        "onnx_bytes": len(model),
        "onnx_sha256": hashlib.sha256(model).hexdigest(),
        "inputs": {},
    }
    for stream, (purpose, count) in enumerate(counts.items(), start=1):
        random = np.random.default_rng([SEED, place, stream])
        rows = random.standard_normal((count, int(np.prod(shape)))).astype(np.float32)
        description["inputs"][purpose] = rows.tolist()
    (folder / f"{name}.json").write_text(json.dumps(description))


def main():
    parser = argparse.ArgumentParser(description="Writes the models of the benchmark.")
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("names", nargs="*", choices=[[], *MODELS], metavar="NAME")
    parser.add_argument("--calibrate", type=int, default=16)
    parser.add_argument("--agree", type=int, default=100)
    parser.add_argument("--prove", type=int, default=64)
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    counts = {purpose: getattr(options, purpose) for purpose in ("calibrate", "agree", "prove")}
    for name in options.names or MODELS:
        write(options.folder, name, counts)


if __name__ == "__main__":
    main()
