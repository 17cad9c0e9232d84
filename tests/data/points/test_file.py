"""Files of points that are damaged or mis-shaped are refused in one line that names file and dataset."""

from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest

from airshower.data.points.source import PointEvents, PointsConfig
from airshower.errors import DataError
from tests.data.points.small_points import EVENTS, POINTS, add, write_points


def put(name: str, values: object, **attributes: object) -> Callable[[h5py.File], None]:
    return lambda file: add(file, name, np.asarray(values), **attributes)


def without(name: str) -> Callable[[h5py.File], None]:
    def remove(file: h5py.File) -> None:
        del file[name]

    return remove


def attribute(name: str, key: str, value: object) -> Callable[[h5py.File], None]:
    def state(file: h5py.File) -> None:
        file[name].attrs[key] = value

    return state


def unwritten(file: h5py.File) -> None:
    del file["points/time"]
    file.create_dataset("points/time", (POINTS,), "f4", chunks=(4,))


def linked(file: h5py.File) -> None:
    del file["points/time"]
    other = Path(file.filename).with_name("other.h5")
    with h5py.File(other, "w") as linked_file:
        linked_file["time"] = np.zeros(POINTS)
    file["points/time"] = h5py.ExternalLink(str(other), "/time")


FAULTS = {
    "no group": (without("points"), "has no group points"),
    "no counts": (without("points/counts"), "points/counts: is missing"),
    "no positions": (without("points/position"), "points/position: is missing"),
    "another format": (attribute("/", "format", "other"), "no file of points"),
    "a newer version": (attribute("/", "version", 2), "is of version 2 of the format, version 1 is read"),
    "too few counts": (put("points/counts", [3, 0, 5, 1, 0]), r"points/\w+: has 11 rows, counts add up to 9"),
    "negative counts": (put("points/counts", [3, -1, 6, 1, 0, 2]), "points/counts: has values that are no numbers"),
    "fractions": (put("points/counts", [3.0, 0, 5, 1, 0, 2]), "points/counts: has values that are no numbers"),
    "no events": (put("points/counts", np.zeros(0, int)), "points/counts: has no events"),
    "a short feature": (put("points/time", np.zeros(3)), "points/time: has 3 rows, counts add up to 11"),
    "a wide feature": (put("points/time", np.zeros((POINTS, 2))), "points/time: has 2 dimensions, 1 are due"),
    "text": (put("points/time", np.array([b"x"] * POINTS)), r"points/time: is of type \|S1, numbers are due"),
    "one axis": (put("points/position", np.zeros((POINTS, 1))), "points/position: has 1 columns"),
    "no length": (attribute("points/position", "unit", "ns"), "points/position: its unit is 'ns'"),
    "sensors elsewhere": (
        lambda file: add(file, "array/sensors", np.zeros((2, 2)), unit="deg"),
        "array/sensors: its unit is not one of m, which positions of points are in",
    ),
    "no width": (attribute("points/charge", "width", 0.0), "points/charge: its attribute width is 0.0"),
    "an unknown kind": (attribute("truth/energy", "kind", "energi"), "truth/energy: its attribute kind is 'energi'"),
    "a flat direction": (put("truth/direction", np.zeros(EVENTS), kind="direction"), "truth/direction: is an array"),
    "an angle in m": (attribute("truth/direction", "unit", "m"), "truth/direction: its unit is 'm'"),
    "no classes": (put("truth/primary", np.zeros(EVENTS, int), kind="class"), "no attribute classes"),
    "a class beyond": (put("truth/primary", [0, 1, 5, 0, 0, 0], kind="class", classes=["a", "b"]), "no rows of its cl"),
    "short truth": (put("truth/energy", np.ones(4)), "truth/energy: has 4 rows, there are 6 events"),
    "another origin": (put("frame/origin", np.zeros(3)), "truth/core: has 2 coordinates, frame/origin has 3"),
    "no axis": (put("frame/origin", np.zeros(2)), "truth/direction: give the axis of the frame"),
    "a frame of others": (put("frame/axis", np.zeros((4, 2))), r"frame/axis: is an array \[4, 2\]"),
    "half a shower": (put("events/shower", np.zeros(EVENTS)), "events/shower: is of type float64, whole numbers"),
    "unknown ids": (attribute("events", "ids", ["run"]), "events: ids=run"),
    "sensors in a line": (put("array/sensors", np.zeros((4, 3))), "array/sensors: should be 2 finite numbers"),
    "rows not written": (unwritten, "points/time: claims 11 rows, of which not all are on disk"),
    "another file": (linked, "points/time: has its rows in other files"),
}


@pytest.mark.parametrize(("change", "message"), FAULTS.values(), ids=FAULTS.keys())
def test_faults_are_named(change: Callable[[h5py.File], None], message: str, tmp_path: Path) -> None:
    path = write_points(tmp_path / "points.h5", change=change)
    with pytest.raises(DataError, match=rf"points\.h5: .*{message}") as error:
        PointEvents(PointsConfig(), [path])
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("position", r"points/position: is \[nan, .*\] in event 2, which is no finite input"),
        ("time", "points/time: is nan in event 2"),
        ("charge", "points/charge: is nan in event 2"),
    ],
)
def test_values_that_are_not_finite_name_their_event(name: str, message: str, tmp_path: Path) -> None:
    def spoil(file: h5py.File) -> None:
        values = file[f"points/{name}"][:]
        values.reshape(POINTS, -1)[4, 0] = np.nan
        file[f"points/{name}"][:] = values

    source = PointEvents(PointsConfig(), [write_points(tmp_path / "points.h5", change=spoil)])
    source.read(np.array([0, 3]))
    with pytest.raises(DataError, match=message):
        source.read(np.array([0, 2]))


def test_charges_without_a_logarithm_are_named(tmp_path: Path) -> None:
    path = write_points(tmp_path / "points.h5", change=put("points/charge", np.zeros(POINTS), logarithmic=True))
    with pytest.raises(DataError, match=r"points/charge: is 0\.0 in event 0"):
        PointEvents(PointsConfig(), [path]).read(np.array([0]))


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"counts\n1\n", "is not an HDF5 file"), (b"", "is empty"), (None, "there is no such file")],
)
def test_what_is_no_hdf5_is_refused(content: bytes | None, message: str, tmp_path: Path) -> None:
    path = tmp_path / "points.h5"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(DataError, match=message):
        PointEvents(PointsConfig(), [path])


def test_truncated_files_are_refused(tmp_path: Path) -> None:
    path = write_points(tmp_path / "points.h5")
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(DataError, match=r"points\.h5"):
        PointEvents(PointsConfig(), [path])


def test_changed_files_are_not_read(tmp_path: Path) -> None:
    source = PointEvents(PointsConfig(), [write_points(tmp_path / "points.h5")])
    write_points(tmp_path / "points.h5", change=put("events/more", np.zeros(EVENTS)))
    with pytest.raises(DataError, match="has changed"):
        source.read(np.array([0]))
