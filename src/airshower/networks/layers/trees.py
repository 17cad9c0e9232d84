"""Ensembles of decision trees, grown by scikit-learn and kept as arrays."""

from typing import Any, Self

import numpy as np
import torch
from torch import Tensor, nn


class Trees(nn.Module):
    """A sum of `trees` decision trees of at most `leaves` leaves: features float32 [n, features] -> [n, outputs].

    Buffers [trees, 2 leaves - 1]: a node sends an event to `left` if its `feature` is at most `threshold`, else to
    `right`; a leaf sends it to itself, and so does a node that is not used. The event's leaves of all trees add their
    `value` [trees, nodes, outputs] to `start` [outputs]. Until a checkpoint is loaded, the sum is 0.
    """

    feature: Tensor
    threshold: Tensor
    left: Tensor
    right: Tensor
    value: Tensor
    start: Tensor

    def __init__(self, trees: int, leaves: int, outputs: int = 1):
        super().__init__()
        nodes = 2 * leaves - 1
        own = torch.arange(nodes).repeat(trees, 1)
        self.register_buffer("feature", torch.zeros_like(own))
        self.register_buffer("threshold", torch.zeros(trees, nodes))
        self.register_buffer("left", own)
        self.register_buffer("right", own.clone())
        self.register_buffer("value", torch.zeros(trees, nodes, outputs))
        self.register_buffer("start", torch.zeros(outputs))

    @classmethod
    def from_sklearn(cls, model: Any) -> Self:
        """The trees of a fitted forest (RandomForest, ExtraTrees) or of boosted trees (GradientBoosting,
        HistGradientBoosting) of scikit-learn. The sum is what `predict` of a regressor, `predict_proba` of a forest of
        classifiers and `decision_function` of boosted classifiers return; of GradientBoosting, classifiers of two
        classes alone. Features must be finite.

        With `max_leaf_nodes` the shapes follow from the model's parameters and its number of classes, whatever it
        learned.
        """
        if hasattr(model, "_predictors"):
            return cls._from_histograms(model)
        grown = [estimator.tree_ for estimator in np.ravel(model.estimators_)]
        outputs = grown[0].value.shape[2]
        leaves = model.max_leaf_nodes or max(tree.n_leaves for tree in grown)
        boosted = hasattr(model, "init_")
        scale = model.learning_rate if boosted else 1 / len(grown)
        trees = cls(len(grown), leaves, outputs)
        for row, tree in enumerate(grown):
            trees._set(row, tree, scale)
        if boosted:
            trees.start += _initial(model.init_)
        return trees

    @classmethod
    def _from_histograms(cls, model: Any) -> Self:
        """The trees of HistGradientBoosting, which has them as arrays of nodes without public names. One iteration has
        a tree for each output; leaves' values have the learning rate in them."""
        outputs = len(model._predictors[0])
        trees = cls(len(model._predictors) * outputs, model.max_leaf_nodes, outputs)
        grown = [(tree.nodes, output) for of_step in model._predictors for output, tree in enumerate(of_step)]
        for row, (nodes, output) in enumerate(grown):
            used = len(nodes)
            leaf = nodes["is_leaf"].astype(bool)
            own = np.arange(used)
            trees.feature[row, :used] = torch.from_numpy(np.where(leaf, 0, nodes["feature_idx"]))
            trees.threshold[row, :used] = torch.from_numpy(_rounded_down(nodes["num_threshold"]))
            trees.left[row, :used] = torch.from_numpy(np.where(leaf, own, nodes["left"]).astype(np.int64))
            trees.right[row, :used] = torch.from_numpy(np.where(leaf, own, nodes["right"]).astype(np.int64))
            trees.value[row, :used, output] = torch.from_numpy(np.where(leaf, nodes["value"], 0.0))
        trees.start += torch.from_numpy(model._baseline_prediction.reshape(-1))
        return trees

    def forward(self, features: Tensor) -> Tensor:
        """See the class."""
        count, nodes = self.feature.shape
        first = nodes * torch.arange(count, device=features.device)  # of each tree in the flat arrays
        feature, threshold = self.feature.flatten(), self.threshold.flatten()
        left, right = ((first[:, None] + child).flatten() for child in (self.left, self.right))
        node = first.expand(len(features), count)
        while True:
            goes_left = features.gather(1, feature[node]) <= threshold[node]
            below = torch.where(goes_left, left[node], right[node])
            if below.equal(node):
                return self.start + self.value.flatten(0, 1)[node].sum(1)
            node = below

    def _set(self, row: int, tree: Any, scale: float) -> None:
        """Copy one tree of scikit-learn, with its values times `scale`."""
        used = tree.node_count
        leaf = tree.children_left < 0
        own = np.arange(used)
        self.feature[row, :used] = torch.from_numpy(np.where(leaf, 0, tree.feature))
        self.threshold[row, :used] = torch.from_numpy(_rounded_down(tree.threshold))
        self.left[row, :used] = torch.from_numpy(np.where(leaf, own, tree.children_left))
        self.right[row, :used] = torch.from_numpy(np.where(leaf, own, tree.children_right))
        self.value[row, :used] = torch.from_numpy(scale * tree.value[:, 0])


def _rounded_down(values: np.ndarray) -> np.ndarray:
    """The largest float32 that is not above each value: scikit-learn compares float32 features with float64 thresholds,
    and with these no comparison comes out differently."""
    rounded = values.astype(np.float32)
    return np.where(rounded > values, np.nextafter(rounded, np.float32(-np.inf)), rounded)


def _initial(start: Any) -> Tensor:
    """What boosting starts from [1]: a constant, or the log odds of the second of two classes."""
    if hasattr(start, "class_prior_"):
        _, share = start.class_prior_
        return torch.tensor([np.log(share / (1 - share))])
    return torch.from_numpy(np.ravel(start.constant_))
