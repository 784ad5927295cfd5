"""Gradient-boosted trees: how they are trained, and the ONNX file that they become.

Scikit-learn grows the trees; what is exported is one TreeEnsembleClassifier, whose scores are the sums
of the leaves. A threshold is rounded down to single precision: inputs are of single precision, so every
comparison stays as it was.
"""

from dataclasses import dataclass

import numpy as np
import onnx
from onnx import helper
from sklearn.ensemble import GradientBoostingClassifier

import export

# Every node stands for itself: the operator is of this set of operators alone.
ML_OPSET = 1
LEAF = -1


@dataclass(frozen=True)
class Boosting:
    """How many trees for each class, how deep, and how much each counts."""

    rounds: int
    depth: int
    rate: float

    def fit(self, inputs, labels, seed):
        """Trees trained on inputs as they will come: in single precision."""
        classifier = GradientBoostingClassifier(
            n_estimators=self.rounds,
            max_depth=self.depth,
            learning_rate=self.rate,
            random_state=seed,
        )
        return Trees(classifier.fit(single(inputs), labels))


class Trees:
    """A trained ensemble."""

    def __init__(self, classifier):
        self.classifier = classifier

    def scores(self, inputs):
        """One score for each class, row by row."""
        return self.classifier.decision_function(single(inputs))

    def to_onnx(self, recipe):
        """The bytes of the model file; the same trees always give the same bytes."""
        node = helper.make_node(
            "TreeEnsembleClassifier",
            [recipe.input_name],
            ["label", "logits"],
            name="trees",
            domain="ai.onnx.ml",
            **self.attributes(len(recipe.labels)),
        )
        graph = helper.make_graph(
            nodes=[node],
            name=recipe.name,
            inputs=[export.tensor(recipe.input_name, recipe.input_shape)],
            outputs=[export.tensor("logits", [1, len(recipe.labels)])],
        )
        opsets = [helper.make_opsetid("ai.onnx.ml", ML_OPSET)]
        model = helper.make_model(
            graph, ir_version=export.IR_VERSION, opset_imports=opsets, producer_name="assay"
        )
        onnx.checker.check_model(model)
        return model.SerializeToString(deterministic=True)

    def attributes(self, classes):
        """The lists of the node's attributes: trees in the order in which they were grown."""
        lists = {name: [] for name in NODES + LEAVES}
        trees = self.classifier.estimators_
        for index, regressor in enumerate(trees.ravel()):
            add(lists, index, index % classes, regressor.tree_, self.classifier.learning_rate)
        # The same for every input.
        base = self.classifier._raw_predict_init(np.zeros((1, self.classifier.n_features_in_)))
        return lists | {
            "base_values": base[0].astype(np.float32).tolist(),
            "classlabels_int64s": list(range(classes)),
            "post_transform": "NONE",
        }


NODES = [
    "nodes_treeids",
    "nodes_nodeids",
    "nodes_featureids",
    "nodes_truenodeids",
    "nodes_falsenodeids",
    "nodes_modes",
    "nodes_values",
]
LEAVES = ["class_treeids", "class_nodeids", "class_ids", "class_weights"]


def add(lists, index, score, tree, rate):
    """Adds a tree, whose leaves count `rate` times for `score`."""
    for node in range(tree.node_count):
        is_leaf = tree.children_left[node] == LEAF
        row = [
            index,
            node,
            0 if is_leaf else int(tree.feature[node]),
            0 if is_leaf else int(tree.children_left[node]),
            0 if is_leaf else int(tree.children_right[node]),
            "LEAF" if is_leaf else "BRANCH_LEQ",
            0.0 if is_leaf else rounded_down(tree.threshold[node]),
        ]
        for name, value in zip(NODES, row):
            lists[name].append(value)
        if is_leaf:
            worth = float(np.float32(rate * tree.value[node, 0, 0]))
            for name, value in zip(LEAVES, [index, node, score, worth]):
                lists[name].append(value)


def rounded_down(value):
    """The largest number of single precision that is at most `value`."""
    nearest = np.float32(value)
    return float(nearest if nearest <= value else np.nextafter(nearest, np.float32(-np.inf)))


def single(inputs):
    return inputs.astype(np.float32)
