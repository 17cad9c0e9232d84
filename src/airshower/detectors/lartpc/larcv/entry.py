"""What is read of a larcv3 file of wire images to open it, as named arrays for the index of many files, and back."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from airshower.data.index_table import Entry
from airshower.detectors.lartpc.larcv.file import LarcvFile
from airshower.detectors.lartpc.larcv.images import ImageTable, Voxels
from airshower.detectors.lartpc.larcv.planes import Planes
from airshower.detectors.lartpc.larcv.voxels import VoxelTable
from airshower.errors import DataError
from airshower.runtime.hdf5_input import reading

KIND = "sparse2d"
PLANES = ("ids", "filled", "meta", "order")


@dataclass(frozen=True)
class Products:
    """Producer names in the file; an empty label or particle name means that none is used."""

    image: str
    label: str
    particle: str


def read_entry(file: LarcvFile, products: Products) -> Entry:
    """The arrays of the tables of wires (`image`) and labels; `event_ids` int64 [events, 3]; `shift` int64 [events,
    planes, axes] of labels in pixels and `moved` bool [events] where it is not 0 or labels have other images; names of
    `group`s; `digest`. Raises `DataError` where labels do not fit the wires."""
    images = file.images(products.image)
    labels = file.images(products.label) if products.label else None
    common_shape(images)
    joined = {} if labels is None else {**_pack_images("label", labels), **_join_labels(images, labels)}
    ids = file.event_ids
    event_ids = np.stack([ids["run"], ids["subrun"], ids["event"]], 1)
    assert isinstance(images.voxels, VoxelTable)
    return {
        **_pack_images("image", images),
        **joined,
        "event_ids": event_ids,
        "group": np.array(file.groups, np.str_),
        "digest": np.array(_index_digest(file.path, event_ids, images, images.voxels, products)),
    }


def unpack_images(entry: Entry, name: str, where: str, voxels: Voxels) -> ImageTable:
    """The table of images of this name in an entry; `where` names it in messages."""
    planes = Planes(where, *(entry[f"{name}.{part}"] for part in PLANES))
    return ImageTable(planes, entry[f"{name}.first"], entry[f"{name}.counts"], voxels)


def _pack_images(name: str, table: ImageTable) -> dict[str, np.ndarray]:
    planes = {f"{name}.{part}": getattr(table.planes, part) for part in PLANES}
    return {**planes, f"{name}.first": table.first, f"{name}.counts": table.counts}


def _join_labels(table: ImageTable, label_table: ImageTable) -> dict[str, np.ndarray]:
    images = table.planes
    labels = label_table.planes
    for entry in np.flatnonzero(images.filled != labels.filled)[:1]:
        have, lack = (images, labels) if images.filled[entry] else (labels, images)
        raise DataError(f"{lack.where}, entry {entry}: has no images, but {have.name} has")
    shift = labels.shift(images)
    other_size = (label_table.shapes != table.shapes).any()
    return {"shift": shift, "moved": shift.any((1, 2)) | other_size}


def common_shape(images: ImageTable) -> tuple[int, int]:
    """(ticks, wires) of all planes; planes of unequal size can't share one network and are refused."""
    if (images.shapes != images.shapes[0]).any():
        sizes = ", ".join(" x ".join(map(str, shape)) for shape in images.shapes)
        raise DataError(f"{images.where}: its planes differ in size ({sizes}); they must be equal")
    wires, ticks = (int(n) for n in images.shapes[0])
    return ticks, wires


def _index_digest(path: Path, event_ids: np.ndarray, images: ImageTable, voxels: VoxelTable, products: Products) -> str:
    """A hash of the data in use: products, the file's size, event ids, extents, geometry and pieces of its voxel table.

    Hashing a whole file of terabytes would cost more than using it; 64 pieces spread over the table distinguish files
    that differ only in their values.
    """
    digest = hashlib.sha256(f"{path.stat().st_size} {products}".encode())
    for table in (event_ids, images.first, images.counts, images.shapes):
        digest.update(np.ascontiguousarray(table).tobytes())
    dataset = voxels.dataset
    for start in np.unique(np.linspace(0, max(0, len(dataset) - 16), 64).astype(int)):
        with reading(images.where):
            piece = dataset[start : start + 16]
        digest.update(piece["id"].tobytes() + piece["value"].tobytes())
    return digest.hexdigest()
