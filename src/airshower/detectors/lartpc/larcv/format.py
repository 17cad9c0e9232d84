"""The larcv3 HDF5 format: tables, record types and product names.

A file holds `/Events/event_id` (one row per event) and, for each product, a group `/Data/<type>_<producer>_group`:

- sparse2d, sparse3d: `extents` (event -> rows of `voxel_extents` and `image_meta`), `voxel_extents` (one row per
  projection -> rows of `voxels`), `image_meta`, `voxels`;
- cluster2d, cluster3d: `extents` -> `projection_extents` and `image_meta` -> `cluster_extents` -> `voxels`;
- particle: `extents` -> `particles`.

`first` counts from the start of the file. A voxel id is row-major with the last axis fastest: id = c0 * n1 + c1; for
wire images c0 is the wire (the image's column) and c1 the time tick (its row). Record types are padded as larcv's C
structs are. Source: larcv 3.5.1 (github.com/DeepLearnPhysics/larcv3).
"""

import numpy as np

EVENT_ID = np.dtype([("run", "<i8"), ("subrun", "<i8"), ("event", "<i8")])
EXTENTS = np.dtype({"names": ["first", "N"], "formats": ["<u8", "<u4"], "offsets": [0, 8], "itemsize": 16})
ID_EXTENTS = np.dtype([("first", "<u8"), ("N", "<u4"), ("ID", "<u4")])
VOXEL = np.dtype({"names": ["id", "value"], "formats": ["<u8", "<f4"], "offsets": [0, 8], "itemsize": 16})
POINT = np.dtype([("x", "<f8"), ("y", "<f8"), ("z", "<f8"), ("t", "<f8")])

PARTICLE = np.dtype(
    {
        "names": "id mcst_index mct_index shape current_type interaction_type trackid pdg px py pz vtx end_pt "
        "first_step last_step dist_travel energy_init energy_deposit process parent_trackid parent_pdg parent_vtx "
        "ancestor_trackid ancestor_pdg ancestor_vtx".split(),
        "formats": ["<u2", "<u2", "<u2", "<i4", "<i2", "<i2", "<u4", "<i4", "<f8", "<f8", "<f8"]
        + [POINT] * 4
        + ["<f8", "<f8", "<f8", "S64", "<u4", "<i4", POINT, "<u4", "<i4", POINT],
        "offsets": [0, 2, 4, 8, 12, 14, 16, 20, 24, 32, 40, 48, 80, 112, 144]
        + [176, 184, 192, 200, 264, 268, 272, 304, 308, 312],
        "itemsize": 344,
    }
)
"""Momenta and energies in GeV, positions in cm, times in ns; "unset" is the largest value of the type."""

UNSET_PARTICLE = np.zeros((), PARTICLE)
for _name in ("id", "mcst_index", "mct_index", "trackid", "parent_trackid", "ancestor_trackid"):
    UNSET_PARTICLE[_name] = np.iinfo(PARTICLE[_name]).max
UNSET_PARTICLE["current_type"] = UNSET_PARTICLE["interaction_type"] = UNSET_PARTICLE["dist_travel"] = -1

EVENT_IDS = "Events/event_id"
CHUNKS = {"extents": 10, "voxel_extents": 100, "projection_extents": 100, "cluster_extents": 100, "image_meta": 100}


def image_meta(dimension: int) -> np.dtype:
    """The record type of `image_meta` for images of 2 or 3 dimensions: 24 + 24 * dimension bytes."""
    names = ["valid", "projection_id", "image_sizes", "number_of_voxels", "origin"]
    formats = ["u1", "<u8"] + [(code, (dimension,)) for code in ("<f8", "<u8", "<f8")]
    offsets = [0, 8] + [16 + 8 * dimension * i for i in range(3)]
    return np.dtype({"names": names, "formats": formats, "offsets": offsets, "itemsize": 24 + 24 * dimension})


def group_name(kind: str, producer: str) -> str:
    """The group of a product, such as `Data/sparse2d_sbndwire_group`."""
    return f"Data/{kind}_{producer}_group"


def product_name(group: str) -> tuple[str, str] | None:
    """Kind and producer from the name of a group in `/Data`, None if it names no product."""
    kind, _, rest = group.partition("_")
    producer, _, suffix = rest.rpartition("_")
    return (kind, producer) if producer and suffix == "group" else None
