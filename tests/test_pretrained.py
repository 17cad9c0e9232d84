"""The networks whose weights come with the package do what their cards say."""

import json
import re
from pathlib import Path

import pytest

from airshower import load
from airshower.engine import pretrained
from tests.command import airshower

STATED = re.compile(r"^\| (?P<name>[\w /()-]+) \| (?P<value>\d+\.\d+) \|$", re.M)
METRICS = {
    "uresnet_laptop": {
        "neutrino IoU": "Average/Neutrino_IoU",
        "cosmic IoU": "Average/Cosmic_IoU",
        "non-background accuracy": "Average/Non_Bkg_Accuracy",
    },
    "points_latent": {
        "AUC": "AUC",
        "energy resolution": "energy_resolution",
        "angular resolution (deg)": "angular_resolution",
        "core resolution (m)": "core_resolution",
    },
}
"""Of each card, and as inference has them."""
DATA = {"uresnet_laptop": ("data.test_events=400", "run.minibatch_size=8"), "points_latent": ()}


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
    """Other processors round otherwise, and weights are in half precision."""
    stated = {
        row["name"]: float(row["value"]) for row in STATED.finditer((pretrained.FOLDER / f"{name}.md").read_text())
    }
    words = (f"network={name}", "mode.weights_location=pretrained", "mode.displays=0", *DATA[name])
    outcome = airshower("mode=inference", *words, f"output_dir={tmp_path}")
    assert outcome.code == 0, outcome.err
    found = json.loads((tmp_path / "predictions" / "metrics.json").read_text())["metrics"]
    assert stated.keys() >= METRICS[name].keys()
    for of, metric in METRICS[name].items():
        assert found[metric] == pytest.approx(stated[of], rel=0.01, abs=0.005)
