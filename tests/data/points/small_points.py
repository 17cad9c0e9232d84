"""Small files of points, written with h5py as a user would."""

from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np

COUNTS = np.array([3, 0, 5, 1, 0, 2])
EVENTS = len(COUNTS)
POINTS = int(COUNTS.sum())


def write_points(path: Path, seed: int = 0, change: Callable[[h5py.File], None] | None = None) -> Path:
    """Six events, two of them empty, with the least that the format asks for; `change` is made at the end."""
    rng = np.random.default_rng(seed)
    with h5py.File(path, "w") as file:
        file.attrs["format"] = "airshower points"
        file.attrs["version"] = 1
        file["points/counts"] = COUNTS
        file["points/position"] = rng.normal(0.0, 100.0, (POINTS, 2))
        file["points/charge"] = rng.lognormal(1.0, 1.0, POINTS)
        file["points/time"] = rng.normal(0.0, 50.0, POINTS).astype(np.float32)
        file["points/charge"].attrs.update({"unit": "p.e.", "logarithmic": True, "middle": 1.0, "width": 2.0})
        add(file, "truth/primary", rng.integers(0, 3, EVENTS), kind="class", classes=["gamma", "proton", "iron"])
        add(file, "truth/energy", rng.lognormal(3.0, 1.0, EVENTS), unit="TeV")
        add(file, "truth/direction", rng.uniform(60.0, 90.0, (EVENTS, 2)), kind="direction", unit="deg")
        add(file, "truth/core", rng.normal(0.0, 0.1, (EVENTS, 2)), kind="position", unit="km")
        file["events/night"] = np.arange(EVENTS)
        if change:
            change(file)
    return path


def add(file: h5py.File, name: str, values: np.ndarray, **attributes: object) -> None:
    """A dataset with attributes, in place of one of this name."""
    if name in file:
        del file[name]
    file[name] = values
    file[name].attrs.update(attributes)
