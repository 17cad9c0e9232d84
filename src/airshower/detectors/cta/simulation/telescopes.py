"""The telescopes of the simulated array: mirrors, cameras, positions and pointing."""

from dataclasses import dataclass
from functools import cache, cached_property

import numpy as np

from airshower.detectors.cta.dl1.format import Camera, Optics, Telescope
from airshower.geometry.camera import CameraGeometry, builtin_camera, lattice, neighbours
from airshower.geometry.sky import pointing_frame

ALTITUDE = 2156.0  # m above sea level: CTAO North in the official simulations (prod6)
# x to the north and y to the west of the LSTs in m, as there
LST_POSITIONS = ((-70.9, -52.3), (-35.3, 65.9), (75.3, 50.2), (30.9, -63.8))
MST_FIRST = np.radians(15.0)  # angle of the first MST on the ring
PIXEL_STEPS = 10  # cells of the look-up table per pixel pitch


@dataclass(frozen=True)
class TelescopeType:
    """The common properties of telescopes of one kind."""

    name: str
    optics: Optics
    camera: Camera
    efficiency: float  # p.e. per photon of 300 to 600 nm on the mirror; adjusted to the official files' images
    spot: float  # deg, rms of each coordinate of the image of a star
    trigger_time: float  # ns from the start of the readout window to the middle of the light
    night_sky: float  # p.e. per ns in a pixel, of those in an LST's
    integration: float  # ns of night sky in a pixel's charge
    # p.e.: a charge is that of the largest pulse in the window less what this is without light. Thus a pixel loses a
    # bit of its light, and half of it if it is faint, as in the official files (a fit).
    largest_pulse: float

    @property
    def geometry(self) -> CameraGeometry:
        """The pixels of the camera."""
        return self.camera.geometry

    @cached_property
    def neighbours(self) -> np.ndarray:
        """int64 [pixels, 6], of square pixels [pixels, 4], -1 where there is none."""
        return neighbours(lattice(self.geometry))

    @cached_property
    def window(self) -> float:
        """ns of the readout."""
        return self.camera.n_samples / self.camera.sampling_rate

    @cached_property
    def field(self) -> float:
        """rad from the centre of the camera to its furthest pixel."""
        return float(np.hypot(self.geometry.x, self.geometry.y).max() / self.optics.effective_focal_length)

    @cached_property
    def _table(self) -> tuple[np.ndarray, float, float]:
        """The pixel nearest to each cell of a grid, -1 outside of the camera; the grid's step and half width in m."""
        geometry = self.geometry
        step = geometry.pitch / PIXEL_STEPS
        half = float(max(np.abs(geometry.x).max(), np.abs(geometry.y).max())) + geometry.pitch
        size = int(2.0 * half / step) + 1
        reach = 0.6 if geometry.shape == "hexagon" else 0.72  # of the pitch, from a pixel's centre to its corners
        pixel = np.full((size, size), -1, np.int16)
        nearest = np.full((size, size), reach * geometry.pitch)
        position = np.stack([geometry.x, geometry.y]) + half
        corner = np.floor(position / step).astype(np.int64)
        offsets = np.arange(-PIXEL_STEPS * 3 // 4, PIXEL_STEPS * 3 // 4 + 1)
        for i in offsets:
            for j in offsets:  # cells of all pixels at one offset are distinct
                row, column = corner + [[i], [j]]
                distance = np.hypot((row + 0.5) * step - position[0], (column + 0.5) * step - position[1])
                closer = distance < nearest[row, column]
                nearest[row[closer], column[closer]] = distance[closer]
                pixel[row[closer], column[closer]] = np.flatnonzero(closer)
        return pixel, step, half

    def pixels(self, lat: np.ndarray, lon: np.ndarray) -> np.ndarray:
        """The pixel that sees tangents of angles towards rising altitude and azimuth, -1 outside of the camera.

        Exact to a tenth of a pixel. The camera's x points to rising altitude, y to rising azimuth, turned by its
        rotation, as in ctapipe's frames.
        """
        table, step, half = self._table
        focal = self.optics.effective_focal_length / step
        turn = np.radians(self.geometry.camera_rotation)
        cosine = np.float32(focal * np.cos(turn))
        sine = np.float32(focal * np.sin(turn))
        last = len(table) - 1  # the outermost cells belong to no pixel
        row = np.minimum(np.maximum(cosine * lat + sine * lon + np.float32(half / step), 0), last).astype(np.int32)
        column = np.minimum(np.maximum(cosine * lon - sine * lat + np.float32(half / step), 0), last).astype(np.int32)
        return table[row, column]


# mirrors, focal lengths and readouts are those of the official files: prod6 for LST and MST, prod4 for SST
LST = TelescopeType(
    "LST", Optics("LST", "LST", "PARABOLIC", 386.97, 1, 198, 28.0, 29.237),
    Camera(builtin_camera("LSTCam"), 1.024, 40), 0.175, 0.03, 10.0, 1.0, 4.6, 1.3,
)  # fmt: skip
MST = TelescopeType(
    "MST", Optics("MST", "MST", "HYBRID", 106.26, 1, 86, 16.0, 16.445),
    Camera(builtin_camera("NectarCam"), 1.0, 60), 0.175, 0.04, 18.0, 1.0, 4.6, 1.3,
)  # fmt: skip
# The efficiency is a fit to the 129 images of the official prod4 file. The night sky in a pixel goes with the mirror's
# area and the pixel's solid angle, and not with the efficiency, too, as dark pixels there show (their rms is right to 1
# %): the camera's window keeps out the red of the night. A charge has as many samples of it as above, of 4 ns each.
# What a pixel loses and when light comes are also as in that file.
SST = TelescopeType(
    "SST", Optics("SST", "SST", "DAVIES_COTTON", 9.418, 1, 18, 5.6, 5.697),
    Camera(builtin_camera("DigiCam"), 0.25, 50), 0.23, 0.05, 83.0, 0.14, 18.4, 0.6,
)  # fmt: skip


@dataclass(frozen=True, eq=False)
class Array:
    """Telescopes at one site with the same pointing."""

    kinds: tuple[TelescopeType, ...]
    kind: np.ndarray  # int64 [telescopes], of `kinds`
    ids: np.ndarray  # int64 [telescopes], ascending
    position: np.ndarray  # f8 [telescopes, 3] m: x north, y west, z above sea level
    middle: np.ndarray  # f8 [2] m: x and y around which showers fall
    altitude: float  # m above sea level, of the site: where cores are, and from where files count heights
    alt: float  # rad
    az: float  # rad

    @cached_property
    def axes(self) -> np.ndarray:
        """f8 [3, 3]: unit vectors towards rising altitude, rising azimuth and the pointing."""
        return pointing_frame(self.alt, self.az)

    @cached_property
    def collecting(self) -> np.ndarray:
        """Effective mirror area in m2, f8 [telescopes]: p.e. per photon per m2."""
        return np.array([kind.optics.mirror_area * kind.efficiency for kind in self.kinds])[self.kind]

    @cached_property
    def radius(self) -> np.ndarray:
        """m, of a mirror disc of that area, f8 [telescopes]."""
        return np.sqrt(np.array([kind.optics.mirror_area for kind in self.kinds]) / np.pi)[self.kind]

    @cached_property
    def edge(self) -> np.ndarray:
        """Cosine of the angle from the centre to a degree beyond the edge of the field of view, f8 [telescopes]."""
        return np.cos(np.array([kind.field for kind in self.kinds]) + np.radians(1.0))[self.kind]

    def telescopes(self) -> list[Telescope]:
        """The telescopes as described in files."""
        return [
            Telescope(int(i), self.kinds[k].name, tuple(p - [0.0, 0.0, self.altitude]), self.kinds[k].optics, int(k))
            for i, k, p in zip(self.ids, self.kind, self.position, strict=True)
        ]


@cache
def standard_array(lsts: int, msts: int, ring: float, zenith: float, azimuth: float) -> Array:
    """LSTs in the middle and MSTs on a ring of `ring` m around them; zenith angle and azimuth in degrees."""
    angle = MST_FIRST + 2.0 * np.pi * np.arange(msts) / max(msts, 1)
    across = np.concatenate(
        [np.reshape(LST_POSITIONS[:lsts], (-1, 2)), ring * np.stack([np.cos(angle), np.sin(angle)], 1)]
    )
    position = np.column_stack([across, np.full(lsts + msts, ALTITUDE)])
    kinds = tuple(kind for kind, number in ((LST, lsts), (MST, msts)) if number)
    kind = np.repeat(np.arange(len(kinds)), [number for number in (lsts, msts) if number])
    ids = np.arange(1, lsts + msts + 1)
    return Array(kinds, kind, ids, position, np.zeros(2), ALTITUDE, np.radians(90.0 - zenith), np.radians(azimuth))
