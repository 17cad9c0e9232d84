"""scripts/golden: records of what presets compute, and their comparison."""

import copy
import json
import os
import shutil
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest

from airshower.assembly.compose import conf_folder
from tests.command import Outcome

ROOT = Path(__file__).parents[2]
ENTRIES = "rank 0, training 0, reader 0"


@pytest.fixture
def load(monkeypatch: pytest.MonkeyPatch):
    """Imports a module of scripts/."""
    monkeypatch.syspath_prepend(str(ROOT / "scripts"))
    return import_module


@pytest.fixture
def golden(load, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture):
    """Runs scripts/golden in this process."""

    def run(*arguments: object) -> Outcome:
        monkeypatch.setattr(sys, "argv", ["golden", *map(str, arguments)])
        with pytest.raises(SystemExit) as stop:
            load("goldens.__main__").main()
        printed = capsys.readouterr()
        return Outcome(int(stop.value.code or 0), printed.out, printed.err)

    return run


@pytest.fixture
def record(load) -> dict:
    """One case of three parts, and one that was skipped."""
    array = load("goldens.values").array
    parts = {
        "losses": {"loss": array([4.0, 2.0, 1.0])},
        "entries read": {ENTRIES: ["3 1", "2 0"]},
        "trained weights": {"a": array(np.zeros(200, np.float32)), "b": array(np.ones((2, 2), np.float32))},
    }
    return {
        "format": 1,
        "revision": "abc",
        "machine": {"CPU": "one", "torch": "2.13.0"},
        "cases": {"network/a": {"parts": parts, "seconds": 1.0}, "files/b": {"skipped": "no file"}},
    }


@pytest.fixture
def compared(golden, record: dict, tmp_path: Path):
    """Compares the record with one that a function has changed; what was printed, its lines in one row a case."""

    def compare(change, *options: str) -> Outcome:
        changed = copy.deepcopy(record)
        change(changed)
        for name, content in (("before.json", record), ("now.json", changed)):
            (tmp_path / name).write_text(json.dumps(content))
        return golden("compare", tmp_path / "before.json", tmp_path / "now.json", *options)

    return compare


def parts(record: dict) -> dict:
    return record["cases"]["network/a"]["parts"]


def test_values_come_back_as_they_were(load) -> None:
    values = load("goldens.values")
    for array in (
        np.array([0.1, np.nan, -np.inf], np.float32),
        np.arange(1000, dtype=np.int64).reshape(10, 100),
        np.array(2.5),
        np.array([], np.float64),
        np.array([[True, False]]),
    ):
        stored = json.loads(json.dumps(values.array(array)))
        again = values.numbers(stored)
        assert again.dtype == array.dtype
        np.testing.assert_array_equal(again, array)
        assert values.difference(stored, values.array(array)) is None


def test_equal_records_do_not_differ(compared) -> None:
    outcome = compared(lambda _: None)
    assert outcome.code == 0
    assert "2 cases of abc and abc: 0 differences" in outcome.out
    assert "made elsewhere" not in outcome.out


def test_a_loss_that_differs_is_named_with_its_step_and_size(compared, load) -> None:
    def change(record: dict) -> None:
        parts(record)["losses"]["loss"] = load("goldens.values").array([4.0, 2.5, 0.9])

    outcome = compared(change)
    assert outcome.code == 1
    assert "loss: 2 of 3 values, first [1] 2 -> 2.5" in outcome.out
    assert "5.0e-01, relative 1e-01" in outcome.out
    assert "1 differences" in outcome.out


def test_another_order_of_entries_is_called_so(compared) -> None:
    def change(record: dict) -> None:
        parts(record)["entries read"][ENTRIES].reverse()

    outcome = compared(change)
    assert outcome.code == 1
    assert f"{ENTRIES}: another order, first [0] 3 1 -> 2 0" in outcome.out


def test_of_many_weights_the_first_and_the_largest_difference_are_shown(compared, load) -> None:
    def change(record: dict) -> None:
        a = np.zeros(200, np.float32)
        a[7] = 0.125
        parts(record)["trained weights"]["a"] = load("goldens.values").array(a)
        parts(record)["trained weights"]["b"] = load("goldens.values").array(np.full((2, 2), 2, np.float32))

    text = " ".join(compared(change).out.replace("│", " ").split())
    assert "trained weights 2 of 2 a: 1 of 200 values, first [7] 0 -> 0.125 1.0e+00, relative 1e+00, of b" in text


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("b", np.ones((4, 1), np.float32), "b: shape [2, 2] -> [4, 1]"),
        ("b", np.ones((2, 2)), "b: dtype float32 -> float64"),
        ("b", np.array([[1, 1], [1, np.nan]], np.float32), "b: 1 of 4 values, first [3] 1 -> nan"),
        ("c", np.ones(1), "c: is new"),
    ],
)
def test_weights_that_are_others(compared, load, name: str, value: np.ndarray, says: str) -> None:
    outcome = compared(
        lambda record: parts(record)["trained weights"].update({name: load("goldens.values").array(value)})
    )
    assert outcome.code == 1
    assert says in outcome.out


def test_cases_of_one_record_alone_and_failed_ones_are_listed(compared) -> None:
    def change(record: dict) -> None:
        cases = record["cases"]
        cases["network/new"] = cases.pop("network/a")
        cases["files/b"] = {"failed": "data.file: is empty"}

    outcome = compared(change)
    assert outcome.code == 1
    rows = [" ".join(line.replace("│", " ").split()) for line in outcome.out.splitlines()]
    assert "network/a case only in the record" in rows
    assert "network/new case only now" in rows
    assert "files/b case skipped: no file -> failed: data.file: is empty" in rows
    only = compared(change, "--only", "network/n")
    assert only.code == 1
    assert "network/new" in only.out
    assert "network/a" not in only.out
    assert compared(change, "--only", "nothing").code == 2


def test_another_machine_is_said_and_no_difference(compared) -> None:
    outcome = compared(lambda record: record["machine"].update(CPU="another", numpy="2.4.0"))
    assert outcome.code == 0
    assert "made elsewhere" in outcome.out
    assert "  CPU: one -> another\n  numpy: None -> 2.4.0\n" in outcome.out


@pytest.mark.parametrize("text", ["{}", "no json", None])
def test_a_file_that_is_no_record_is_one_line(golden, tmp_path: Path, text: str | None) -> None:
    path = tmp_path / "record.json"
    if text is not None:
        path.write_text(text)
    outcome = golden("compare", path, path)
    assert outcome.code == 2
    assert str(path) in outcome.err
    assert len(outcome.err.splitlines()) == 1


def test_a_record_is_not_overwritten(golden, tmp_path: Path) -> None:
    path = tmp_path / "record.json"
    path.write_text("kept")
    outcome = golden("record", path)
    assert outcome.code == 2
    assert "is there already" in outcome.err
    assert path.read_text() == "kept"


def test_every_network_has_its_sizes_stated(load) -> None:
    """But those that are fitted over a trained one."""
    module = load("goldens.cases")
    cases = list(module.cases(ROOT))
    names = {case.name for case in cases if not case.skipped}
    over_others = {f"network/{name}" for name in module.OVER_OTHERS}
    assert names | over_others >= {f"network/{path.stem}" for path in conf_folder().glob("network/*.yaml")}
    assert {case.name for case in cases if case.skipped} == over_others
    assert {name.split("/")[0] for name in names} == {"network", "accumulation", "ranks", "resume", "neutrino", "files"}


def test_cases_without_their_sample_file_are_skipped(load, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("AIRSHOWER_SAMPLE_DATA", str(tmp_path))
    (tmp_path / "lartpc").mkdir()
    (tmp_path / "lartpc" / "cosmic_tagging_light.h5").touch()
    record = load("goldens.record")
    why = {case.name: record.skipped(case) for case in record.chosen(ROOT, "files/")}
    assert why["files/lartpc_uresnet"] == ""
    assert why["files/hawc_pixelcnn_1ch"] == "hawc_like_gamma.xcd is not in hawc/ of the samples"
    skipped = {case.name for case in record.chosen(ROOT, "network/") if record.skipped(case)}
    assert skipped == {f"network/{name}" for name in load("goldens.cases").OVER_OTHERS}


@pytest.mark.full
def test_deliberate_changes_are_noticed(tmp_path: Path) -> None:
    """Two computations do not differ; one of a checkout that begins with another weight does, and one that swaps two
    entries."""
    path, only = tmp_path / "record.json", ("--only", "network/hawc_param_flow")

    def golden(*arguments: object) -> tuple[int, str]:
        line = [sys.executable, "-m", "goldens", *map(str, arguments), *only]
        environment = os.environ | {"PYTHONPATH": f"{ROOT / 'src'}{os.pathsep}{ROOT / 'scripts'}"}
        done = subprocess.run(line, env=environment, capture_output=True, text=True, check=False)
        assert not done.stderr
        return done.returncode, " ".join(done.stdout.replace("│", " ").split())

    assert golden("record", path)[0] == 0
    loss = json.loads(path.read_text())["cases"]["network/hawc_param_flow"]["parts"]["losses"]["loss"]
    assert len(loss["values"]) == 12
    assert np.isfinite(loss["values"]).all()
    code, text = golden("compare", path)
    assert code == 0, text
    code, text = golden(
        "compare", path, "--source", changed(tmp_path / "weight", "networks/tanks/parameter_flow.py", WEIGHT)
    )
    assert code == 1
    assert "initial weights 1 of" in text
    assert "1 of 2 SHA-256 of the initial weights: 1 of 1 are gone" in text
    assert "losses 1 of 1 loss: 12 of 12 values" in text
    assert "entries read" not in text
    code, text = golden("compare", path, "--source", changed(tmp_path / "order", "data/plan.py", ORDER))
    assert code == 1
    assert "initial weights" not in text
    assert "splits" not in text
    assert "entries read 1 of" in text
    assert "losses 1 of 1 loss: 12 of 12 values" in text


WEIGHT = """
build = ParameterFlow.__init__
def changed(self, *arguments):
    build(self, *arguments)
    with torch.no_grad():
        list(self.parameters())[-1][0] += 0.125
ParameterFlow.__init__ = changed
"""
ORDER = """
draw = EntryPlan._draw
def changed(self, generator):
    entries = draw(self, generator).copy()
    if self.config.order == "shuffled":
        entries[[0, 8]] = entries[[8, 0]]
    return entries
EntryPlan._draw = changed
"""


def changed(checkout: Path, module: str, code: str) -> Path:
    """A copy of this checkout, with lines added to a module."""
    for name in ("src", "conf", "bin"):
        shutil.copytree(ROOT / name, checkout / name)
    with open(checkout / "src" / "airshower" / module, "a") as handle:
        handle.write(code)
    return checkout
