"""Samples of events for comparisons."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Self

import numpy as np
import torch

from airshower.data.records import Records
from airshower.networks.layers.features import encode
from airshower.statistics.distances import rank_correlations
from airshower.tasks.generation.views import LEVELS

LEAST = 50  # events of each sample, needed for more than distances of single quantities
SEED = 0


@dataclass(frozen=True, eq=False)
class Events:
    """A sample: parameters and conditions of events; conditions may have no quantities. For images also the levels of
    live cells, uint8 [n, channels, PMTs], and the tank of each PMT, int64 [PMTs]."""

    parameters: Records
    conditions: Records
    images: np.ndarray | None = None
    tank: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.parameters)

    def some(self, most: int) -> Self:
        """A random subset of at most `most` events, the same in each call."""
        if len(self) <= most:
            return self
        return self.rows(np.sort(np.random.default_rng(SEED).permutation(len(self))[:most]))

    def rows(self, chosen: np.ndarray) -> Self:
        """The events of these rows."""
        images = None if self.images is None else self.images[chosen]
        return type(self)(self.parameters.rows(chosen), self.conditions.rows(chosen), images, self.tank)

    @classmethod
    def joined(cls, parts: Sequence[Self]) -> Self:
        """The events of all parts; at least one part."""
        parameters = Records.joined([part.parameters for part in parts])
        conditions = Records.joined([part.conditions for part in parts])
        images = [part.images for part in parts if part.images is not None]
        return cls(parameters, conditions, np.concatenate(images) if images else None, parts[0].tank)

    @property
    def levels(self) -> np.ndarray:
        """`images`; only for events with images."""
        assert self.images is not None
        return self.images

    @cached_property
    def features(self) -> np.ndarray:
        """Features of the parameters, f8 [n, features]; angles have two."""
        return encode(torch.from_numpy(self.parameters.scaled), self.parameters.quantities).double().numpy()

    @property
    def in_tanks(self) -> np.ndarray:
        """Features of each tank, float32 [n, (1 + 2 channels) x tanks]: the number of hits, and mean and standard
        deviation of their charges and times."""
        assert self.tank is not None
        member = (self.tank[:, None] == np.unique(self.tank)).astype(np.float32)  # [PMTs, tanks]
        levels = self.levels.astype(np.float32) / (LEVELS - 1)
        hits = (levels[:, :1] > 0) @ member
        mean, square = (power @ member / np.maximum(hits, 1) for power in (levels, levels**2))
        spread = np.sqrt(np.maximum(square - mean**2, 0))
        return np.concatenate([hits, mean, spread], 1).reshape(len(self), -1)

    @cached_property
    def condition_features(self) -> np.ndarray:
        """Features of the conditions, see `features`."""
        return encode(torch.from_numpy(self.conditions.scaled), self.conditions.quantities).double().numpy()

    @property
    def feature_names(self) -> list[str]:
        """Names of the columns of `features`."""
        return [
            name
            for quantity in self.parameters.quantities
            for name in ([f"cos {quantity.name}", f"sin {quantity.name}"] if quantity.period else [quantity.name])
        ]

    @cached_property
    def correlations(self) -> np.ndarray:
        """Rank correlations of features [features, features]."""
        return rank_correlations(self.features)

    @cached_property
    def scale(self) -> tuple[np.ndarray, np.ndarray]:
        """Mean and standard deviation of each feature; 1 for constant features."""
        spread = self.features.std(0)
        return self.features.mean(0), np.where(spread > 0, spread, 1.0)

    def standard(self, reference: Self) -> np.ndarray:
        """Features, in standard deviations of those of the `reference` events from their mean."""
        mean, spread = reference.scale
        return (self.features - mean) / spread
