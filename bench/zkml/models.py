"""The models and their inputs, always the same bytes from the same seed.

Untrained: weights are drawn as He et al. 2015 propose, which keeps activations at one scale
through the layers, and no cost measured here depends on what a network has learnt. Inputs are
standard normal, as normalised images are.

    python models.py FOLDER [NAME ...]

writes for each model NAME.onnx, and beside it NAME.json with what it is (weights, multiplications,
digest) and three disjoint sets of inputs, each a list of flattened rows: `calibrate`, `agree` and
`prove`. Of images of 224x224 there are a few of each and one to prove, however many are asked for.
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
# The most rows of a set, for inputs of so many values or more.
LARGE = 100_000
FEW = {"calibrate": 4, "agree": 10, "prove": 1}


def window(side, stride, pad):
    """A square window. Defaults of ONNX are written out, too: EZKL wants them of a convolution."""
    sides = {"kernel_shape": [side] * 2, "strides": [stride] * 2}
    return {**sides, "pads": [pad] * 4, "dilations": [1, 1]}


def dense(*widths):
    """Dense layers from widths[0] values to widths[-1], with ReLU between them."""
    return [("dense", width) for width in widths]


def convolutional(first, second, *widths):
    """Two 5x5 convolutions without padding, each with ReLU and 2x2 pooling, then dense layers."""
    layers = [("conv", first, 5), ("relu",), ("pool", 2, 2), ("conv", second, 5), ("relu",)]
    return [*layers, ("pool", 2, 2), ("flatten",), *dense(*widths)]


def resnet18(classes):
    """He et al. 2016, table 1, with each BatchNormalization folded into its convolution."""
    layers = [("conv", 64, 7, 2, 3), ("relu",), ("pool", 3, 2, 1)]
    for outputs, stride in [(64, 1), (128, 2), (256, 2), (512, 2)]:
        layers += [("residual", outputs, stride), ("residual", outputs, 1)]
    return [*layers, ("average",), ("flatten",), *dense(classes)]


def mobilenet(classes):
    """Howard et al. 2017, table 1: thirteen depthwise convolutions, each with a pointwise one."""
    layers = [("conv", 32, 3, 2, 1), ("relu",)]
    blocks = [(64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2), *[(512, 1)] * 5]
    for outputs, stride in [*blocks, (1024, 2), (1024, 1)]:
        layers += [("depthwise", 3, stride, 1), ("relu",), ("conv", outputs, 1), ("relu",)]
    return [*layers, ("average",), ("flatten",), *dense(classes)]


MODELS = {
    "mlp": ("MLP 784-128-10", [784], dense(128, CLASSES)),
    "lenet": ("LeNet 28x28", [1, 28, 28], convolutional(6, 16, 120, 84, CLASSES)),
    "cnn-62k": ("CNN 32x32x3, 62k", [3, 32, 32], convolutional(6, 16, 120, 84, CLASSES)),
    "cnn-256k": ("CNN 32x32x3, 256k", [3, 32, 32], convolutional(18, 48, 160, 240, CLASSES)),
    "dense": ("dense 5x1024", [1024], dense(1024, 1024, 1024, 1024, CLASSES)),
    "mobilenet": ("MobileNet 224x224x3", [3, 224, 224], mobilenet(1000)),
    "resnet18": ("ResNet-18 224x224x3", [3, 224, 224], resnet18(1000)),
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

    def windows(self, channels, side, stride, pad):
        """The shape behind a window that goes over the last tensor."""
        places = [(extent + 2 * pad - side) // stride + 1 for extent in self.shape[1:]]
        return [channels, *places]

    def conv(self, outputs, side, stride=1, pad=0, groups=1):
        channels = self.shape[0] // groups
        shape = self.windows(outputs, side, stride, pad)
        self.multiplications += int(np.prod(shape)) * channels * side**2
        constants = self.drawn(outputs, channels, side, side)
        group = {"group": groups} if groups > 1 else {}
        self.node("Conv", shape, *constants, **window(side, stride, pad), **group)

    def depthwise(self, side, stride, pad):
        channels = self.shape[0]
        self.conv(channels, side, stride, pad, groups=channels)

    def residual(self, outputs, stride):
        """Two 3x3 convolutions beside a shortcut, which is a 1x1 one where the shape changes."""
        before, shape = self.last, self.shape
        self.conv(outputs, 3, stride, 1)
        self.relu()
        self.conv(outputs, 3, 1, 1)
        long, (self.last, self.shape) = self.last, (before, shape)
        if shape[0] != outputs:
            self.conv(outputs, 1, stride)
        name = f"add_{len(self.nodes)}"
        self.nodes.append(helper.make_node("Add", [long, self.last], [name], name=name))
        self.last = name
        self.relu()

    def relu(self):
        self.node("Relu", self.shape)

    def pool(self, side, stride, pad=0):
        shape = self.windows(self.shape[0], side, stride, pad)
        self.node("MaxPool", shape, **window(side, stride, pad))

    def average(self):
        self.node("GlobalAveragePool", [self.shape[0], 1, 1])

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
    outputs = [1, *builder.shape]
    graph = helper.make_graph(
        nodes=builder.nodes,
        name=name,
        inputs=[helper.make_tensor_value_info("input", TensorProto.FLOAT, [1, *shape])],
        outputs=[helper.make_tensor_value_info(builder.last, TensorProto.FLOAT, outputs)],
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
        if np.prod(shape) >= LARGE:
            count = min(count, FEW[purpose])
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
