"""A stack over a trained network of telescopes: what it is fitted to, what its checkpoint holds, what is refused."""

import csv
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

import airshower as library
from tests.checkpoints import newest
from tests.command import TINY_SHOWERS, TINY_STACK, airshower

EVENTS = ("data.events=8", "data.validation_events=40", "data.test_events=10")
TRAIN = ("mode=train", "mode.no_summary_images=true")


@pytest.fixture(scope="module")
def member(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("member") / "run"
    outcome = airshower(*TRAIN, *TINY_SHOWERS, *EVENTS, "network=cta_stereo_hex", f"output_dir={folder}")
    assert outcome.code == 0, outcome.err
    return folder


@pytest.fixture(scope="module")
def stack(member: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("stack") / "run"
    outcome = airshower(*TRAIN, *TINY_STACK, *EVENTS, f"mode.weights_location={member}", f"output_dir={folder}")
    assert outcome.code == 0, outcome.err
    return folder


def test_a_checkpoint_holds_the_member_and_the_trees_as_arrays(member: Path, stack: Path) -> None:
    weights = newest(stack)["model"]
    of_member = torch.load(member / "checkpoints" / "best.ckpt", weights_only=True)["model"]
    assert all(weights[f"member.{name}"].equal(value) for name, value in of_member.items())
    assert all(weights[f"trees.of_{name}.known"].all() for name in ("type", "energy", "direction", "core"))
    assert weights["trees.of_energy.trees.0.value"].abs().max() > 0


def test_trees_learn_from_half_of_the_events_that_the_member_was_validated_on(stack: Path) -> None:
    log = (stack / "process.log").read_text()
    assert "20 training events" in log
    assert "validation (20 events)" in log


def test_inference_needs_the_stack_alone(stack: Path, tmp_path: Path) -> None:
    copied = shutil.copytree(stack, tmp_path / "copied")
    outcome = airshower("mode=inference", "mode.displays=0", f"run.folder={copied}", f"output_dir={tmp_path / 'out'}")
    assert outcome.code == 0, outcome.err
    with open(tmp_path / "out" / "predictions" / "events.csv") as handle:
        rows = list(csv.DictReader(handle))
    assert len(rows) == 10
    assert all(np.isfinite(float(row[name])) for row in rows for name in ("energy", "alt", "core_x", "score_gamma"))
    assert library.load(copied).network.member is not None


@pytest.mark.parametrize(
    ("words", "line"),
    [
        ((), "mode.weights_location: name the run of the trained network"),
        (("{member}", "data.events=9"), "was trained with other data (data.events: 8 -> 9)"),
        (("{member}", "framework.seed=5"), "framework.seed: 1 -> 5"),
        (("{member}", "network.member.width=9"), "holds the weights of another network"),
    ],
)
def test_what_is_not_known_to_be_held_out_is_refused(
    words: tuple[str, ...], line: str, member: Path, tmp_path: Path
) -> None:
    given = [word.replace("{member}", f"mode.weights_location={member}") for word in words]
    outcome = airshower(*TRAIN, *TINY_STACK, *EVENTS, *given, f"output_dir={tmp_path / 'none'}")
    assert outcome.code == 2
    assert line in outcome.err
    assert not (tmp_path / "none").exists()
