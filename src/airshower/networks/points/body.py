"""What networks on points have in common: their options, and the bodies that see hits relative to a fit."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor, nn

from airshower.config.fields import choice, number
from airshower.networks.layers.ragged import Groups, PaddedPoints

FEATURES = ["charge", "time", "central"]
GEOMETRY = 8  # inputs of each hit beside its features
NUMBERS = 7  # numbers of an event beside its hits


@dataclass
class PointsConfig:
    """`network.*`."""

    features: list[str] = field(default_factory=lambda: [*FEATURES])
    time: str = choice("absolute", "plane")
    earliest: float = number(-300.0)
    latest: float = number(500.0)
    stages: int = number(2, low=1, high=8)
    hit_width: int = number(32, low=1)
    width: int = number(128, low=1)
    dropout: float = number(0.0, low=0.0, high=0.9)


class Body(nn.Module):
    """(inputs [n, most, channels], positions [n, most, axes] that are near for hits that are near, mask [n, most],
    numbers [n, `NUMBERS`]) -> features of hits [n, most, hit_width] and of the event [n, width]; the same whatever the
    order of hits."""

    def forward(self, x: Tensor, position: Tensor, mask: Tensor, numbers: Tensor) -> tuple[Tensor, Tensor]:
        """See the class."""
        raise NotImplementedError


class Geometry(nn.Module):
    """What a fit of a shower is, which depends on where points are: two tensors [n, ...], such as a front and a core.
    `time` is the column of features that is not given to bodies as it is. Hits are a tuple of tensors."""

    time: int

    def stage(self, body: Body, config: PointsConfig) -> nn.Module:
        """One refinement: (hits, scaled features [n, most, features], mask [n, most], fit) -> a better fit, and
        features of the event [n, width]."""
        raise NotImplementedError

    def hits(self, points: PaddedPoints) -> Any:
        """Those of a group of events, in physical units."""
        raise NotImplementedError

    def first_fit(self, hits: Any) -> tuple[Tensor, Tensor]:
        """The classical one."""
        raise NotImplementedError

    def numbers(self, hits: Any, mask: Tensor, fit: tuple[Tensor, Tensor]) -> Tensor:
        """Of each event [n, `NUMBERS`], for heads."""
        raise NotImplementedError

    def named(self, fit: tuple[Tensor, Tensor]) -> dict[str, Tensor]:
        """The parts of a fit by name."""
        raise NotImplementedError

    def starts(self, fits: Mapping[str, Tensor], inputs: Groups) -> dict[str, Tensor]:
        """What `direction` (deg) and `core` (100 m) begin as, from the parts of the fits of a whole batch."""
        raise NotImplementedError
