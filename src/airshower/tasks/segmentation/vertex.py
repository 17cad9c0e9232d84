"""The neutrino's vertex in each plane, found on a coarse grid."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from airshower.config.fields import number
from airshower.data.batch import Batch
from airshower.data.spec import SparseImagesSpec, Spec
from airshower.networks.uresnet.sparse import EMPTY
from airshower.writers.figures import Figure, distance_figure

NEAR = 5.0  # cm
METRICS = {
    "VertexDetection": "vertex_found",
    "VertexWithin5cm": "vertex_near",
    "VertexResolution": "vertex_distance",
}


@dataclass
class VertexConfig:
    """`task.vertex.*`; `weight` 0 disables the head."""

    weight: float = number(0.0, low=0.0)
    offset_weight: float = number(3.0, low=0.0)
    reach: float = number(2.0, low=0.0)
    same_tick: bool = True


class Vertex:
    """Presence of the vertex in each cell, and its position relative to the cell, from logits [events, planes, 3, rows,
    columns].

    A sparse network has no output in cells without sites. There the nearest cell that has one stands for the vertex, if
    it is within `reach` cells; positions go that far beyond a cell, linear in a sigmoid. Farther ones are left out of
    the loss, and never found.

    With `same_tick` the vertex is looked for in the row of cells in which the planes' largest probabilities have the
    largest sum, since all planes see it at the time of its drift; else where each plane says so by itself.

    Presence: focal cross entropy with gamma 2 (Lin et al. 2017), summed over cells, mean over images. Position: squared
    distance in cells, mean over vertices. Both times `weight`, the second times `offset_weight`, too.
    """

    channels = 3
    needs = ("vertex", "the neutrino's vertex (cluster2d_<data.particle_producer>)")
    headline: ClassVar[dict[str, str]] = {"Average/VertexWithin5cm": "vertex within 5 cm"}

    def __init__(self, config: VertexConfig, source: Spec):
        self.config: VertexConfig = config
        self.spec: SparseImagesSpec = source["images"]
        of_plane = {"row": "pixel", "column": "pixel", "distance": "cm"}
        self.units = {
            f"vertex{plane}_{name}": unit for plane in range(self.spec.planes) for name, unit in of_plane.items()
        }
        self.has_truth = "vertex" in source.known

    def target(self, batch: Batch) -> Tensor | None:
        """True row and column in pixels of the network's input, float32 [events, planes, 2], NaN without a
        vertex; None if the files have no truth."""
        if not self.has_truth or batch.truth is None:
            return None
        vertex = batch.truth.get("vertex")["vertex"]
        position = torch.as_tensor(vertex, dtype=torch.float32, device=batch["images"].row.device)
        return position / 2**self.spec.downsample

    def weights(self, target: Tensor) -> Tensor:
        """The terms' weights of these events, float64 [2]: images and vertices."""
        present = _has_vertex(target)
        return torch.stack([present.new_tensor(present.numel(), dtype=torch.float64), present.sum().double()])

    def loss(self, logits: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        """The terms' totals and weights, both [2]."""
        present = _has_vertex(target)
        presence = logits[:, :, 0].flatten(2)
        cell, place = self._placed(logits, torch.nan_to_num(target))
        present = present & self._reached(place)
        truth = torch.zeros_like(presence).scatter_(2, cell[:, :, None], present[:, :, None].to(presence.dtype))
        entropy = functional.binary_cross_entropy_with_logits(presence, truth, reduction="none")
        focal = (torch.expm1(-entropy).square() * entropy).sum()
        distance = (self._place(logits, cell) - place).square().sum(2)
        totals = torch.stack([focal, self.config.offset_weight * distance[present].sum()])
        return self.config.weight * totals, self.weights(target).to(logits.dtype)

    def count(self, logits: Tensor, target: Tensor) -> dict[str, Tensor]:
        """By plane: true vertices, those whose cell is the most probable one, those found within `NEAR`, and the sum of
        distances in cm."""
        logits = logits.detach()
        present = _has_vertex(target)
        truth = torch.nan_to_num(target)
        cell, place = self._placed(logits, truth)
        correct = present & self._reached(place) & (self._best(logits) == cell)
        distance = self.distance(self.position(logits), truth)
        return {
            "vertex_count": present.sum(0),
            "vertex_found": correct.sum(0),
            "vertex_near": (present & (distance <= NEAR)).sum(0),
            "vertex_distance": torch.where(present, distance, 0.0).sum(0).double(),
        }

    def metrics(self, counters: dict[str, Tensor]) -> dict[str, float]:
        """Fractions of vertices whose cell is found, and that are found within 5 cm, and mean distance (cm), by plane
        and over all."""
        named: dict[str, float] = {}
        if "vertex_count" not in counters:
            return named
        for name, key in METRICS.items():
            count = counters["vertex_count"].double()
            value = counters[key].double()
            named |= {f"plane{plane}/{name}": float(v) for plane, v in enumerate(value / count)}
            named[f"Average/{name}"] = float(value.sum() / count.sum())
        return named

    def position(self, logits: Tensor) -> Tensor:
        """Row and column of the most probable vertex, in pixels of the network's input, float32 [events, planes, 2]."""
        cell = self._best(logits)
        return (self._corner(logits, cell) + self._place(logits, cell)).float() * self._cell_size(logits)

    def distance(self, position: Tensor, truth: Tensor) -> Tensor:
        """Distance in cm [...] between two positions [..., 2] in pixels."""
        size = torch.tensor(self.spec.pixel_size, device=truth.device) * 2**self.spec.downsample
        return ((position - truth) * size).norm(dim=-1)

    def predictions(self, logits: Tensor, target: Tensor | None) -> dict[str, np.ndarray]:
        """Columns of a table of events: by plane the position found (pixels of the images as read), the probability of
        its cell, and the distance to the true one (cm, NaN without)."""
        position = self.position(logits)
        score = self._at(logits, self._best(logits))[:, :, 0].sigmoid()
        distance = self.distance(position, torch.full_like(position, torch.nan) if target is None else target)
        position = position * 2**self.spec.downsample
        columns = {}
        for plane in range(logits.shape[1]):
            values = {"row": position[:, plane, 0], "column": position[:, plane, 1], "score": score[:, plane]}
            values["distance"] = distance[:, plane]
            columns |= {f"vertex{plane}_{name}": value.cpu().numpy() for name, value in values.items()}
        return columns

    def summary(self, counters: dict[str, Tensor]) -> dict[str, list]:
        """Empty: all values are in the metrics."""
        return {}

    def figures(self, counters: dict[str, Tensor], events: dict[str, np.ndarray]) -> dict[str, Figure]:
        """The distance between true and predicted vertex, by plane."""
        if "vertex_count" not in counters:
            return {}
        names = [f"vertex{plane}_distance" for plane in range(len(counters["vertex_count"]))]
        return {
            "vertex_distance": distance_figure([events[name] for name in names], "distance to the true vertex (cm)")
        }

    def _cell_size(self, logits: Tensor) -> int:
        return self.spec.pooled[0] // logits.shape[3]

    def _placed(self, logits: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        """The cells that stand for vertices [events, planes], and where these are from its corner, in cells."""
        in_cells = target / self._cell_size(logits)
        cell = self._cell(logits, in_cells)
        return cell, in_cells - self._corner(logits, cell)

    def _cell(self, logits: Tensor, in_cells: Tensor) -> Tensor:
        """[events, planes]: the cell of a position, or the nearest one that has an output."""
        row, column = in_cells.long().unbind(2)
        own = row * logits.shape[4] + column
        empty = logits[:, :, 0].flatten(2) <= EMPTY
        rows, columns = (torch.arange(size, device=logits.device) + 0.5 for size in logits.shape[3:])
        apart = [centres - at[..., None] for centres, at in zip((rows, columns), in_cells.unbind(2), strict=True)]
        distance = (apart[0].square()[..., None] + apart[1].square()[:, :, None]).flatten(2)
        nearest = distance.masked_fill(empty, torch.inf).argmin(2)
        return torch.where(empty.gather(2, own[:, :, None])[:, :, 0], nearest, own)

    def _corner(self, logits: Tensor, cell: Tensor) -> Tensor:
        """[events, planes, 2]: row and column of the cell."""
        columns = logits.shape[4]
        return torch.stack([cell // columns, cell % columns], 2)

    def _place(self, logits: Tensor, cell: Tensor) -> Tensor:
        """[events, planes, 2]: where a cell says that the vertex is, from its corner, in cells."""
        reach = self.config.reach
        return (1 + 2 * reach) * self._at(logits, cell)[:, :, 1:].sigmoid() - reach

    def _reached(self, place: Tensor) -> Tensor:
        """Whether places from a cell's corner are within reach of it."""
        return ((place - 0.5).abs() <= 0.5 + self.config.reach).all(2)

    def _best(self, logits: Tensor) -> Tensor:
        """[events, planes]: the most probable cell; with `same_tick` in the same row of all planes."""
        presence = logits[:, :, 0]
        if not self.config.same_tick:
            return presence.flatten(2).argmax(2)
        row = presence.amax(3).sigmoid().sum(1).argmax(1)[:, None]
        cells = presence.take_along_dim(row[:, :, None, None], 2)[:, :, 0]
        return row * presence.shape[3] + cells.argmax(2)

    def _at(self, logits: Tensor, cell: Tensor) -> Tensor:
        """[events, planes, 3]: the logits of one cell in each image."""
        index = cell[:, :, None, None].expand(-1, -1, logits.shape[2], 1)
        return logits.flatten(3).gather(3, index)[..., 0]


def _has_vertex(target: Tensor) -> Tensor:
    return target[:, :, 0].isfinite()
