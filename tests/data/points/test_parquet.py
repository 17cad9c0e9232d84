"""Files of points as Parquet: what HDF5 has, and one line for what can't be read."""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

import airshower
from airshower.data.points.parquet import is_points
from airshower.data.points.source import PointEvents, PointsConfig
from airshower.errors import DataError, UserError
from airshower.library.events import Events
from tests.data.points.small_points import COUNTS, write_points

pyarrow = pytest.importorskip("pyarrow", reason="needs pyarrow (the extra parquet)")
parquet = pytest.importorskip("pyarrow.parquet", reason="needs pyarrow (the extra parquet)")


def write_rows(path: Path, header: dict[str, Any] | None = None, **changed: Any) -> Path:
    """Three events as a user would write them with pyarrow."""
    columns = {
        "points/position": [[[0.0, 1.0], [2.0, 3.0]], [], [[4.0, 5.0]]],
        "points/charge": [[1.0, 2.0], [], [3.0]],
        "points/time": [[0.5, 1.5], [], [2.5]],
        "truth/energy": [1.0, 20.0, 3.0],
        "truth/core": [[0.1, 0.2], [0.3, 0.4], [0.5, 0.6]],
        "truth/primary": [0, 1, -1],
        "events/night": [7, 8, 9],
        "comment": ["is", "left", "out"],
    } | {name.replace("__", "/"): values for name, values in changed.items()}
    attributes = {
        "points/charge": {"unit": "p.e.", "logarithmic": True, "middle": 1.0, "width": 1.5},
        "truth/energy": {"unit": "TeV"},
        "truth/core": {"kind": "position", "unit": "km"},
        "truth/primary": {"kind": "class", "classes": ["gamma", "proton"]},
    }
    about = {"format": "airshower points", "version": 1, "attributes": attributes, **(header or {})}
    table = pyarrow.table({name: values for name, values in columns.items() if values is not None})
    parquet.write_table(table.replace_schema_metadata({"airshower": json.dumps(about)}), path)
    return path


def assert_same(one: Events, other: Events) -> None:
    """All that is read of them, to the bit."""
    assert repr(one) == repr(other)
    assert (one.spec.truth, one.spec.known, one.spec.ids) == (other.spec.truth, other.spec.known, other.spec.ids)
    left, right = (each.read(np.arange(len(each))) for each in (one, other))
    for name in ("position", "features", "counts"):
        np.testing.assert_array_equal(getattr(left["points"], name), getattr(right["points"], name))
    for name in ("axis", "origin"):
        np.testing.assert_array_equal(getattr(left.frame, name), getattr(right.frame, name))
    for name in one.truth:
        np.testing.assert_array_equal(one.truth[name], other.truth[name])
    for name in ("sensors", "centre"):
        np.testing.assert_array_equal(getattr(one.spec["points"], name), getattr(other.spec["points"], name))
    np.testing.assert_array_equal(left.event_ids, right.event_ids)
    np.testing.assert_array_equal(one.source.showers, other.source.showers)


def observed(file: h5py.File) -> None:
    """Columns of truth of no rows."""
    for name in list(file["truth"]):
        attributes, values = dict(file[f"truth/{name}"].attrs), file[f"truth/{name}"][:0]
        del file[f"truth/{name}"]
        file[f"truth/{name}"] = values
        file[f"truth/{name}"].attrs.update(attributes)


@pytest.mark.parametrize("change", [None, observed], ids=["simulated", "observed"])
def test_parquet_has_what_hdf5_has(change: Callable[[h5py.File], None] | None, tmp_path: Path) -> None:
    events = airshower.open(write_points(tmp_path / "own.h5", change=change, counts=np.tile(COUNTS, 100)))
    for name in ("events.h5", "events.parquet"):
        events.to_points(tmp_path / name)
    assert_same(airshower.open(tmp_path / "events.h5"), airshower.open(tmp_path / "events.parquet"))
    schema = parquet.read_schema(tmp_path / "events.parquet")
    assert schema.field("points/charge").metadata == {b"unit": b"p.e."}
    rows = parquet.read_table(tmp_path / "events.parquet", columns=["points/charge"]).column(0).to_pylist()
    assert [len(row) for row in rows] == np.tile(COUNTS, 100).tolist()
    assert [path.name for path in tmp_path.iterdir() if ".partial" in path.name] == []


def test_rows_that_a_user_wrote(tmp_path: Path) -> None:
    path = write_rows(tmp_path / "rows.parquet", {"array": {"sensors": [[0.0, 1.0], [4.0, 5.0]], "centre": [2.0, 3.0]}})
    events = airshower.open(path)
    batch = events.read([0, 2])
    assert batch["points"].counts.tolist() == [2, 1]
    assert batch["points"].position.tolist() == [[0, 1], [2, 3], [4, 5]]
    np.testing.assert_allclose(events.spec["points"].physical(batch["points"].features)["charge"], [1, 2, 3], rtol=1e-6)
    assert events.truth["energy"].tolist() == [1.0, 20.0, 3.0]
    np.testing.assert_allclose(events.truth["core_x"], [100.0, 300.0, 500.0])
    assert events.truth["primary"].tolist() == ["gamma", "proton", ""]
    assert events.spec["points"].centre.tolist() == [2.0, 3.0]
    assert len(PointEvents(PointsConfig(cuts="night > 7 and points > 0"), [path])) == 1


FAULTS: dict[str, tuple[dict[str, Any], str]] = {
    "other lengths": (
        {"points__charge": [[1.0], [], [3.0]]},
        "points/charge: has 1 points in event 0, another column 2",
    ),
    "no lists": (
        {"points__charge": [1.0, 2.0, 3.0]},
        "points/charge: should be a list of numbers for each event, is do",
    ),
    "texts": ({"truth__energy": ["a", "b", "c"]}, "truth/energy: is of type object, numbers are due|has columns or"),
    "uneven": (
        {"points__position": [[[0.0, 1.0], [2.0]], [], [[4.0, 5.0]]]},
        "points/position: has lists of different lengths",
    ),
    "a missing class": ({"truth__primary": [0, None, 1]}, "truth/primary: has rows without a value; NaN stands for"),
    "a missing event": ({"points__time": [[0.5, 1.5], None, [2.5]]}, "points/time: should be a list of numbers for"),
    "no position": ({"points__position": None}, "points/position: is missing"),
    "no points": ({f"points__{name}": None for name in ("position", "charge", "time")}, "has no group points"),
    "another version": ({"header": {"version": 9}}, "is of version 9 of the format"),
    "another format": ({"header": {"format": "mine"}}, "is Parquet but no file of points"),
}


@pytest.mark.parametrize(("changed", "says"), FAULTS.values(), ids=FAULTS.keys())
def test_what_can_not_be_read_is_named(changed: dict[str, Any], says: str, tmp_path: Path) -> None:
    path = write_rows(tmp_path / "rows.parquet", **changed)
    with pytest.raises(DataError, match=rf"rows\.parquet: ({says})") as error:
        PointEvents(PointsConfig(), [path])
    assert "\n" not in str(error.value)


def test_damage_is_named(tmp_path: Path) -> None:
    whole = write_rows(tmp_path / "rows.parquet").read_bytes()
    assert is_points(tmp_path / "rows.parquet")
    cut = tmp_path / "cut.parquet"
    cut.write_bytes(whole[: len(whole) // 2])
    assert not is_points(cut)
    with pytest.raises(DataError, match=r"cut\.parquet: can't be read, the file is damaged or incomplete") as error:
        PointEvents(PointsConfig(), [cut])
    assert "\n" not in str(error.value)
    events = airshower.open(write_points(tmp_path / "own.h5", counts=np.tile(COUNTS, 100)))
    events.to_points(tmp_path / "changed.parquet")
    content = bytearray((tmp_path / "changed.parquet").read_bytes())
    content[1000] ^= 1  # in the data of a page, which has a checksum
    (tmp_path / "changed.parquet").write_bytes(content)
    with pytest.raises(DataError, match=r"changed\.parquet: can't be read, the file is damaged"):
        airshower.open(tmp_path / "changed.parquet")


def test_without_pyarrow_files_are_recognised_and_one_line_says_what_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_rows(tmp_path / "rows.parquet")
    events = airshower.open(path)
    for name in ("pyarrow", "pyarrow.parquet"):
        monkeypatch.setitem(sys.modules, name, None)
    assert is_points(path)
    with pytest.raises(UserError, match=r"pyarrow can't be imported .* pip install pyarrow"):
        PointEvents(PointsConfig(), [path])
    with pytest.raises(UserError, match="pip install pyarrow"):
        events.to_points(tmp_path / "again.parquet")
    assert not (tmp_path / "again.parquet").exists()
