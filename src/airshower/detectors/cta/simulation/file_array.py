"""The array of a DL1 file, for simulations with the telescopes of a user's images."""

import hashlib
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np

from airshower.detectors.cta.dl1.file import Dl1File
from airshower.detectors.cta.dl1.format import Camera, Optics
from airshower.detectors.cta.dl1.hdf5 import Hdf5, reading
from airshower.detectors.cta.dl1.instrument import read_instrument, read_runs
from airshower.detectors.cta.simulation.telescopes import ALTITUDE, LST, MST, SST, Array, TelescopeType
from airshower.errors import DataError

LIKE = {"LST": LST, "MST": MST, "SST": SST}  # by the type that files give; others are like MSTs


@cache
def file_array(path: str, zenith: float, azimuth: float) -> Array:
    """The telescopes of a file at its site, or at the height of CTAO North if it has none; zenith angle and azimuth of
    the pointing in degrees. Raises `DataError` if the file is not DL1."""
    file = Hdf5(Path(path).expanduser())
    if not Dl1File.fits(file):
        raise DataError(f"{path}: is not DL1 of ctapipe or lstchain, of which data.simulation.array takes telescopes")
    with reading(path):
        telescopes, cameras = read_instrument(file)
        altitudes = [run.altitude for run in read_runs(file) if np.isfinite(run.altitude)]
    telescopes.sort(key=lambda telescope: telescope.tel_id)
    altitude = altitudes[0] if altitudes else ALTITUDE
    keys = [(telescope.optics, telescope.camera) for telescope in telescopes]
    distinct = list(dict.fromkeys(keys))
    names = [telescopes[keys.index(key)].name for key in distinct]
    position = np.array([telescope.position for telescope in telescopes], np.float64) + [0.0, 0.0, altitude]
    return Array(
        tuple(_kind(name, optics, cameras[camera]) for name, (optics, camera) in zip(names, distinct, strict=True)),
        np.array([distinct.index(key) for key in keys]),
        np.array([telescope.tel_id for telescope in telescopes]),
        position, position[:, :2].mean(0), altitude, np.radians(90.0 - zenith), np.radians(azimuth),
    )  # fmt: skip


def digest(array: Array) -> str:
    """A hash of the telescopes and the site, independent of the pointing."""
    sha256 = hashlib.sha256(repr((array.telescopes(), array.altitude)).encode())
    for camera in (kind.camera for kind in array.kinds):
        sha256.update(repr((camera.sampling_rate, camera.n_samples, camera.geometry.shape)).encode())
        for values in (camera.geometry.position, camera.geometry.area, camera.geometry.camera_rotation):
            sha256.update(np.ascontiguousarray(values).tobytes())
    return sha256.hexdigest()[:16]


def _kind(name: str, optics: Optics, camera: Camera) -> TelescopeType:
    """Telescopes of a file: missing values are those of the built-in ones of their type. The night sky in a pixel
    is proportional to the mirror's area and the pixel's solid angle; a charge has as many samples of it."""
    like = LIKE.get(optics.size_type, MST)
    kind = replace(like, name=name, optics=optics, camera=camera)
    return replace(
        kind,
        trigger_time=like.trigger_time * kind.window / like.window,
        night_sky=like.night_sky * _acceptance(kind) / _acceptance(like),
        integration=like.integration * like.camera.sampling_rate / camera.sampling_rate,
    )


def _acceptance(kind: TelescopeType) -> float:
    """Of a pixel, m2 sr."""
    solid_angle = float(np.median(kind.geometry.area)) / kind.optics.effective_focal_length**2
    return kind.optics.mirror_area * solid_angle
