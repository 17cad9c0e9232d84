"""Predicted classes and scores written as a larcv3 file."""

from pathlib import Path
from typing import Any

import numpy as np

from airshower.data.pixels import FoundPixels
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

    def pack(self, found: FoundPixels) -> Packed:
        """Voxels by product and plane."""
        products: Packed = {}
        ends = np.searchsorted(found.plane, np.arange(len(self.metas) + 1))
        for meta, begin, end in zip(self.metas, ends[:-1], ends[1:], strict=True):
            span = slice(begin, end)
            ids = found.column[span] * meta.number_of_voxels[1] + found.row[span]  # along the time axis first
            voxels = {LABEL_PRODUCER: found.label[span]}
            if found.scores is not None:
                voxels |= {
                    f"airshower_{name}": found.scores[span, index] for index, name in enumerate(CLASSES) if index
                }
            for name, values in voxels.items():
                products.setdefault(name, []).append(Voxels(ids, values.astype(np.float32)))
        return products

    def append(self, entry: int, packed: Packed) -> None:
        """Add one event."""
        products = {name: list(zip(self.metas, planes, strict=True)) for name, planes in packed.items()}
        run, subrun, event = self.event_ids[entry].tolist()
        self.writer.append((run, subrun, event), products)
