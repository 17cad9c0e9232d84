"""Metrics over steps: each row once, whatever was killed, and damage named."""

import math
from pathlib import Path

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from airshower.errors import DataError
from airshower.writers.scalars import Scalars, ScalarTable, read_table


def steps(scalars: Scalars, name: str) -> list[int]:
    return [row["step"] for row in scalars.tables[name].rows()]


def shown(folder: Path, name: str) -> list[int]:
    """The steps that TensorBoard shows of a loss."""
    board = EventAccumulator(str(folder / "tensorboard" / name))
    board.Reload()
    return [event.step for event in board.Scalars("loss")]


def test_a_run_killed_before_its_first_checkpoint_starts_its_tables_over(tmp_path: Path) -> None:
    killed = Scalars(tmp_path, 0, {})
    killed.write("validation", 0, {"loss": 2.0})
    killed.write("train", 1, {"loss": 1.0})
    killed.close()
    again = Scalars(tmp_path, 0, {})
    again.write("validation", 0, {"loss": 3.0})
    again.write("train", 1, {"loss": 4.0})
    again.close()
    assert again.tables["validation"].rows() == [{"step": 0, "loss": 3.0}]
    assert again.tables["train"].rows() == [{"step": 1, "loss": 4.0}]
    assert shown(tmp_path, "validation") == [0]
    assert shown(tmp_path, "train") == [1]


def test_a_validation_that_no_checkpoint_knows_of_is_dropped(tmp_path: Path) -> None:
    """Killed after the row of a validation that was made up for, before the checkpoint that says so."""
    killed = Scalars(tmp_path, 0, {})
    for step in (0, 2, 4):
        killed.write("validation", step, {"loss": 1.0})
    killed.write("train", 4, {"loss": 1.0})
    killed.close()
    resumed = Scalars(tmp_path, 4, {"validation": 2})
    assert steps(resumed, "validation") == [0, 2]
    assert steps(resumed, "train") == [4]
    resumed.write("validation", 4, {"loss": 5.0})
    resumed.close()
    assert shown(tmp_path, "validation") == [0, 2, 4]


@pytest.mark.parametrize("kept", range(9, 29))
def test_a_last_row_that_was_cut_short_is_no_row(tmp_path: Path, kept: int) -> None:
    """Wherever it was cut, also within its last number."""
    path = tmp_path / "train.csv"
    table = ScalarTable(path, -1)
    for step in (1, 2):
        table.append({"step": step, "loss": step + 0.25})
    whole = path.read_bytes()
    assert len(whole) == len("step,loss\r\n1,1.25\r\n2,2.25\r\n") == 27
    path.write_bytes(whole[:kept])
    expected = [{"step": step, "loss": step + 0.25} for step in (1, 2)]
    assert read_table(path) == expected[: whole[:kept].count(b"\n") - 1 if kept > 11 else 0]
    resumed = ScalarTable(path, 1)
    resumed.append({"step": 2, "loss": math.pi})
    assert resumed.rows()[-1] == {"step": 2, "loss": math.pi}
    assert path.read_bytes().count(b"step") == 1


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("step,loss\n1,2\n2,x\n3,4\n", "line 3: could not convert string to float: 'x'"),
        ("step,loss\n1\n2,3\n", "line 2: 1 values for 2 columns"),
        ("step,loss\n1,2,3\n", "line 2: 3 values for 2 columns"),
        ("step,loss\n1.5,2\n", "line 2: invalid literal for int"),
        ("loss\n1\n", "line 1: there is no column step"),
        ("\n1,2\n", "line 1: there is no column step"),
        ("\0" * 50, "line 1: there is no column step"),
        ('step,loss\n1,"2\n', "line 1: unexpected end of data"),
        ("step,loss\n1,\udcff\n", "'utf-8' codec can't decode"),
    ],
)
def test_a_damaged_table_is_named_with_its_line(tmp_path: Path, text: str, says: str) -> None:
    path = tmp_path / "train.csv"
    path.write_bytes(text.encode(errors="surrogateescape"))
    before = path.read_bytes()
    with pytest.raises(DataError) as caught:
        ScalarTable(path, 1)
    assert str(caught.value).startswith(f"{path}: is not a table of numbers (")
    assert says in str(caught.value)
    assert path.read_bytes() == before
