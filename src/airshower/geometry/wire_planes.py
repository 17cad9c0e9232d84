"""Detector geometry: the pixels of a point in the liquid argon in the three wire images.

Read off the five SBND events of the public CosmicTagger sample by comparing the neutrino's true position
(`particle_sbndneutrino`, cm) with its pixel in each plane (`cluster2d_sbndneutrino`):

* wire column = 1024 + w / 0.3 cm with w = (z - 250) cos(a) - y sin(a) and a = +60, -60, 0 degrees for planes 0, 1, 2.
  Both drift volumes use the same formula. It reproduces all 15 vertex columns to one pixel, and the occupied columns
  of the file (32..2015 in planes 0 and 1, 192..1855 in plane 2) are the 1984 and 1664 wires of SBND.
* time row = 640 + 3.2 x for a particle at the trigger time (to 0.5 rows for x < 0, with -2.5 rows for x > 0, which is
  left out here). One row is 0.3125 cm of drift; the anodes are at rows 0 and 1280 and the cathode is the row 640 that
  joins the volumes, so a late arrival moves a track towards row 640 in both. The window is one full drift long.
* charge lies (t - 4 us) / 2 us rows later in drift time than the vertex pixel (to 1 row): `time_zero`.

The drift velocity of 0.156 cm/us at 0.5 kV/cm is not inferred but taken from the SBND design.
"""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Geometry:
    """Active volume, wires and drift of an SBND-like chamber. Lengths in cm, times in us, angles in degrees."""

    half_width: float = 200.0  # cm, x; the cathode is at x = 0, an anode at each end
    half_height: float = 200.0  # cm, y, vertical
    length: float = 500.0  # cm, z, along the beam
    wire_pitch: float = 0.3  # cm
    wire_angles: tuple[float, ...] = (60.0, -60.0, 0.0)  # degrees from the vertical, planes 0, 1, 2
    full_size: tuple[int, int] = (2048, 1280)  # wires, ticks of the image at full resolution
    drift_velocity: float = 0.15625  # cm/us
    time_zero: float = 4.0  # us, arrival time that puts charge on the row of its own x

    @property
    def drift_time(self) -> float:
        """us from the cathode to an anode."""
        return self.half_width / self.drift_velocity

    @property
    def tick(self) -> float:
        """us per row of the full-resolution image."""
        return 2.0 * self.drift_time / self.full_size[1]

    def contains(self, position: np.ndarray) -> np.ndarray:
        """True where [..., 3] positions (cm) lie in the active volume."""
        x, y, z = position[..., 0], position[..., 1], position[..., 2]
        return (np.abs(x) < self.half_width) & (np.abs(y) < self.half_height) & (z > 0.0) & (z < self.length)

    def drift_duration(self, x: np.ndarray) -> np.ndarray:
        """us an electron drifts from x (cm) to its anode."""
        return (self.half_width - np.abs(x)) / self.drift_velocity

    def in_window(self, x: np.ndarray, time: np.ndarray) -> np.ndarray:
        """True where charge freed at x (cm) at `time` (us) reaches its anode inside the readout window."""
        arrival = self.drift_duration(x) + time - self.time_zero
        return (arrival >= 0.0) & (arrival < self.drift_time)

    def rows(self, x: np.ndarray, time: np.ndarray) -> np.ndarray:
        """Full-resolution time row (float) of charge freed at x (cm) at `time` (us); valid only inside the window."""
        late = (time - self.time_zero) / self.tick
        return self.full_size[1] * (x + self.half_width) / (2.0 * self.half_width) + np.where(x < 0.0, late, -late)

    def columns(self, y: np.ndarray, z: np.ndarray, plane: int) -> np.ndarray:
        """Full-resolution wire column (float) of a point in one plane; y, z in cm."""
        angle = np.deg2rad(self.wire_angles[plane])
        across = (z - 0.5 * self.length) * np.cos(angle) - y * np.sin(angle)
        return 0.5 * self.full_size[0] + across / self.wire_pitch

    def instrumented(self, plane: int) -> tuple[float, float]:
        """First and last full-resolution column that has a wire."""
        angle = np.deg2rad(self.wire_angles[plane])
        span = self.length * np.cos(angle) + 2.0 * self.half_height * np.abs(np.sin(angle))
        half = 0.5 * span / self.wire_pitch
        return 0.5 * self.full_size[0] - half, 0.5 * self.full_size[0] + half

    def vertex_pixels(self, position: np.ndarray, image_size: list[int]) -> np.ndarray:
        """[planes, 2] (wire, tick) pixel of a point (cm) as if it were at the trigger time; -1 if outside."""
        n_planes = len(self.wire_angles)
        if not self.contains(position):
            return np.full((n_planes, 2), -1, np.int64)
        x, y, z = position
        tick = (x + self.half_width) / (2.0 * self.half_width) * image_size[1]
        wires = [self.columns(y, z, plane) / self.full_size[0] * image_size[0] for plane in range(n_planes)]
        return np.array([[int(wire), int(tick)] for wire in wires], np.int64)

    def chord(self, start: np.ndarray, direction: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Distances (cm) along [n, 3] lines at which they enter and leave the active volume; enter > leave: a miss."""
        low = np.array([-self.half_width, -self.half_height, 0.0])
        high = np.array([self.half_width, self.half_height, self.length])
        safe = np.where(np.abs(direction) < 1e-9, 1e-9, direction)
        to_low = (low - start) / safe
        to_high = (high - start) / safe
        return np.minimum(to_low, to_high).max(axis=-1), np.maximum(to_low, to_high).min(axis=-1)
