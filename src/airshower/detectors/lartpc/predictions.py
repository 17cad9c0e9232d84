"""Predicted classes and scores written as a larcv3 file."""

from pathlib import Path
from typing import Any

import numpy as np

from airshower.detectors.lartpc.larcv_writer import ImageMeta, LarcvWriter, Voxels
from airshower.detectors.lartpc.wires import CLASSES

LABEL_PRODUCER = "airshower_label"
Packed = dict[str, list[Voxels]]


class WirePredictionWriter:
    """Writes, for every event, the predicted class of every pixel that is not background, and the class scores there.

    Products: `sparse2d_airshower_label` (1 cosmic, 2 neutrino) and, if scores are asked for,
    `sparse2d_airshower_cosmic` and `sparse2d_airshower_neutrino` (softmax probability) on the same pixels. A
    downsampled image keeps the extent of the original, with larger pixels.
    """

    def __init__(self, path: Path, meta: np.ndarray, event_ids: np.ndarray, downsample: int, provenance: dict):
        self.metas = [
            ImageMeta(tuple(int(n) >> downsample for n in row["number_of_voxels"]), tuple(row["image_sizes"]),
                      tuple(row["origin"])) for row in meta
        ]  # fmt: skip
        self.event_ids, self.path, self.provenance = event_ids, path, provenance

    def __enter__(self) -> "WirePredictionWriter":
        self.writer = LarcvWriter(self.path, self.provenance)
        return self

    def __exit__(self, *error: Any) -> None:
        self.writer.__exit__(*error)

    def pack(self, labels: np.ndarray, scores: np.ndarray | None) -> Packed:
        """Voxels by product and plane, from `labels` u1 [planes, rows, columns] and `scores` f4 [planes, classes, rows,
        columns] or None."""
        products: Packed = {}
        for plane, label in enumerate(labels):
            by_wire = label.T.reshape(-1)  # larcv's ids run along the time axis first
            ids = np.flatnonzero(by_wire)
            voxels = {LABEL_PRODUCER: by_wire[ids]}
            if scores is not None:
                for index, name in enumerate(CLASSES[1:], 1):
                    voxels[f"airshower_{name}"] = scores[plane, index].T.reshape(-1)[ids]
            for name, values in voxels.items():
                products.setdefault(name, []).append(Voxels(ids, values.astype(np.float32)))
        return products

    def append(self, entry: int, packed: Packed) -> None:
        """Add one event."""
        products = {name: list(zip(self.metas, planes, strict=True)) for name, planes in packed.items()}
        self.writer.append(tuple(int(n) for n in self.event_ids[entry]), products)
