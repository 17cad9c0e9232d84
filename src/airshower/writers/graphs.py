"""Events of points as graphs of PyTorch Geometric."""

from typing import Any

import numpy as np
import torch

from airshower.data.points.writer import points_of
from airshower.data.source import Source
from airshower.data.truth import CLASS, Columns
from airshower.errors import UserError
from airshower.networks.layers.neighbours import nearest
from airshower.runtime.packages import imported


class Graphs:
    """A sequence of `torch_geometric.data.Data`, which `torch_geometric.loader.DataLoader` takes as a dataset.

    Each has `pos` float32 [points, axes] in the spec's unit, `x` float32 [points, features] as networks take them,
    `edge_index` int64 [2, edges], from each of the `k` nearest others to a point, `ids` int64 [1, 3] and `y` float64
    [1, columns], the truth: `columns` are the names of its numbers, classes are rows of the spec's, NaN where something
    is not known. Raises `UserError` for events without points, and without torch_geometric.
    """

    def __init__(self, source: Source, entries: np.ndarray, k: int):
        if k < 1:
            raise UserError(f"graphs: k={k}: must be at least 1")
        self.data: Any = imported("torch_geometric.data").Data
        self.source = source
        self.entries = entries
        self.k = k
        self.container = points_of(source.spec, "graphs")
        known = [column for column in source.spec.truth if column.name in source.spec.known]
        self.columns = tuple(part for column in known for part in column.parts or (column.name,))

    def __len__(self) -> int:
        return len(self.entries)

    def __getitem__(self, number: int) -> Any:
        """The graph of one event."""
        batch = self.source.read(self.entries[[number]])
        points = batch[self.container]
        position = torch.from_numpy(points.position)
        truth = self.source.truth(batch.entries)
        return self.data(
            x=torch.from_numpy(points.features),
            edge_index=edges(position, self.k),
            pos=position,
            y=torch.from_numpy(self._numbers(truth)),
            ids=torch.from_numpy(batch.event_ids),
        )

    def _numbers(self, truth: Columns) -> np.ndarray:
        values = []
        for name, column in truth.items():
            numbers = column.reshape(1, -1).astype(np.float64)
            kind = self.source.spec.column(name)
            unknown = kind is not None and kind.kind == CLASS and numbers < 0
            values.append(np.where(unknown, np.nan, numbers))
        return np.concatenate(values, 1) if values else np.zeros((1, 0))


def edges(position: torch.Tensor, k: int) -> torch.Tensor:
    """Edges int64 [2, edges] of one event's points at `position` [points, axes]: from neighbours (row 0) to points."""
    if not len(position):
        return torch.zeros((2, 0), dtype=torch.int64)
    index, valid = nearest(position[None], torch.ones((1, len(position)), dtype=torch.bool), k)
    target = torch.arange(len(position))[:, None].expand(-1, index.shape[2])
    return torch.stack([index[0][valid[0]], target[valid[0]]])
