"""The few layers, the loss and the optimiser that the models are trained with.

Written in numpy and double precision on purpose: a run then depends on nothing but the seed, there
is no framework whose next release changes the weights, and the whole of the training can be read in
one sitting. Weights are rounded to single precision once, when a model is exported.

A layer keeps its parameters in `weights` and, after `backward`, their gradients under the same keys
in `gradients`. Images are laid out [batch, channel, row, column], as ONNX has them.
"""

from dataclasses import dataclass
from typing import Callable

import numpy as np


class Layer:
    """A step of a network without parameters; `name` becomes the name of its ONNX node."""

    def __init__(self, name):
        self.name = name
        self.weights = {}
        self.gradients = {}


class Dense(Layer):
    """y = x W' + b, the weight stored [outputs, inputs]."""

    def __init__(self, name, inputs, outputs, rng):
        super().__init__(name)
        self.weights = {
            "weight": he_normal(rng, (outputs, inputs), fan_in=inputs),
            "bias": np.zeros(outputs),
        }

    def forward(self, x):
        self.x = x
        return x @ self.weights["weight"].T + self.weights["bias"]

    def backward(self, dy):
        self.gradients = {"weight": dy.T @ self.x, "bias": dy.sum(axis=0)}
        return dy @ self.weights["weight"]


class Conv3x3(Layer):
    """A 3x3 convolution of stride 1 that pads with one ring of zeros, so images keep their size."""

    def __init__(self, name, inputs, outputs, rng):
        super().__init__(name)
        self.weights = {
            "weight": he_normal(rng, (outputs, inputs, 3, 3), fan_in=inputs * 9),
            "bias": np.zeros(outputs),
        }

    def forward(self, x):
        batch, _, rows, columns = x.shape
        padded = np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1)))
        windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), axis=(2, 3))
        # One row per output pixel, holding the patch that the kernel sees there.
        self.patches = windows.transpose(0, 2, 3, 1, 4, 5).reshape(batch * rows * columns, -1)
        y = self.patches @ self._kernels().T + self.weights["bias"]
        return y.reshape(batch, rows, columns, -1).transpose(0, 3, 1, 2)

    def backward(self, dy):
        batch, outputs, rows, columns = dy.shape
        dy = dy.transpose(0, 2, 3, 1).reshape(-1, outputs)
        shape = self.weights["weight"].shape
        self.gradients = {
            "weight": (dy.T @ self.patches).reshape(shape),
            "bias": dy.sum(axis=0),
        }
        dpatches = (dy @ self._kernels()).reshape(batch, rows, columns, shape[1], 3, 3)
        dx = np.zeros((batch, shape[1], rows + 2, columns + 2))
        for i in range(3):
            for j in range(3):
                dx[:, :, i : i + rows, j : j + columns] += dpatches[..., i, j].transpose(0, 3, 1, 2)
        return dx[:, :, 1:-1, 1:-1]

    def _kernels(self):
        weight = self.weights["weight"]
        return weight.reshape(len(weight), -1)


class Relu(Layer):
    """max(x, 0)."""

    def forward(self, x):
        self.positive = x > 0
        return x * self.positive

    def backward(self, dy):
        return dy * self.positive


class MaxPool2x2(Layer):
    """The largest of each 2x2 square; of equals, the first takes the gradient."""

    def forward(self, x):
        batch, channels, rows, columns = x.shape
        squares = x.reshape(batch, channels, rows // 2, 2, columns // 2, 2)
        squares = squares.transpose(0, 1, 2, 4, 3, 5).reshape(*squares.shape[:3], columns // 2, 4)
        self.largest = squares.argmax(axis=-1, keepdims=True)
        return np.take_along_axis(squares, self.largest, axis=-1)[..., 0]

    def backward(self, dy):
        batch, channels, rows, columns = dy.shape
        dx = np.zeros((batch, channels, rows, columns, 4))
        np.put_along_axis(dx, self.largest, dy[..., None], axis=-1)
        dx = dx.reshape(batch, channels, rows, columns, 2, 2).transpose(0, 1, 2, 4, 3, 5)
        return dx.reshape(batch, channels, rows * 2, columns * 2)


class Flatten(Layer):
    """Everything but the batch in one row."""

    def forward(self, x):
        self.shape = x.shape
        return x.reshape(len(x), -1)

    def backward(self, dy):
        return dy.reshape(self.shape)


def he_normal(rng, shape, fan_in):
    """Starting weights that keep the variance of the signal through a ReLU."""
    return rng.normal(0.0, np.sqrt(2.0 / fan_in), shape)


def forward(layers, x):
    """The network's output for a batch."""
    for layer in layers:
        x = layer.forward(x)
    return x


def backward(layers, dy):
    """Fills in every layer's gradients from the gradient of the loss at the output."""
    for layer in reversed(layers):
        dy = layer.backward(dy)


def softmax(logits):
    """Class probabilities, row by row."""
    exponentials = np.exp(logits - logits.max(axis=1, keepdims=True))
    return exponentials / exponentials.sum(axis=1, keepdims=True)


def cross_entropy_gradient(logits, labels):
    """Gradient of the mean softmax cross-entropy at the logits."""
    gradient = softmax(logits)
    gradient[np.arange(len(labels)), labels] -= 1.0
    return gradient / len(labels)


class Adam:
    """Adam with the weight decay kept apart from the gradient; biases are not decayed."""

    def __init__(self, layers, decay):
        self.layers = layers
        self.decay = decay
        self.step = 0
        self.moments = {}

    def update(self, rate):
        """One step along the gradients that the last `backward` left behind."""
        self.step += 1
        for layer in self.layers:
            for key, gradient in layer.gradients.items():
                first, second = self.moments.get((layer.name, key), (0.0, 0.0))
                first = 0.9 * first + 0.1 * gradient
                second = 0.999 * second + 0.001 * gradient**2
                self.moments[layer.name, key] = first, second
                direction = (first / (1 - 0.9**self.step)) / (
                    np.sqrt(second / (1 - 0.999**self.step)) + 1e-8
                )
                if key == "weight":
                    direction = direction + self.decay * layer.weights[key]
                layer.weights[key] = layer.weights[key] - rate * direction


@dataclass(frozen=True)
class Schedule:
    """How long and how fast to train."""

    epochs: int
    batch: int
    rate: float
    decay: float
    # Called on each batch before it is used; says how inputs may vary without changing their label.
    augment: Callable = lambda x, rng: x


def fit(layers, x, labels, schedule, rng):
    """Trains the network in place, the rate falling to zero along a half cosine."""
    optimiser = Adam(layers, schedule.decay)
    for epoch in range(schedule.epochs):
        rate = schedule.rate * 0.5 * (1.0 + np.cos(np.pi * epoch / schedule.epochs))
        order = rng.permutation(len(x))
        for start in range(0, len(x), schedule.batch):
            rows = order[start : start + schedule.batch]
            logits = forward(layers, schedule.augment(x[rows], rng))
            backward(layers, cross_entropy_gradient(logits, labels[rows]))
            optimiser.update(rate)
