"""The telescopes of files: which there are, which of those of several files are the same, and which a run takes."""

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from airshower.data.showers import IactSpec
from airshower.detectors.cta.camera import CameraGeometry
from airshower.errors import DataError, UserError

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
        """Rows of the telescopes with these ids, int64; -1 for one that is not there."""
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
    """The different ones of the cameras of telescopes of these `types`, and of each telescope its row among them.

    Cameras are one where the pixels agree, and so do the telescopes' types: files repeat a camera, and productions call
    it otherwise, but LSTCam and NectarCam, with pixels at the same places, are two.
    """
    found: list[tuple[str, CameraGeometry]] = []
    rows = []
    for kind, camera in zip(types, cameras, strict=True):
        same = (row for row, (other, there) in enumerate(found) if other == kind and same_camera(camera, there))
        rows.append(next(same, len(found)))
        if rows[-1] == len(found):
            found.append((kind, camera))
    return tuple(camera for _, camera in found), np.array(rows, np.int64)


@functools.lru_cache(4096)  # of thousands of files
def same_camera(one: CameraGeometry, other: CameraGeometry) -> bool:
    """Whether two cameras have the same pixels in the same order and see the sky alike, whatever they are called."""
    return one is other or (
        one.shape == other.shape
        and len(one) == len(other)
        and np.allclose(one.position, other.position, rtol=0, atol=SAME)
        and np.allclose(one.area, other.area, rtol=SAME_AREA, atol=0)
        and abs(one.camera_rotation - other.camera_rotation) < SAME_ROTATION
    )


def merge_subarrays(subarrays: Sequence[tuple[Path, Subarray]]) -> tuple[Subarray, list[np.ndarray]]:
    """The telescopes of several files as one array in the order of their ids, and of each file the rows in it of its
    telescopes, int64. Raises `DataError` if files have different telescopes of the same id."""
    telescopes: dict[int, tuple] = {}
    for path, array in subarrays:
        for row, tel_id in enumerate(array.ids.tolist()):
            place, camera = (*array.position[row], array.focal_length[row]), array.cameras[array.camera[row]]
            text = (array.types[row], array.names[row], array.descriptions[row])
            first, there, other, said = telescopes.setdefault(tel_id, (path, place, camera, text))
            same = said[0] == text[0] and np.allclose(place, there, rtol=0, atol=ALIKE) and same_camera(camera, other)
            if not same:
                raise DataError(f"{path}: its telescope {tel_id} is not the one of {first}; such files are read apart")
    ids = np.array(sorted(telescopes))
    _, places, cameras, texts = zip(*(telescopes[tel_id] for tel_id in ids.tolist()), strict=True)
    types, names, descriptions = zip(*texts, strict=True)
    distinct, camera = distinct_cameras(types, cameras)
    place = np.array(places)
    merged = Subarray(ids, types, names, descriptions, place[:, :3], place[:, 3], camera, distinct)
    return merged, [np.searchsorted(ids, array.ids) for _, array in subarrays]


def chosen_telescopes(array: Subarray, telescopes: Sequence[int], types: Sequence[str]) -> np.ndarray:
    """Which telescopes `data.telescopes` and `data.telescope_types` name, bool [telescopes]."""
    for wanted in telescopes:
        if wanted not in array.ids:
            there = ", ".join(map(str, array.ids))
            raise UserError(f"data.telescopes: telescope {wanted} is not in the subarray; it has {there}")
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


def spec_of(array: Subarray, allowed: np.ndarray, mode: str, classes: Sequence[str]) -> IactSpec:
    """What a source of these telescopes gives. Raises `UserError` for several cameras where `mode` is mono."""
    rows = np.flatnonzero(allowed)
    cameras = list(dict.fromkeys(array.camera[rows].tolist()))  # by telescope ids, in whatever order the files came
    if mode == "mono" and len(cameras) > 1:
        one = {array.types[row] for row in rows}
        how = f"data.telescope_types=[{array.types[rows[0]] if len(one) > 1 else array.descriptions[rows[0]]}]"
        raise UserError(
            f"data.mode=mono: a network for single images sees one kind of camera, there are "
            f"{array.described(rows)}; choose with {how} or data.telescopes, or take data.mode=stereo"
        )
    return IactSpec(
        mode,
        tuple(array.cameras[kind] for kind in cameras),
        array.ids[rows],
        tuple(array.types[row] for row in rows),
        array.position[rows],
        array.focal_length[rows],
        np.array([cameras.index(kind) for kind in array.camera[rows]]),
        tuple(classes),
    )
