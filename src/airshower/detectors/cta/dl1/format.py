"""The contents of a DL1 file about an array and its events, except the geometry of pixels."""

from dataclasses import dataclass

import numpy as np

from airshower.geometry.camera import CameraGeometry

PRIMARY_IDS = {"gamma": 0, "electron": 1, "proton": 101}  # shower_primary_id, as sim_telarray has them


@dataclass(frozen=True)
class Optics:
    """A telescope's mirrors and focal lengths."""

    name: str
    size_type: str  # LST, MST or SST
    reflector_shape: str  # PARABOLIC, DAVIES_COTTON, HYBRID or SCHWARZSCHILD_COUDER
    mirror_area: float  # m2
    n_mirrors: int
    n_mirror_tiles: int
    equivalent_focal_length: float  # m
    effective_focal_length: float  # m, effective: includes the distortion of the optics, used for directions


@dataclass(frozen=True, eq=False)
class Camera:
    """A camera and its readout."""

    geometry: CameraGeometry
    sampling_rate: float  # GHz
    n_samples: int


@dataclass(frozen=True)
class Telescope:
    """One telescope of an array."""

    tel_id: int
    name: str
    position: tuple[float, float, float]  # m: x to the north, y to the west, z up
    optics: Optics
    camera: int  # index into the cameras of the array


@dataclass(frozen=True)
class TrueShower:
    """The truth of a simulated shower."""

    primary_id: int  # see `PRIMARY_IDS`
    energy: float  # TeV
    alt: float  # deg
    az: float  # deg, from north to east
    core_x: float  # m, to the north
    core_y: float  # m, to the west
    h_first_int: float  # m
    x_max: float  # g/cm2, slant


@dataclass(frozen=True)
class TelescopeImage:
    """The image of one telescope that triggered."""

    telescope: int  # index into the telescopes of the array
    charge: np.ndarray  # f4 [pixels] p.e.
    peak_time: np.ndarray  # f4 [pixels] ns
    true_image: np.ndarray  # i4 [pixels] p.e., without noise
    impact_distance: float  # m, from the telescope to the shower's axis
    n_trigger_pixels: int = 0
    time: float = 0.0  # ns of the trigger after that of the event


@dataclass(frozen=True)
class ThrownRun:
    """One kind of primary of a simulation: the pointing of telescopes and the thrown showers."""

    pointing: tuple[float, float]  # altitude, azimuth in deg
    source: tuple[float, float]  # middle of the cone of directions, likewise
    view_cone: float  # deg, its radius
    energy_range: tuple[float, float]  # TeV
    spectral_index: float
    scatter_radius: float  # m
    altitude: float  # m above sea level, of the site
