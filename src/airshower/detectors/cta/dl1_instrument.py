"""What DL1 files say of the telescopes, their cameras and the simulated runs."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from airshower.detectors.cta.camera import CameraGeometry
from airshower.detectors.cta.dl1_hdf5 import Hdf5
from airshower.errors import DataError

LAYOUT = "/configuration/instrument/subarray/layout"
OPTICS = "/configuration/instrument/telescope/optics"
GEOMETRY = "/configuration/instrument/telescope/camera/geometry_"
RUNS = ("/configuration/simulation/run", "/simulation/run_config")  # ctapipe, lstchain
ALIKE = 0.1  # m; positions and focal lengths of one telescope
SAME = 1e-4  # m; pixels of one camera agree to this in files of different writers


@dataclass(frozen=True, eq=False)
class Subarray:
    """The telescopes of a file, in the order of its layout table.

    `ids` int64 [telescopes]; `types` (LST, MST, SST), `names` and `descriptions`, one string each; `position` f8
    [telescopes, 3] and `focal_length` f8 [telescopes] in m, the effective one, or the nominal where the file lacks it;
    `camera` int64 [telescopes], rows of `cameras`, all different (files may repeat theirs).
    """

    ids: np.ndarray
    types: tuple[str, ...]
    names: tuple[str, ...]
    descriptions: tuple[str, ...]
    position: np.ndarray
    focal_length: np.ndarray
    camera: np.ndarray
    cameras: tuple[CameraGeometry, ...]


@dataclass(frozen=True)
class SimulatedRun:
    """What was thrown in a run: energies (TeV) by a power law, cores within a scatter radius (m), directions within a
    view cone (deg); `showers` different ones, each used `reuse` times."""

    obs_id: int
    energy_range: tuple[float, float]
    spectral_index: float
    scatter_radius: float
    view_cone: float
    showers: int
    reuse: int


def read_subarray(file: Hdf5) -> Subarray:
    """The telescopes. Raises `DataError` if there are none or a camera is missing."""
    layout = file.columns(LAYOUT, list(file.dtype(LAYOUT).names))
    columns = layout.dtype.names
    if not len(layout):
        raise DataError(f"{file.path}: {LAYOUT} has no telescopes")
    # older tables name their cameras and optics instead of numbering them
    keys = layout["camera_index" if "camera_index" in columns else "camera_name"]
    geometries = {key: _camera(file, _text(key)) for key in dict.fromkeys(keys.tolist())}
    cameras: list[CameraGeometry] = []
    for geometry in geometries.values():
        if not any(same_camera(geometry, camera) for camera in cameras):
            cameras.append(geometry)
    rows = {key: next(i for i, c in enumerate(cameras) if same_camera(g, c)) for key, g in geometries.items()}
    return Subarray(
        ids=layout["tel_id"].astype(np.int64),
        types=tuple(map(_text, layout["type"])),
        names=tuple(map(_text, layout["name"])),
        descriptions=tuple(map(_text, layout["tel_description"])),
        position=np.stack([file.quantity(LAYOUT, f"pos_{axis}") for axis in "xyz"], 1),
        focal_length=_focal_lengths(file)[_optics_rows(file, layout)],
        camera=np.array([rows[key] for key in keys.tolist()]),
        cameras=tuple(cameras),
    )


def same_camera(one: CameraGeometry, other: CameraGeometry) -> bool:
    """Whether two cameras have the same pixels in the same order, whatever they are called."""
    return (
        one.shape == other.shape
        and len(one.x) == len(other.x)
        and np.allclose(one.x, other.x, rtol=0, atol=SAME)
        and np.allclose(one.y, other.y, rtol=0, atol=SAME)
    )


def read_runs(file: Hdf5) -> list[SimulatedRun]:
    """The simulated runs; none for observations."""
    path = next((path for path in RUNS if path in file), None)
    if path is None:
        return []
    length, there = file.length(path), file.dtype(path).names

    def column(*names: str, unset: float = np.nan) -> list[float]:
        found = [name for name in names if name in there]
        return file.quantity(path, found[0]).tolist() if found else [unset] * length

    columns = (
        column("obs_id"),
        column("energy_range_min"),
        column("energy_range_max"),
        column("spectral_index"),
        column("max_scatter_range"),
        np.degrees(column("max_viewcone_radius")).tolist(),
        column("n_showers", "num_showers", unset=0),
        column("shower_reuse", unset=1),
    )
    return [
        SimulatedRun(int(obs_id), (low, high), index, radius, cone, int(showers), int(reuse))
        for obs_id, low, high, index, radius, cone, showers, reuse in zip(*columns, strict=True)
    ]


def _camera(file: Hdf5, key: str) -> CameraGeometry:
    path = GEOMETRY + key
    if path not in file:
        raise DataError(f"{file.path}: has no {path}, the pixels of a camera that its layout names")
    shape = str(file.attribute(path, "PIX_TYPE"))
    return CameraGeometry(
        name=str(file.attribute(path, "CAM_ID") or key),
        x=file.quantity(path, "pix_x"),
        y=file.quantity(path, "pix_y"),
        area=file.quantity(path, "pix_area"),
        shape="square" if shape.startswith(("square", "rect")) else "hexagon",  # round pixels lie like hexagons
        pixel_rotation=float(file.attribute(path, "PIX_ROT") or 0.0),
        camera_rotation=float(file.attribute(path, "CAM_ROT") or 0.0),
    )


def _focal_lengths(file: Hdf5) -> np.ndarray:
    """m, of each row of the optics table."""
    nominal = file.quantity(OPTICS, "equivalent_focal_length")
    if "effective_focal_length" not in file.dtype(OPTICS).names:
        return nominal
    effective = file.quantity(OPTICS, "effective_focal_length")
    return np.where(np.isfinite(effective), effective, nominal)


def _optics_rows(file: Hdf5, layout: np.ndarray) -> np.ndarray:
    if "optics_index" in layout.dtype.names:
        return layout["optics_index"]
    names = file.columns(OPTICS, ["description"])["description"].tolist()
    return np.array([names.index(description) for description in layout["tel_description"].tolist()])


def _text(value: bytes | int) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


def merge_subarrays(subarrays: list[tuple[Path, Subarray]]) -> tuple[Subarray, list[np.ndarray]]:
    """The telescopes of several files as one array in the order of their ids, and of each file the rows in it of its
    telescopes, int64. Raises `DataError` if files have different telescopes of the same id."""
    cameras: list[CameraGeometry] = []
    telescopes: dict[int, tuple] = {}
    for path, subarray in subarrays:
        for camera in subarray.cameras:
            if not any(same_camera(camera, other) for other in cameras):
                cameras.append(camera)
        number = [next(i for i, c in enumerate(cameras) if same_camera(c, own)) for own in subarray.cameras]
        for row, tel_id in enumerate(subarray.ids.tolist()):
            place = (*subarray.position[row], subarray.focal_length[row])
            camera = number[subarray.camera[row]]
            text = (subarray.types[row], subarray.names[row], subarray.descriptions[row])
            first, there, other, *_ = telescopes.setdefault(tel_id, (path, place, camera, text))
            if other != camera or not np.allclose(place, there, rtol=0, atol=ALIKE):
                raise DataError(f"{path}: its telescope {tel_id} is not the one of {first}; such files are read apart")
    ids = np.array(sorted(telescopes))
    _, places, numbers, texts = zip(*(telescopes[tel_id] for tel_id in ids.tolist()), strict=True)
    place = np.array(places)
    merged = Subarray(ids, *zip(*texts, strict=True), place[:, :3], place[:, 3], np.array(numbers), tuple(cameras))
    return merged, [np.searchsorted(ids, subarray.ids) for _, subarray in subarrays]
