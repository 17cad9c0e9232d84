"""Differences of runs on the same events, by whole ids, with paired errors."""

from pathlib import Path

import numpy as np
import pytest

from airshower.comparison.paired import differences
from airshower.comparison.runs import Run
from airshower.errors import UserError
from airshower.writers.tables import write_events

EVENTS = 1000


def run(folder: Path, **columns: np.ndarray) -> Run:
    (folder / "predictions").mkdir(parents=True)
    write_events(folder / "predictions" / "events.csv", columns)
    return Run(folder.name, folder, {}, (), [], [], None)


def table(sigma: float, seed: int = 0, shift: float = 0.0) -> dict[str, np.ndarray]:
    """Events with energies of this error in common with all others of a seed; a third are protons."""
    rng = np.random.default_rng(seed)
    signal = np.arange(EVENTS) % 3 > 0
    energy = np.exp(rng.normal(size=EVENTS))
    error = rng.normal(size=EVENTS)
    return {
        "entry": np.arange(EVENTS),
        "file": np.arange(EVENTS) % 2,
        "event": np.arange(EVENTS) // 2,
        "true_type": np.where(signal, "gamma", "proton"),
        "score_gamma": 1.0 * signal + rng.normal(size=EVENTS) + shift * signal,
        "energy": energy * (1 + sigma * error),
        "true_energy": energy,
        "core_x": rng.normal(size=EVENTS),
        "core_y": np.zeros(EVENTS),
        "true_core_x": np.zeros(EVENTS),
        "true_core_y": np.zeros(EVENTS),
    }


def test_what_is_common_drops_out(tmp_path: Path) -> None:
    first = run(tmp_path / "first", **table(0.20, shift=0.5))
    order = np.random.default_rng(3).permutation(EVENTS)
    others = table(0.21)
    others["true_energy"] = others["true_energy"] * (1 + 1e-7)  # rounded differently
    others["energy"] = others["energy"] * (1 + 1e-7)
    other = run(tmp_path / "other", **{name: column[order] for name, column in others.items()})
    found = {row.metric: row for row in differences([first, other])}
    assert list(found) == ["AUC", "energy_resolution", "core_resolution (m)"]
    energy = found["energy_resolution"]
    assert energy.value == pytest.approx(energy.first * (0.20 - 0.21) / 0.20, rel=1e-5)
    assert 0 < energy.error < 0.001  # unpaired it would be 0.2 / sqrt(1000)
    assert found["core_resolution (m)"].value == found["core_resolution (m)"].error == 0
    assert found["AUC"].value > 3 * found["AUC"].error > 0
    assert {row.events for row in found.values()} == {(np.arange(EVENTS) % 3 > 0).sum()}


def test_only_events_of_both_count(tmp_path: Path) -> None:
    first = run(tmp_path / "first", **table(0.2))
    other = run(tmp_path / "other", **{name: column[:300] for name, column in table(0.3).items()})
    assert {row.events for row in differences([first, other])} == {200}


def test_other_events_are_not_compared(tmp_path: Path) -> None:
    first = run(tmp_path / "first", **table(0.2))
    others = table(0.3)
    others["true_energy"] = others["true_energy"] * 2
    assert differences([first, run(tmp_path / "truth", **others)]) == []
    ids = table(0.3)
    del ids["file"]
    assert differences([first, run(tmp_path / "ids", **ids)]) == []
    (tmp_path / "empty").mkdir()
    assert differences([first, Run("empty", tmp_path / "empty", {}, (), [], [], None)]) == []


def test_cuts_choose_events_by_columns_of_the_first(tmp_path: Path) -> None:
    bright = np.arange(EVENTS) % 4 == 0
    first = run(tmp_path / "first", **table(0.2), second_intensity=np.where(bright, 60.0, 40.0))
    other = run(tmp_path / "other", **table(0.3))
    found = differences([first, other], "second_intensity >= 50 and true_energy > 0")
    assert {row.events for row in found} == {(bright & (np.arange(EVENTS) % 3 > 0)).sum()}
    assert {row.metric for row in found} == {row.metric for row in differences([first, other])}
    with pytest.raises(UserError, match=r"--cuts=true_enrgy > 1: there is no column true_enrgy.*true_energy"):
        differences([first, other], "true_enrgy > 1")
    assert differences([first, other], "true_energy < 0") == []
