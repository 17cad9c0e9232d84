"""The neutrino's vertex in each plane, found on a coarse grid."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from airshower.config.fields import number
from airshower.data.batch import Batch
from airshower.data.source import ImageSpec
from airshower.networks.sparse import EMPTY
from airshower.writers.figures import Figure, distance_figure


@dataclass
class VertexConfig:
    """`task.vertex.*`; `weight` 0 leaves the head out."""

    weight: float = number(0.0, low=0.0)
    offset_weight: float = number(3.0, low=0.0)


class Vertex:
    """Presence in each cell and the place in the cell that holds the vertex, from logits [events, planes, 3, rows,
    columns].

    Presence: focal cross entropy with gamma 2 (Lin et al. 2017), summed over cells, mean over images. Place: squared
    distance in cells, mean over vertices. Both times `weight`, the second times `offset_weight`, too.
    """

    channels = 3
    needs = ("vertex", "the neutrino's vertex (cluster2d_<data.particle_producer>)")
    headline: ClassVar[dict[str, str]] = {"Average/VertexDetection": "vertex found"}

    def __init__(self, config: VertexConfig, spec: ImageSpec):
        self.config, self.spec = config, spec

    def target(self, batch: Batch) -> Tensor | None:
        """True row and column in pixels of the network's input, float32 [events, planes, 2], NaN where there is no
        vertex; None where the files do not tell."""
        truth = batch.truth(("vertex",))
        if "vertex" not in truth:
            return None
        position = torch.as_tensor(truth["vertex"], dtype=torch.float32, device=batch.images.row.device)
        return position / 2**self.spec.downsample

    def weights(self, target: Tensor) -> Tensor:
        """The terms' weights of these events, float64 [2]: images and vertices."""
        there = _there(target)
        return torch.stack([there.new_tensor(there.numel(), dtype=torch.float64), there.sum().double()])

    def loss(self, logits: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        """The terms' totals and weights, both [2]."""
        there, presence = _there(target), logits[:, :, 0].flatten(2)
        in_cells = self._in_cells(logits, torch.nan_to_num(target))
        cell = self._cell(logits, in_cells)
        # a sparse network has no say in a cell without a site: such a vertex is none that it could learn
        there = there & (presence.gather(2, cell[:, :, None])[:, :, 0] > EMPTY)
        truth = torch.zeros_like(presence).scatter_(2, cell[:, :, None], there[:, :, None].to(presence.dtype))
        entropy = functional.binary_cross_entropy_with_logits(presence, truth, reduction="none")
        focal = (torch.expm1(-entropy).square() * entropy).sum()
        place = self._at(logits, cell)[:, :, 1:].sigmoid()
        distance = (place - in_cells.frac()).square().sum(2)
        totals = torch.stack([focal, self.config.offset_weight * distance[there].sum()])
        return self.config.weight * totals, self.weights(target).to(logits.dtype)

    def count(self, logits: Tensor, target: Tensor) -> dict[str, Tensor]:
        """By plane: true vertices, those whose cell is the most probable one, and the sum of distances in cm."""
        logits, there, truth = logits.detach(), _there(target), torch.nan_to_num(target)
        found = there & (self._best(logits) == self._cell(logits, self._in_cells(logits, truth)))
        distance = self.distance(self.position(logits), truth)
        return {
            "vertex_count": there.sum(0),
            "vertex_found": found.sum(0),
            "vertex_distance": torch.where(there, distance, 0.0).sum(0).double(),
        }

    def metrics(self, counters: dict[str, Tensor]) -> dict[str, float]:
        """Share of vertices whose cell is found, and mean distance (cm), by plane and over all."""
        named: dict[str, float] = {}
        if "vertex_count" not in counters:
            return named
        for name, key in (("VertexDetection", "vertex_found"), ("VertexResolution", "vertex_distance")):
            count, value = counters["vertex_count"].double(), counters[key].double()
            named |= {f"plane{plane}/{name}": float(v) for plane, v in enumerate(value / count)}
            named[f"Average/{name}"] = float(value.sum() / count.sum())
        return named

    def position(self, logits: Tensor) -> Tensor:
        """Row and column of the most probable vertex, in pixels of the network's input, float32 [events, planes, 2]."""
        cell, columns = self._best(logits), logits.shape[4]
        corner = torch.stack([cell // columns, cell % columns], 2)
        return (corner + self._at(logits, cell)[:, :, 1:].sigmoid()).float() * self._cell_size(logits)

    def distance(self, position: Tensor, truth: Tensor) -> Tensor:
        """Distance in cm [...] between two positions [..., 2] in pixels."""
        size = torch.tensor(self.spec.pixel_size, device=truth.device) * 2**self.spec.downsample
        return ((position - truth) * size).norm(dim=-1)

    def predictions(self, logits: Tensor, target: Tensor | None) -> dict[str, np.ndarray]:
        """Columns of a table of events: by plane the position found (pixels of the images as read), the probability of
        its cell, and the distance to the true one (cm, NaN without)."""
        position = self.position(logits)
        score = logits[:, :, 0].flatten(2).amax(2).sigmoid()
        distance = self.distance(position, torch.full_like(position, torch.nan) if target is None else target)
        position = position * 2**self.spec.downsample
        columns = {}
        for plane in range(logits.shape[1]):
            values = {"row": position[:, plane, 0], "column": position[:, plane, 1], "score": score[:, plane]}
            values["distance"] = distance[:, plane]
            columns |= {f"vertex{plane}_{name}": value.cpu().numpy() for name, value in values.items()}
        return columns

    def summary(self, counters: dict[str, Tensor]) -> dict[str, list]:
        """Nothing: the metrics say it."""
        return {}

    def figures(self, counters: dict[str, Tensor], events: dict[str, np.ndarray]) -> dict[str, Figure]:
        """How far from the true vertex the one found lies, by plane."""
        if "vertex_count" not in counters:
            return {}
        names = [f"vertex{plane}_distance" for plane in range(len(counters["vertex_count"]))]
        return {
            "vertex_distance": distance_figure([events[name] for name in names], "distance to the true vertex (cm)")
        }

    def _cell_size(self, logits: Tensor) -> int:
        return self.spec.pooled[0] // logits.shape[3]

    def _in_cells(self, logits: Tensor, target: Tensor) -> Tensor:
        return target / self._cell_size(logits)

    def _cell(self, logits: Tensor, in_cells: Tensor) -> Tensor:
        row, column = in_cells.long().unbind(2)
        return row * logits.shape[4] + column

    def _best(self, logits: Tensor) -> Tensor:
        """[events, planes]: the most probable cell."""
        return logits[:, :, 0].flatten(2).argmax(2)

    def _at(self, logits: Tensor, cell: Tensor) -> Tensor:
        """[events, planes, 3]: the logits of one cell in each image."""
        index = cell[:, :, None, None].expand(-1, -1, logits.shape[2], 1)
        return logits.flatten(3).gather(3, index)[..., 0]


def _there(target: Tensor) -> Tensor:
    return target[:, :, 0].isfinite()
