"""The tutorials of docs/tutorials run from top to bottom, and their figures show something."""

from pathlib import Path
from typing import Any

import jupytext
import matplotlib.pyplot as plt
import pytest
import torch

TUTORIALS = sorted((Path(__file__).parents[1] / "docs" / "tutorials").glob("*.py"))


def test_each_detector_has_one() -> None:
    assert [path.stem for path in TUTORIALS] == ["liquid_argon", "tanks", "telescopes"]


def cells(path: Path) -> list[tuple[str, str]]:
    """Kind and source of the cells of the notebook."""
    return [(cell.cell_type, cell.source) for cell in jupytext.read(path, fmt="py:percent").cells]


@pytest.mark.full
@pytest.mark.parametrize("path", TUTORIALS, ids=lambda path: path.stem)
def test_a_tutorial_runs(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In an empty folder, cell after cell."""
    monkeypatch.chdir(tmp_path)
    plt.close("all")
    threads = torch.get_num_threads()
    names: dict[str, Any] = {}
    try:
        for kind, source in cells(path):
            if kind == "code":
                exec(compile(source, str(path), "exec"), names)
        figures = [plt.figure(number) for number in plt.get_fignums()]
        assert len(figures) >= 2
        assert all(axes.has_data() for figure in figures for axes in figure.axes)
        assert names["run"].path.is_relative_to("tutorial")
    finally:
        plt.close("all")
        torch.set_num_threads(threads)


@pytest.mark.parametrize("path", TUTORIALS, ids=lambda path: path.stem)
def test_steps_have_headings(path: Path) -> None:
    text = [source for kind, source in cells(path) if kind == "markdown"]
    headings = [line[3:] for source in text for line in source.splitlines() if line.startswith("## ")]
    assert headings[:2] == ["Open and look", "Train a little"]
    assert headings[2] in ("Load and predict", "Load and generate")
    assert headings[3] == "Plot"
    assert all(source.strip() for source in text)
