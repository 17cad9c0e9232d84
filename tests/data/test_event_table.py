"""Tables of events: columns with units, joined and written."""

from pathlib import Path

import numpy as np
import pytest

from airshower.data.event_table import EventTable


def table(first: int = 0) -> EventTable:
    parts = EventTable({"event": np.array([0, 0, 1]), "charge": np.array([1.0, 2.0, 3.0]) + first}, {"charge": "p.e."})
    energy = np.array([1.5, 2.5]) + first
    return EventTable({"energy": energy, "type": np.array(["gamma", "proton"])}, {"energy": "TeV"}, parts)


def test_parts_name_the_rows_of_the_joined_table() -> None:
    joined = EventTable.joined([table(), table(10)])
    assert joined["energy"].tolist() == [1.5, 2.5, 11.5, 12.5]
    assert joined.parts is not None
    assert joined.parts["event"].tolist() == [0, 0, 1, 2, 2, 3]
    assert joined.parts["charge"].tolist() == [1, 2, 3, 11, 12, 13]
    assert joined.parts.unit("charge") == "p.e."


def test_columns_units_and_rows() -> None:
    events = table()
    assert len(events) == 2
    assert list(events) == events.keys() == ["energy", "type"]
    assert "energy" in events
    assert (events.unit("energy"), events.unit("type")) == ("TeV", "")
    assert events.rows(events["type"] == "proton")["energy"].tolist() == [2.5]
    with pytest.raises(KeyError, match="there are energy, type"):
        events["enrgy"]


def test_it_is_shown_as_a_table() -> None:
    lines = repr(EventTable.joined([table(10 * number) for number in range(9)])).splitlines()
    assert lines[0].split() == ["energy", "(TeV)", "type"]
    assert lines[1].split() == ["1.5", "gamma"]
    assert lines[-1] == "... 18 rows"


def test_arrays_come_back_from_a_file(tmp_path: Path) -> None:
    table().to_npz(tmp_path / "a.npz")
    with np.load(tmp_path / "a.npz", allow_pickle=False) as file:
        assert file["type"].tolist() == ["gamma", "proton"]
        assert file["units"].tolist() == [["energy", "TeV"], ["type", ""]]
    assert [path.name for path in tmp_path.iterdir()] == ["a.npz"]
