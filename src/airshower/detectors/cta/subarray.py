"""The telescopes of files: merging those of several files, and selecting those of a run."""

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from airshower.data.spec import CameraImagesSpec
from airshower.errors import DataError, UserError
from airshower.geometry.camera import CameraGeometry

ALIKE = 0.1  # m; positions and focal lengths of one telescope
SAME = 1e-4  # m; pixels of one camera agree to this in files of different writers
SAME_AREA, SAME_ROTATION = 0.01, 0.1  # relative; deg


@dataclass(frozen=True, eq=False)
class Subarray:
    """The telescopes of a file, in the order of its table.

    `ids` int64 [telescopes]; `types` (LST, MST, SST), `names` and `descriptions`, one string each; `position` f8
    [telescopes, 3] and `focal_length` f8 [telescopes] in m, the effective one, or the nominal where the file lacks it;
    `camera` int64 [telescopes], rows of `cameras`, see `distinct_cameras`.
    """

    ids: np.ndarray
    types: tuple[str, ...]
    names: tuple[str, ...]
    descriptions: tuple[str, ...]
    position: np.ndarray
    focal_length: np.ndarray
    camera: np.ndarray
    cameras: tuple[CameraGeometry, ...]

    def rows(self, ids: np.ndarray) -> np.ndarray:
        """Rows of the telescopes with these ids, int64; -1 for a missing one."""
        order = np.argsort(self.ids)
        rows = order[np.searchsorted(self.ids[order], ids).clip(max=len(order) - 1)]
        return np.where(self.ids[rows] == ids, rows, -1)

    def described(self, rows: np.ndarray | None = None) -> str:
        """Types of telescopes with their number and camera, for messages."""
        rows = np.arange(len(self.ids)) if rows is None else rows
        kinds = [(self.types[row], self.cameras[self.camera[row]].name) for row in rows]
        return ", ".join(f"{kinds.count(kind)} {kind[0]} with {kind[1]}" for kind in dict.fromkeys(kinds))


def distinct_cameras(
    types: Sequence[str], cameras: Sequence[CameraGeometry]
) -> tuple[tuple[CameraGeometry, ...], np.ndarray]:
    """The distinct cameras of telescopes of these `types`, and the row of each telescope's camera among them.

    Cameras are the same if their pixels and the telescopes' types agree: files repeat cameras, and productions name
    them differently. LSTCam and NectarCam, with pixels at the same positions, are two.
    """
    distinct: list[tuple[str, CameraGeometry]] = []
    rows = []
    for kind, camera in zip(types, cameras, strict=True):
        same = (
            row
            for row, (other, known_camera) in enumerate(distinct)
            if other == kind and same_camera(camera, known_camera)
        )
        rows.append(next(same, len(distinct)))
        if rows[-1] == len(distinct):
            distinct.append((kind, camera))
    return tuple(camera for _, camera in distinct), np.array(rows, np.int64)


@functools.lru_cache(4096)  # of thousands of files
def same_camera(one: CameraGeometry, other: CameraGeometry) -> bool:
    """True if two cameras have the same pixels in the same order with the same orientation, with any names."""
    return one is other or (
        one.shape == other.shape
        and len(one) == len(other)
        and np.allclose(one.position, other.position, rtol=0, atol=SAME)
        and np.allclose(one.area, other.area, rtol=SAME_AREA, atol=0)
        and abs(one.camera_rotation - other.camera_rotation) < SAME_ROTATION
    )


def merge_subarrays(subarrays: Sequence[tuple[Path, Subarray]]) -> tuple[Subarray, list[np.ndarray]]:
    """The telescopes of several files as one array in the order of their ids, and for each file the rows of its
    telescopes in it, int64. Raises `DataError` if files have different telescopes of the same id."""
    telescopes: dict[int, tuple] = {}
    distinct_arrays = dict(reversed([(array, path) for path, array in subarrays]))  # with the first file of each
    for array, path in reversed(distinct_arrays.items()):
        for row, tel_id in enumerate(array.ids.tolist()):
            position = (*array.position[row], array.focal_length[row])
            camera = array.cameras[array.camera[row]]
            text = (array.types[row], array.names[row], array.descriptions[row])
            first, first_position, other, first_text = telescopes.setdefault(tel_id, (path, position, camera, text))
            same = (
                first_text[0] == text[0]
                and np.allclose(position, first_position, rtol=0, atol=ALIKE)
                and same_camera(camera, other)
            )
            if not same:
                raise DataError(f"{path}: its telescope {tel_id} is not the one of {first}; such files are read apart")
    ids = np.array(sorted(telescopes))
    _, places, cameras, texts = zip(*(telescopes[tel_id] for tel_id in ids.tolist()), strict=True)
    types, names, descriptions = zip(*texts, strict=True)
    distinct, camera = distinct_cameras(types, cameras)
    position = np.array(places)
    merged = Subarray(ids, types, names, descriptions, position[:, :3], position[:, 3], camera, distinct)
    rows = {array: np.searchsorted(ids, array.ids) for array in distinct_arrays}
    return merged, [rows[array] for _, array in subarrays]


def chosen_telescopes(array: Subarray, telescopes: Sequence[int], types: Sequence[str]) -> np.ndarray:
    """True for the telescopes that `data.telescopes` and `data.telescope_types` select, bool [telescopes]."""
    for wanted in telescopes:
        if wanted not in array.ids:
            ids = ", ".join(map(str, array.ids))
            raise UserError(f"data.telescopes: telescope {wanted} is not in the subarray; it has {ids}")
    named = [
        {array.types[row], array.names[row], array.descriptions[row], array.cameras[array.camera[row]].name}
        for row in range(len(array.ids))
    ]
    for wanted in types:
        if not any(wanted in names for names in named):
            raise UserError(
                f"data.telescope_types: there are no telescopes {wanted}; there are {array.described()}; [] takes all"
            )
    of_type = np.array([not types or bool(names & set(types)) for names in named])
    allowed = of_type & (np.isin(array.ids, telescopes) if telescopes else True)
    if not allowed.any():
        raise UserError("data.telescopes and data.telescope_types: no telescope is in both")
    return allowed


def spec_of(array: Subarray, allowed: np.ndarray, mode: str) -> CameraImagesSpec:
    """The spec of the images of these telescopes. Raises `UserError` for several cameras if `mode` is mono."""
    rows = np.flatnonzero(allowed)
    cameras = list(dict.fromkeys(array.camera[rows].tolist()))  # by telescope ids, in whatever order the files came
    if mode == "mono" and len(cameras) > 1:
        one = {array.types[row] for row in rows}
        how = f"data.telescope_types=[{array.types[rows[0]] if len(one) > 1 else array.descriptions[rows[0]]}]"
        raise UserError(
            f"data.mode=mono: a network for single images sees one kind of camera, there are "
            f"{array.described(rows)}; choose with {how} or data.telescopes, or take data.mode=stereo"
        )
    return CameraImagesSpec(
        mode,
        tuple(array.cameras[kind] for kind in cameras),
        array.ids[rows],
        tuple(array.types[row] for row in rows),
        array.position[rows],
        array.focal_length[rows],
        np.array([cameras.index(kind) for kind in array.camera[rows]]),
    )
