"""What DL1 files say of the telescopes, their cameras and the simulated runs."""

from dataclasses import dataclass

import numpy as np

from airshower.detectors.cta.camera import CameraGeometry
from airshower.detectors.cta.dl1_hdf5 import Hdf5
from airshower.detectors.cta.subarray import Subarray, distinct_cameras
from airshower.errors import DataError

LAYOUT = "/configuration/instrument/subarray/layout"
OPTICS = "/configuration/instrument/telescope/optics"
GEOMETRY = "/configuration/instrument/telescope/camera/geometry_"
RUNS = ("/configuration/simulation/run", "/simulation/run_config")  # ctapipe, lstchain


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
    types = tuple(map(_text, layout["type"]))
    cameras, camera = distinct_cameras(types, [geometries[key] for key in keys.tolist()])
    return Subarray(
        ids=layout["tel_id"].astype(np.int64),
        types=types,
        names=tuple(map(_text, layout["name"])),
        descriptions=tuple(map(_text, layout["tel_description"])),
        position=np.stack([file.quantity(LAYOUT, f"pos_{axis}") for axis in "xyz"], 1),
        focal_length=_focal_lengths(file)[_optics_rows(file, layout)],
        camera=camera,
        cameras=cameras,
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
