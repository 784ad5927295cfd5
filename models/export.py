"""From a trained network to an ONNX file that takes raw inputs.

The graph is kept to what every consumer of it can read and what compiles well to an integer
program: Conv, Relu, MaxPool, Flatten and Gemm, a batch of one, every shape fixed, IR version 8,
opset 17.
"""

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

import nn

IR_VERSION = 8
OPSET = 17


def fold_scaling(layer, offset, scale):
    """Weight and bias with which `layer` takes raw inputs instead of (raw - offset) / scale."""
    weight, bias = layer.weights["weight"], layer.weights["bias"]
    if isinstance(layer, nn.Conv3x3):
        # Padding is put around the raw image, so a zero must mean the same before and after.
        if np.any(offset != 0.0):
            raise ValueError("an offset cannot be folded through zero padding")
        return weight / scale, bias
    weight = weight / scale
    return weight, bias - weight @ offset


def node(layer, source, target):
    """The ONNX node that computes `layer`."""
    inputs = [source] + [f"{layer.name}.{key}" for key in layer.weights]
    operator, attributes = {
        nn.Conv3x3: ("Conv", {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1], "strides": [1, 1]}),
        nn.Dense: ("Gemm", {"transB": 1}),
        nn.Relu: ("Relu", {}),
        nn.MaxPool2x2: ("MaxPool", {"kernel_shape": [2, 2], "strides": [2, 2]}),
        nn.Flatten: ("Flatten", {"axis": 1}),
    }[type(layer)]
    return helper.make_node(operator, inputs, [target], name=layer.name, **attributes)


def tensor(name, shape):
    """An input or output of a graph, in single precision."""
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)


def initializers(layers, scaling):
    """Every weight in single precision, the first layer's with the input scaling folded in."""
    tensors = []
    for index, layer in enumerate(layers):
        weights = dict(layer.weights)
        if index == 0:
            weights["weight"], weights["bias"] = fold_scaling(layer, *scaling)
        for key, value in weights.items():
            tensors.append(numpy_helper.from_array(value.astype(np.float32), f"{layer.name}.{key}"))
    return tensors


class Network:
    """A trained network, and the scaling that must be applied in front of it."""

    def __init__(self, layers, scaling):
        self.layers = layers
        self.scaling = scaling

    def scores(self, inputs):
        """One score for each class, row by row."""
        offset, scale = self.scaling
        return nn.forward(self.layers, (inputs - offset) / scale)

    def to_onnx(self, recipe):
        """The bytes of the model file."""
        return to_onnx(recipe, self.layers, self.scaling)


def to_onnx(recipe, layers, scaling):
    """The bytes of the model file; the same network always gives the same bytes."""
    names = [recipe.input_name] + [layer.name for layer in layers[:-1]] + ["logits"]
    graph = helper.make_graph(
        nodes=[node(*step) for step in zip(layers, names, names[1:])],
        name=recipe.name,
        inputs=[tensor(recipe.input_name, recipe.input_shape)],
        outputs=[tensor("logits", [1, len(recipe.labels)])],
        initializer=initializers(layers, scaling),
    )
    model = helper.make_model(
        graph,
        ir_version=IR_VERSION,
        opset_imports=[helper.make_opsetid("", OPSET)],
        producer_name="assay",
    )
    model = onnx.shape_inference.infer_shapes(model, check_type=True, strict_mode=True)
    onnx.checker.check_model(model, full_check=True)
    return model.SerializeToString(deterministic=True)
