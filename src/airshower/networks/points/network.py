"""The base of networks on points: hits of showers -> numbers of the event, as corrections of classical fits.

In each stage a body (see `Body`) sees the hits relative to the fit of the stage before, and gives the weights of the
next. What a fit is depends on where points are: a front and a core on the `ground`, axes of images on the `sky`.
"""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from airshower.config.schema import FrameworkConfig
from airshower.data.batch import Batch
from airshower.data.containers import Points
from airshower.data.spec import PointsSpec, Spec
from airshower.errors import UserError
from airshower.networks.layers.perceptron import Layers
from airshower.networks.layers.ragged import Groups, PaddedPoints, grouped
from airshower.networks.layers.starts import corrected, start_from_zero
from airshower.networks.network import FITS, Network, Start, check_follows
from airshower.networks.points.body import GEOMETRY, NUMBERS, Body, Geometry, PointsConfig
from airshower.networks.points.ground import Ground
from airshower.networks.points.sky import Sky, sky_view

SKY = "deg"
"""The unit of positions on the sky."""


class PointsNetwork(Network):
    """Points with charge and time -> the task's `outputs`, keyed by name [n, channels].

    Of hits on the ground `direction` (degrees from the zenith towards rising altitude and azimuth) is a plane through
    the times, `core` (100 m from the middle of the array) the middle of the charge. Of pixels on the sky both are where
    the axes of images cross: `direction` in degrees from the pointing, `core` in 100 m from the frame's origin. Hits
    have learned weights in these fits, and heads add a residual.
    """

    Config = PointsConfig
    takes = MappingProxyType({"points": Points})
    tasks = ("reconstruction",)
    channels_last = False
    body: ClassVar[Callable[[Any, int], Body]]

    def __init__(self, config: Any, spec: Spec, outputs: dict[str, int], _: FrameworkConfig):
        super().__init__()
        points: PointsSpec = spec["points"]
        self.geometry: Geometry = Sky(points) if points.unit == SKY else Ground(points)
        inputs = len(points.features) - 1 + GEOMETRY + NUMBERS
        bodies = (type(self).body(config, inputs) for _ in range(config.stages))
        self.stages = Layers(self.geometry.stage(body, config) for body in bodies)
        shared = config.width + NUMBERS
        self.shared = nn.Sequential(nn.Linear(shared, config.width), nn.SiLU(), nn.Dropout(config.dropout))
        self.names = tuple(outputs)
        self.heads = Layers(_head(config.width, size) for size in outputs.values())
        for name, head in zip(self.names, self.heads, strict=True):
            if name in FITS:
                start_from_zero(head[-1])

    @classmethod
    def check_data(cls, config: Any, data: Any) -> None:
        """See `Network`."""
        for name in ("charge", "time"):
            if name not in config.features:
                raise UserError(f"network.features=[{','.join(config.features)}]: needs {name}")
        check_follows(config, data, "features", "time", "earliest", "latest")

    @classmethod
    def starts(cls, config: Any) -> Mapping[str, Start]:
        """See `Network`."""
        return FITS

    @classmethod
    def view(cls, spec: Spec) -> Callable[[Batch], Groups]:
        """See `Network`: the points, in groups of events with like numbers."""
        points: PointsSpec = spec["points"]
        return sky_view(points, "points") if points.unit == SKY else lambda batch: grouped(batch["points"])

    def forward(self, inputs: Groups) -> dict[str, Tensor]:
        """See the class."""
        outputs, fits = zip(*map(self.of_group, inputs.groups), strict=True)
        starts = self.geometry.starts(inputs.ungrouped(list(fits)), inputs)
        return corrected(inputs.ungrouped(list(outputs)), starts)

    def of_group(self, points: PaddedPoints) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """What the heads say of events with like numbers of points, and the last fit by the names of its parts."""
        hits = self.geometry.hits(points)
        others = [column for column in range(points.features.shape[2]) if column != self.geometry.time]
        features = points.features[..., others]
        fit = self.geometry.first_fit(hits)
        event = features.new_zeros(0)
        for stage in self.stages:
            fit, event = stage(hits, features, points.mask, fit)
        shared = self.shared(torch.cat([event, self.geometry.numbers(hits, points.mask, fit)], 1))
        return {name: head(shared) for name, head in zip(self.names, self.heads, strict=True)}, self.geometry.named(fit)


def _head(width: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(width, width), nn.SiLU(), nn.Linear(width, outputs))
