"""The networks whose weights come with the package do what their cards say."""

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from airshower import load
from airshower.engine import pretrained
from tests.command import airshower

STATED = re.compile(r"^\| (?P<name>[\w /()-]+) \| (?P<value>\d+\.\d+) \|$", re.M)
PIXELS = {
    "neutrino IoU": "Average/Neutrino_IoU",
    "cosmic IoU": "Average/Cosmic_IoU",
    "non-background accuracy": "Average/Non_Bkg_Accuracy",
}
METRICS = {
    "uresnet_laptop": PIXELS,
    "sbnd_laptop": PIXELS,
    "points_latent": {
        "AUC": "AUC",
        "energy resolution": "energy_resolution",
        "angular resolution (deg)": "angular_resolution",
        "core resolution (m)": "core_resolution",
    },
}
"""Of each card, and as inference has them."""
PRETRAINED = "mode.weights_location=pretrained"
WORDS = {
    "uresnet_laptop": ("network=uresnet_laptop", PRETRAINED, "data.test_events=400", "run.minibatch_size=8"),
    "sbnd_laptop": ("experiment=sbnd_laptop", "mode.weights_location=sbnd_laptop"),
    "points_latent": ("network=points_latent", PRETRAINED),
}
"""With which their cards' metrics were made."""


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
    outcome = airshower("mode=inference", *WORDS[name], "mode.displays=0", f"output_dir={tmp_path}")
    assert outcome.code == 0, outcome.err
    found = json.loads((tmp_path / "predictions" / "metrics.json").read_text())["metrics"]
    assert stated.keys() >= METRICS[name].keys()
    for of, metric in METRICS[name].items():
        assert found[metric] == pytest.approx(stated[of], rel=0.01, abs=0.005)


def test_simulation_alone_teaches_to_read_the_public_events(sample_file: Callable[[str], Path], tmp_path: Path) -> None:
    """Of SBND, with pixels joined; the card has 0.83 and 0.52."""
    data = ("data=lartpc", f"data.file={sample_file('lartpc/cosmic_tagging_light.h5')}", "data.downsample=1")
    words = ("network=uresnet_laptop", "mode.weights_location=sbnd_laptop", "mode.displays=0", *data)
    outcome = airshower("mode=inference", *words, "data.validation_fraction=0", f"output_dir={tmp_path}")
    assert outcome.code == 0, outcome.err
    found = json.loads((tmp_path / "predictions" / "metrics.json").read_text())["metrics"]
    assert found["Average/Cosmic_IoU"] > 0.8
    assert found["Average/Neutrino_IoU"] > 0.45
