"""The networks whose weights come with the package do what their cards say."""

import json
import re
from pathlib import Path

import pytest

from airshower import load
from airshower.engine import pretrained
from tests.command import airshower

STATED = re.compile(r"^\| (?P<name>[\w /-]+) \| (?P<value>\d\.\d+) \|$", re.M)
METRICS = {
    "neutrino IoU": "Average/Neutrino_IoU",
    "cosmic IoU": "Average/Cosmic_IoU",
    "non-background accuracy": "Average/Non_Bkg_Accuracy",
}


@pytest.mark.parametrize("name", pretrained.names())
def test_weights_are_small_and_load_by_name(name: str) -> None:
    path = pretrained.find(name)
    assert path is not None
    assert path.stat().st_size < 2e6
    run = load(name)
    assert run.path == path
    assert "/" not in str(run.config.get("output_dir", ""))
    assert (path.parent / f"{name}.md").read_text().startswith(f"# {name}\n")


@pytest.mark.full
@pytest.mark.parametrize("name", pretrained.names())
def test_they_give_the_stated_metrics(name: str, tmp_path: Path) -> None:
    """On the 400 simulated events to test on; other processors round otherwise, and weights are in half precision."""
    stated = {
        row["name"]: float(row["value"]) for row in STATED.finditer((pretrained.FOLDER / f"{name}.md").read_text())
    }
    words = (f"network={name}", "mode.weights_location=pretrained", "data.test_events=400", "mode.displays=0")
    outcome = airshower("mode=inference", *words, f"output_dir={tmp_path}", "run.minibatch_size=8")
    assert outcome.code == 0, outcome.err
    found = json.loads((tmp_path / "predictions" / "metrics.json").read_text())["metrics"]
    assert stated.keys() >= METRICS.keys()
    for of, metric in METRICS.items():
        assert found[metric] == pytest.approx(stated[of], abs=0.005)
