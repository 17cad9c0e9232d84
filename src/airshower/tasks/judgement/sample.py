"""Events that are compared with others."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Self

import numpy as np
import torch

from airshower.data.table import Table
from airshower.networks.images import LEVELS
from airshower.networks.quantities import encode
from airshower.tasks.judgement import distances

LEAST = 50  # events of each sample that more than distances of single quantities are measured of
SEED = 0


@dataclass(frozen=True, eq=False)
class Events:
    """A sample: what events are, and what was asked for, which may have no quantities; of images also their live cells
    in levels, uint8 [n, channels, PMTs], and the tank of each PMT, int64 [PMTs]."""

    parameters: Table
    conditions: Table
    images: np.ndarray | None = None
    tank: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.parameters)

    def some(self, most: int) -> Self:
        """So many of them at most, drawn always the same way."""
        if len(self) <= most:
            return self
        return self.rows(np.sort(np.random.default_rng(SEED).permutation(len(self))[:most]))

    def rows(self, chosen: np.ndarray) -> Self:
        """These of them."""
        images = None if self.images is None else self.images[chosen]
        return type(self)(self.parameters.rows(chosen), self.conditions.rows(chosen), images, self.tank)

    @classmethod
    def joined(cls, parts: Sequence[Self]) -> Self:
        """Those of all parts, of which there is one at least."""
        parameters = Table.joined([part.parameters for part in parts])
        conditions = Table.joined([part.conditions for part in parts])
        images = [part.images for part in parts if part.images is not None]
        return cls(parameters, conditions, np.concatenate(images) if images else None, parts[0].tank)

    @property
    def levels(self) -> np.ndarray:
        """`images`, of events that have them."""
        assert self.images is not None
        return self.images

    @cached_property
    def features(self) -> np.ndarray:
        """Of the parameters, f8 [n, features]; angles have two."""
        return encode(torch.from_numpy(self.parameters.scaled), self.parameters.quantities).double().numpy()

    @property
    def in_tanks(self) -> np.ndarray:
        """What images have in each tank, float32 [n, (1 + 2 channels) x tanks]: how many hits, and mean and standard
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
        """The same of the conditions."""
        return encode(torch.from_numpy(self.conditions.scaled), self.conditions.quantities).double().numpy()

    @property
    def feature_names(self) -> list[str]:
        """Of the columns of features."""
        return [
            name
            for quantity in self.parameters.quantities
            for name in ([f"cos {quantity.name}", f"sin {quantity.name}"] if quantity.period else [quantity.name])
        ]

    @cached_property
    def correlations(self) -> np.ndarray:
        """Rank correlations of features [features, features]."""
        return distances.rank_correlations(self.features)

    @cached_property
    def scale(self) -> tuple[np.ndarray, np.ndarray]:
        """Mean and standard deviation of each feature, 1 where it does not vary."""
        spread = self.features.std(0)
        return self.features.mean(0), np.where(spread > 0, spread, 1.0)

    def standard(self, real: Self) -> np.ndarray:
        """Features, in standard deviations of those of the `real` events from their mean."""
        mean, spread = real.scale
        return (self.features - mean) / spread
