"""Boosted trees on images, grown by scikit-learn for each kind of telescope."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from airshower.config.fields import number
from airshower.networks.layers.trees import Trees


@dataclass
class TreesConfig:
    """How trees are boosted; a part of `network.*`."""

    trees: int = number(300, low=1)
    leaves: int = number(16, low=2)
    least: int = number(20, low=1)
    learning_rate: float = number(0.05, above=0.0, high=1.0)


def boosted(config: TreesConfig, seed: int, classes: bool) -> Any:
    """A model of scikit-learn that is not fitted yet: gradient boosting with histograms of features (Ke et al.,
    LightGBM, 2017), of classes or of a number."""
    from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor

    kind = HistGradientBoostingClassifier if classes else HistGradientBoostingRegressor
    return kind(
        max_iter=config.trees, max_leaf_nodes=config.leaves, min_samples_leaf=config.least,
        learning_rate=config.learning_rate, early_stopping=False, random_state=seed,
    )  # fmt: skip


class KindTrees(nn.Module):
    """A number, or the logits of `classes` classes, of images by boosted trees, an ensemble for each kind of telescope:
    features float32 [n, features] and kinds int64 [n] -> float32 [n, 1 or classes].

    `known` [kinds] is True for the kinds that it has learned of: of classes, those that had images of all of them.
    """

    known: Tensor

    def __init__(self, config: TreesConfig, seed: int, kinds: int, classes: int = 0):
        super().__init__()
        self.config = config
        self.seed = seed
        self.classes = classes
        per_step = classes if classes > 2 else 1
        self.trees = nn.ModuleList(Trees(config.trees * per_step, config.leaves, per_step) for _ in range(kinds))
        self.register_buffer("known", torch.zeros(kinds, dtype=torch.bool))

    def forward(self, features: Tensor, kind: Tensor) -> Tensor:
        """See the class."""
        values = features.new_zeros(len(features), max(self.classes, 1))
        for row, trees in enumerate(self.trees):
            rows = (kind == row).nonzero()[:, 0]
            sums = trees(features[rows])
            values[rows] = torch.cat([torch.zeros_like(sums), sums], 1) if self.classes == 2 else sums
        return values

    def of_images(self, features: np.ndarray, kind: np.ndarray) -> tuple[Tensor, Tensor]:
        """The values [n, 1 or classes] of images, and which of them are known, bool [n]; on the buffers' device."""
        device = self.known.device
        kinds = torch.from_numpy(kind).to(device)
        return self(torch.from_numpy(features).float().to(device), kinds), self.known[kinds]

    def fit(self, features: np.ndarray, kind: np.ndarray, values: np.ndarray, weight: np.ndarray) -> None:
        """Learn `values` [n], int64 of classes, of images that have a weight [n] above 0."""
        for row in range(len(self.trees)):
            rows = (kind == row) & (weight > 0)
            self.known[row] = bool(rows.any()) and len(np.unique(values[rows])) >= self.classes
            if self.known[row]:
                model = boosted(self.config, self.seed, self.classes > 0)
                model.fit(features[rows], values[rows], sample_weight=weight[rows])
                self.trees[row] = Trees.from_sklearn(model).to(self.known.device)


def named(modules: nn.ModuleDict, name: str) -> KindTrees:
    """The trees of this name."""
    trees = modules[name]
    assert isinstance(trees, KindTrees)
    return trees
