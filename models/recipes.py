"""What the models are: their data, networks or trees and training, and what their cards say of them.

How the numbers here were chosen: by five-fold cross-validation inside the training split alone
(`python models/train.py --validate` prints it). The held-out split is looked at once, when a
finished model is measured for its card. The final model is then trained on the whole training split
with the same numbers.
"""

from dataclasses import dataclass
from typing import Callable

import numpy as np
from sklearn.datasets import load_breast_cancer, load_digits, load_wine

import export
import nn
import trees


@dataclass(frozen=True)
class Descent:
    """A network, and how it is trained by gradient descent."""

    # Offset and scale such that the network trains on (raw - offset) / scale; folded in on export.
    scaling: Callable
    network: Callable
    schedule: nn.Schedule

    def fit(self, inputs, labels, seed):
        """A network trained on raw inputs, which scores such inputs and can be exported."""
        rng = np.random.default_rng(seed)
        offset, scale = self.scaling(inputs)
        layers = self.network(rng)
        nn.fit(layers, (inputs - offset) / scale, labels, self.schedule, rng)
        return export.Network(layers, (offset, scale))


@dataclass(frozen=True)
class Recipe:
    """All that tells one model from another."""

    name: str
    version: str
    title: str
    description: str
    category: str
    labels: list[str]
    input_name: str
    input_shape: list[int]
    input_description: str
    output_description: str
    loader: Callable
    data: str
    training: Descent | trees.Boosting

    def load(self):
        """Every row of the data set as (inputs, labels); inputs raw, in the model's shape."""
        inputs, labels = self.loader(return_X_y=True)
        return inputs.reshape(-1, *self.input_shape[1:]), labels


def shift_by_a_pixel(images, rng):
    """Moves each image by up to one pixel in either direction, filling with background."""
    rows, columns = images.shape[2:]
    padded = np.pad(images, ((0, 0), (0, 0), (1, 1), (1, 1)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (rows, columns), axis=(2, 3))
    down, right = rng.integers(0, 3, (2, len(images)))
    return windows[np.arange(len(images)), :, down, right]


def digits_network(rng):
    """Two convolutions and two dense layers: small enough to prove, deep enough to read digits."""
    return [
        nn.Conv3x3("conv1", 1, 8, rng),
        nn.Relu("relu1"),
        nn.Conv3x3("conv2", 8, 16, rng),
        nn.Relu("relu2"),
        nn.MaxPool2x2("pool"),
        nn.Flatten("flatten"),
        nn.Dense("fc1", 16 * 4 * 4, 64, rng),
        nn.Relu("relu3"),
        nn.Dense("fc2", 64, 10, rng),
    ]


def tumour_network(rng):
    """One hidden layer; a second one, or a wider one, did no better in cross-validation."""
    return [
        nn.Dense("fc1", 30, 16, rng),
        nn.Relu("relu1"),
        nn.Dense("fc2", 16, 2, rng),
    ]


def sixteenths(_training):
    """Grey levels to [0, 1], without an offset, so that background and the padding stay zero."""
    return 0.0, 16.0


def standard_score(training):
    """Mean zero and deviation one per column: the columns' sizes differ by a factor of 100 000."""
    return training.mean(axis=0), training.std(axis=0)


DIGITS = Recipe(
    name="digits",
    version="1",
    title="Handwritten digits",
    description=(
        "Reads one handwritten digit from a grey image of 8 by 8 pixels. "
        "A small convolutional network; the label with the largest logit is the answer."
    ),
    category="image-classification",
    labels=[str(digit) for digit in range(10)],
    input_name="image",
    input_shape=[1, 1, 8, 8],
    input_description="Grey levels 0 to 16, row by row",
    output_description="One score per digit, 0 to 9; the largest is the answer",
    loader=load_digits,
    data="scikit-learn load_digits (UCI ML hand-written digits, CC BY 4.0)",
    training=Descent(
        scaling=sixteenths,
        network=digits_network,
        schedule=nn.Schedule(epochs=60, batch=32, rate=3e-3, decay=0.1, augment=shift_by_a_pixel),
    ),
)

TUMOUR = Recipe(
    name="tumour",
    version="1",
    title="Breast tumour, malignant or benign",
    description=(
        "Tells malignant from benign breast tumours by 30 measurements of cell nuclei seen in a "
        "needle biopsy. A demonstration trained on 455 rows from the 1990s: it is not a medical "
        "device and must not be used for a diagnosis."
    ),
    category="tabular-classification",
    labels=[str(name) for name in load_breast_cancer().target_names],
    input_name="features",
    input_shape=[1, 30],
    input_description=(
        "Unscaled radius, texture, perimeter, area, smoothness, compactness, concavity, concave "
        "points, symmetry and fractal dimension: the ten means, then their standard errors, then "
        "their worst values, in the column order of load_breast_cancer"
    ),
    output_description="One score for malignant, one for benign; the larger is the answer",
    loader=load_breast_cancer,
    data="scikit-learn load_breast_cancer (UCI ML Breast Cancer Wisconsin Diagnostic, CC BY 4.0)",
    training=Descent(
        scaling=standard_score,
        network=tumour_network,
        schedule=nn.Schedule(epochs=120, batch=32, rate=3e-3, decay=1.0),
    ),
)

WINE = Recipe(
    name="wine",
    version="1",
    title="Wine, by its grower",
    description=(
        "Tells which of three growers of one region in Italy made a wine, by 13 chemical "
        "measurements. Gradient-boosted trees, as they are used for credit and fraud scores; the "
        "label with the largest score is the answer."
    ),
    category="tabular-classification",
    labels=[str(name) for name in load_wine().target_names],
    input_name="features",
    input_shape=[1, 13],
    input_description=(
        "Unscaled alcohol, malic acid, ash, alcalinity of ash, magnesium, total phenols, "
        "flavanoids, nonflavanoid phenols, proanthocyanins, colour intensity, hue, OD280/OD315 of "
        "diluted wines and proline, in the column order of load_wine"
    ),
    output_description="One score per grower; the largest is the answer",
    loader=load_wine,
    data="scikit-learn load_wine (UCI ML Wine, CC BY 4.0)",
    training=trees.Boosting(rounds=60, depth=2, rate=0.2),
)

RECIPES = [DIGITS, TUMOUR, WINE]
