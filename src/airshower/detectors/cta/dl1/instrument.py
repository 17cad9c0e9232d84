"""The telescopes, cameras and simulated runs of DL1 files."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from airshower.detectors.cta.dl1.format import Camera, Optics, Telescope
from airshower.detectors.cta.dl1.hdf5 import Hdf5
from airshower.detectors.cta.keys import KEYS, first_repeated
from airshower.detectors.cta.subarray import Subarray, distinct_cameras
from airshower.errors import DataError
from airshower.geometry.camera import CameraGeometry

LAYOUT = "/configuration/instrument/subarray/layout"
OPTICS = "/configuration/instrument/telescope/optics"
GEOMETRY = "/configuration/instrument/telescope/camera/geometry_"
READOUT = "/configuration/instrument/telescope/camera/readout_"
WINDOW = 60.0  # ns, length of the readout in older files, which lack it
RUNS = ("/configuration/simulation/run", "/simulation/run_config")  # ctapipe, lstchain


@dataclass(frozen=True)
class SimulatedRun:
    """The thrown showers of a run: energies (TeV) from a power law, cores within a scatter radius (m), directions
    within a view cone (deg); `showers` distinct showers, each used `reuse` times."""

    obs_id: int
    energy_range: tuple[float, float]
    spectral_index: float
    scatter_radius: float
    view_cone: float
    showers: int
    reuse: int
    altitude: float = np.nan  # m above sea level, of the site

    @property
    def area(self) -> float:
        """The area in m2 in which cores are distributed."""
        return float(np.pi * self.scatter_radius**2)

    @property
    def known(self) -> bool:
        """True if the file has all values for effective areas."""
        numbers = [*self.energy_range, self.spectral_index, self.area]
        return bool(np.isfinite(numbers).all()) and self.showers * self.reuse * self.area > 0


def read_subarray(file: Hdf5) -> Subarray:
    """The telescopes. Raises `DataError` if there are none, a camera is missing or has no order of pixels, or a focal
    length is invalid."""
    layout = file.columns(LAYOUT, list(file.names(LAYOUT)))
    if not len(layout):
        raise DataError(f"{file.path}: {LAYOUT} has no telescopes")
    ids = file.keys(LAYOUT, ["tel_id"])
    if (row := first_repeated(ids)) is not None:
        raise DataError(f"{file.path}: telescope {ids[row, 0]} is in {LAYOUT} twice")
    keys = _camera_keys(layout)
    for key, tel_id in zip(keys, ids[:, 0], strict=True):
        if GEOMETRY + key not in file:
            raise DataError(f"{file.path}: has no {GEOMETRY}{key}, the pixels of telescope {tel_id}'s camera")
    geometries = {key: _camera(file, key) for key in dict.fromkeys(keys)}
    types = tuple(map(_text, layout["type"]))
    cameras, camera = distinct_cameras(types, [geometries[key] for key in keys])
    return Subarray(
        ids=ids[:, 0],
        types=types,
        names=tuple(map(_text, layout["name"])),
        descriptions=tuple(map(_text, layout["tel_description"])),
        position=np.stack([file.quantity(LAYOUT, f"pos_{axis}") for axis in "xyz"], 1),
        focal_length=_focal_lengths(file, _optics_rows(file, layout)),
        camera=camera,
        cameras=cameras,
    )


def read_instrument(file: Hdf5) -> tuple[list[Telescope], list[Camera]]:
    """The telescopes with their optics, and the cameras that they refer to. The readout of a camera is that of its
    first telescope. Raises `DataError` as `read_subarray`, and if there is no readout."""
    array = read_subarray(file)
    layout = file.columns(LAYOUT, list(file.names(LAYOUT)))
    keys = _camera_keys(layout)
    rows = _optics_rows(file, layout).tolist()
    first = [array.camera.tolist().index(number) for number in range(len(array.cameras))]
    cameras = [Camera(geometry, *_readout(file, keys[at])) for geometry, at in zip(array.cameras, first, strict=True)]
    names, shapes, mirrors, tiles = (
        _found(file, OPTICS, *spelled)
        for spelled in (
            ("optics_name", "name", "description"), ("reflector_shape",), ("n_mirrors", "num_mirrors"),
            ("n_mirror_tiles", "num_mirror_tiles"),
        )
    )  # fmt: skip
    area, nominal = (file.quantity(OPTICS, name).tolist() for name in ("mirror_area", "equivalent_focal_length"))
    telescopes = []
    for row, at in enumerate(rows):
        name = "UNKNOWN" if names is None else _text(names[at])
        shape = "UNKNOWN" if shapes is None else _text(shapes[at])
        n_mirrors, n_tiles = (1 if counts is None else int(counts[at]) for counts in (mirrors, tiles))
        length = float(array.focal_length[row])
        optics = Optics(name, array.types[row], shape, area[at], n_mirrors, n_tiles, nominal[at], length)
        telescopes.append(
            Telescope(int(array.ids[row]), array.names[row], tuple(array.position[row]), optics, int(array.camera[row]))
        )
    return telescopes, cameras


def read_runs(file: Hdf5) -> list[SimulatedRun]:
    """The simulated runs; none for observations."""
    path = next((path for path in RUNS if path in file), None)
    if path is None:
        return []
    length = file.length(path)
    present = file.names(path)

    def column(*names: str, unset: float = np.nan) -> list[float]:
        spelled = [name for name in names if name in present]
        return file.quantity(path, spelled[0]).tolist() if spelled else [unset] * length

    obs_ids = file.keys(path, KEYS[:1])
    if (row := first_repeated(obs_ids)) is not None:
        raise DataError(f"{file.path}: run {obs_ids[row, 0]} is in {path} twice")
    columns = (
        obs_ids[:, 0].tolist(),
        column("energy_range_min"),
        column("energy_range_max"),
        column("spectral_index"),
        column("max_scatter_range"),
        np.degrees(column("max_viewcone_radius")).tolist(),
        column("n_showers", "num_showers", unset=0),
        column("shower_reuse", unset=1),
        column("prod_site_alt"),
    )
    return [
        SimulatedRun(obs_id, (low, high), index, radius, cone, int(showers), int(reuse), altitude)
        for obs_id, low, high, index, radius, cone, showers, reuse, altitude in zip(*columns, strict=True)
    ]


def _camera_keys(layout: np.ndarray) -> list[str]:
    """The camera's key for each telescope; older tables have names of cameras and optics instead of numbers."""
    names = layout.dtype.names or ()
    return list(map(_text, layout["camera_index" if "camera_index" in names else "camera_name"].tolist()))


def _readout(file: Hdf5, key: str) -> tuple[float, int]:
    """A camera's sampling rate in GHz and number of samples."""
    path = READOUT + key
    rate = file.attribute(path, "SAMPFREQ") if path in file else None
    if not rate:
        raise DataError(f"{file.path}: has no {path} with the SAMPFREQ of a camera that its layout names")
    return float(rate), int(file.attribute(path, "NSAMPLES") or round(WINDOW * rate))


def _found(file: Hdf5, table: str, *names: str) -> np.ndarray | None:
    """The first of these columns that a table has."""
    name = next((name for name in names if name in file.names(table)), None)
    return None if name is None else file.columns(table, [name])[name]


def _camera(file: Hdf5, key: str) -> CameraGeometry:
    path = GEOMETRY + key
    shape = str(file.attribute(path, "PIX_TYPE"))
    order = slice(None)
    if "pix_id" in file.names(path):
        pixels = file.keys(path, ["pix_id"])[:, 0]
        order = np.argsort(pixels)
        if not np.array_equal(pixels[order], np.arange(len(pixels))):
            raise DataError(f"{file.path}: {path}: pix_id is not 0 to {len(pixels) - 1}, each once")
    return CameraGeometry(
        name=str(file.attribute(path, "CAM_ID") or key),
        x=file.quantity(path, "pix_x")[order],
        y=file.quantity(path, "pix_y")[order],
        area=file.quantity(path, "pix_area")[order],
        # round pixels are arranged like hexagons
        shape="square" if shape.startswith(("square", "rect")) else "hexagon",
        pixel_rotation=float(file.attribute(path, "PIX_ROT") or 0.0),
        camera_rotation=float(file.attribute(path, "CAM_ROT") or 0.0),
    )


def _focal_lengths(file: Hdf5, rows: np.ndarray) -> np.ndarray:
    """Focal lengths in m of some rows of the optics table: the effective one, or the nominal one if that is NaN."""
    length = file.quantity(OPTICS, "equivalent_focal_length")[rows]
    if "effective_focal_length" in file.names(OPTICS):
        effective = file.quantity(OPTICS, "effective_focal_length")[rows]
        length = np.where(np.isnan(effective), length, effective)
    for wrong in np.flatnonzero(~(np.isfinite(length) & (length > 0)))[:1]:
        raise DataError(f"{file.path}: {OPTICS}: row {rows[wrong]} has a focal length of {length[wrong]} m")
    return length


def _optics_rows(file: Hdf5, layout: np.ndarray) -> np.ndarray:
    """The row of the optics table for each telescope."""
    if "optics_index" in (layout.dtype.names or ()):
        count = file.length(OPTICS)
        for tel_id, row in file.keys(LAYOUT, ["tel_id", "optics_index"]):
            if not 0 <= row < count:
                raise DataError(f"{file.path}: telescope {tel_id} has optics_index {row}, {OPTICS} has {count} rows")
        return layout["optics_index"]
    names = file.columns(OPTICS, ["description"])["description"].tolist()
    return np.array([names.index(description) for description in layout["tel_description"].tolist()])


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)
