"""Predicted classes and scores written as a larcv3 file."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from airshower.data.pixels import FoundPixels
from airshower.detectors.lartpc.larcv.planes import Planes
from airshower.detectors.lartpc.larcv.wires import CLASSES
from airshower.detectors.lartpc.larcv.writer import ImageMeta, LarcvWriter, Voxels

LABEL_PRODUCER = "airshower_label"
Packed = dict[str, list[Voxels]]


class WirePredictionWriter:
    """Writes, for every event, the predicted class of every pixel that is not background, and the class scores there.

    Products: `sparse2d_airshower_label` (1 cosmic, 2 neutrino) and, with scores,
    `sparse2d_airshower_cosmic` and `sparse2d_airshower_neutrino` (softmax probability) on the same pixels. Projections
    have the ids, the order, the extent and the origin of the event's wires in the input file; those of a downsampled
    image have larger pixels.

    `planes` are those of the wires of each file and `event_ids` int64 [events, 3] those of all files.
    """

    def __init__(self, path: Path, planes: Sequence[Planes], event_ids: np.ndarray, downsample: int, provenance: dict):
        self.planes = planes
        self.downsample = downsample
        self.ends = np.cumsum([len(file.filled) for file in planes])
        self.ticks = int(planes[0].shapes[0, 1]) >> downsample
        self.event_ids = event_ids
        self.path = path
        self.provenance = provenance

    def __enter__(self) -> "WirePredictionWriter":
        self.writer = LarcvWriter(self.path, self.provenance)
        return self

    def __exit__(self, *error: Any) -> None:
        self.writer.__exit__(*error)

    def pack(self, pixels: FoundPixels) -> Packed:
        """Voxels by product and plane."""
        products: Packed = {}
        ends = np.searchsorted(pixels.plane, np.arange(self.planes[0].count + 1))
        for span in map(slice, ends[:-1], ends[1:]):
            ids = pixels.column[span] * self.ticks + pixels.row[span]  # along the time axis first
            voxels = {LABEL_PRODUCER: pixels.label[span]}
            if pixels.scores is not None:
                voxels |= {
                    f"airshower_{name}": pixels.scores[span, index] for index, name in enumerate(CLASSES) if index
                }
            for name, values in voxels.items():
                products.setdefault(name, []).append(Voxels(ids, values.astype(np.float32)))
        return products

    def append(self, entry: int, packed: Packed) -> None:
        """Add one event."""
        file = int(np.searchsorted(self.ends, entry, side="right"))
        planes = self.planes[file]
        event = entry - (self.ends[file - 1] if file else 0)
        in_file = np.argsort(planes.order[event])
        metas = [self._meta(planes.meta[event, plane], int(planes.ids[plane])) for plane in in_file]
        products = {name: [(meta, voxels[plane]) for meta, plane in zip(metas, in_file, strict=True)]
                    for name, voxels in packed.items()}  # fmt: skip
        run, subrun, event_number = self.event_ids[entry].tolist()
        self.writer.append((run, subrun, event_number), products)

    def _meta(self, record: np.ndarray, projection_id: int) -> ImageMeta:
        pixels = tuple(int(n) >> self.downsample for n in record["number_of_voxels"])
        return ImageMeta(pixels, tuple(record["image_sizes"]), tuple(record["origin"]), projection_id)
