"""mode=inspect and mode=simulate on two ranks: what they leave is that of one."""

import json
from pathlib import Path

import pytest

from tests.command import airshower
from tests.launch import Together, together
from tests.test_inspect import OVERRIDES, QUIET

pytestmark = pytest.mark.mpi

SHOWERS = ("data=cta_simulated", *OVERRIDES, "data.events=13", "data.validation_events=4", "data.test_events=4", *QUIET)
INSPECT = ("mode=inspect", *SHOWERS, "mode.displays=1", "mode.events=19")
SIMULATE = ("mode=simulate", "data=hawc_simulated", "data.events=15")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("data_modes")


@pytest.fixture(scope="module")
def two(place: Path) -> Together:
    distributed = "run.distributed=true"
    return together(
        2,
        place / "two",
        inspect=("run", distributed, *INSPECT, f"output_dir={place / 'inspected'}"),
        simulate=("run", distributed, *SIMULATE, f"mode.file={place / 'two.xcd'}"),
        exists=("run", distributed, *SIMULATE, f"mode.file={place / 'two.xcd'}"),
    )


def test_the_report_of_two_ranks_is_that_of_one(two: Together, place: Path) -> None:
    """To the last digit, though each read a part of the events."""
    assert two.run("inspect").code == 0, two.run("inspect").err
    one = airshower(*INSPECT, f"output_dir={place / 'alone'}")
    assert one.code == 0, one.err
    reports = [(place / name / "inspect" / "report.json").read_text() for name in ("inspected", "alone")]
    assert reports[0] == reports[1]
    assert json.loads(reports[0])["entries"]["read"] == 19
    pages = [(place / name / "inspect" / "index.html").exists() for name in ("inspected", "alone")]
    assert pages == [True, True]


def test_one_of_two_ranks_writes_the_file(two: Together, place: Path) -> None:
    assert two.run("simulate").code == 0, two.run("simulate").err
    assert airshower(*SIMULATE, f"mode.file={place / 'one.xcd'}").code == 0
    assert (place / "two.xcd").read_bytes() == (place / "one.xcd").read_bytes()


def test_a_refusal_is_one_line_of_both(two: Together) -> None:
    outcome = two.run("exists")
    assert outcome.code == 2
    assert outcome.err.count("exists; choose another name") == 1
