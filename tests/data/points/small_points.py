"""Small files of points, written with h5py as a user would."""

from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np

COUNTS = np.array([3, 0, 5, 1, 0, 2])
EVENTS = len(COUNTS)
POINTS = int(COUNTS.sum())


def write_points(
    path: Path, seed: int = 0, change: Callable[[h5py.File], None] | None = None, counts: np.ndarray = COUNTS
) -> Path:
    """Events with so many points, with little more than the format asks for; `change` is made at the end."""
    rng = np.random.default_rng(seed)
    points, events = int(counts.sum()), len(counts)
    with h5py.File(path, "w") as file:
        file.attrs["format"] = "airshower points"
        file.attrs["version"] = 1
        file["points/counts"] = counts
        file["points/position"] = rng.normal(0.0, 100.0, (points, 2))
        file["points/charge"] = rng.lognormal(1.0, 1.0, points)
        file["points/time"] = rng.normal(0.0, 50.0, points).astype(np.float32)
        file["points/charge"].attrs.update({"unit": "p.e.", "logarithmic": True, "middle": 1.0, "width": 2.0})
        add(file, "truth/primary", rng.integers(0, 3, events), kind="class", classes=["gamma", "proton", "iron"])
        add(file, "truth/energy", rng.lognormal(3.0, 1.0, events), unit="TeV")
        add(file, "truth/direction", rng.uniform(60.0, 90.0, (events, 2)), kind="direction", unit="deg")
        add(file, "truth/core", rng.normal(0.0, 0.1, (events, 2)), kind="position", unit="km")
        file["events/night"] = np.arange(events)
        if change:
            change(file)
    return path


def add(file: h5py.File, name: str, values: np.ndarray, **attributes: object) -> None:
    """A dataset with attributes, in place of one of this name."""
    if name in file:
        del file[name]
    file[name] = values
    file[name].attrs.update(attributes)
