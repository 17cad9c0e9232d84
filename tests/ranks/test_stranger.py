"""A stranger at the store of a job's ranks: nothing of his is executed or believed, and no rank hangs."""

import json
import time
from pathlib import Path

import pytest

from tests.launch import finish, start
from tests.ranks.hosts_network import ADDRESSES, make_hosts

pytestmark = pytest.mark.mpi


def test_what_a_stranger_writes_changes_nothing(tmp_path: Path) -> None:
    """Pickled code, garbage, forged reports and counters, written without end to every key of ours; the store of ranks
    on one host listens on the loopback alone."""
    outcome = finish(start(2, "-m", "tests.ranks.stranger", "undisturbed", str(tmp_path)))
    assert outcome.code == 0, outcome.err
    listens = {path.name: json.loads(path.read_text()) for path in tmp_path.iterdir()}
    assert listens == {f"listens_{rank}.json": ["127.0.0.1"] for rank in range(2)}


def test_a_failure_is_told_although_a_stranger_writes_over_its_report(tmp_path: Path) -> None:
    outcome = finish(start(2, "-m", "tests.ranks.stranger", "reported", str(tmp_path)), 60)
    assert outcome.code in (1, 2), outcome.err
    assert "entry 7 is damaged" in outcome.err
    assert "forged" not in outcome.err
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("how", ["empty", "delete", pytest.param("mislead", marks=pytest.mark.full)])
def test_ranks_that_a_stranger_keeps_apart_end(tmp_path: Path, how: str) -> None:
    """`run.timeout` is 5 s; importing torch takes most of the time."""
    begun = time.monotonic()
    outcome = finish(start(2, "-m", "tests.ranks.stranger", "misled", str(tmp_path), how), 90)
    assert outcome.code == 1, outcome.err
    assert "airshower: " in outcome.err
    assert time.monotonic() - begun < 90


def test_the_store_of_two_hosts_listens_where_they_meet_alone(tmp_path: Path) -> None:
    hosts = make_hosts(tmp_path)
    try:
        outcome = finish(hosts.start("-m", "tests.ranks.stranger", "meet", str(tmp_path)))
    finally:
        hosts.remove()
    assert outcome.code == 0, outcome.err
    listens = [json.loads((tmp_path / f"listens_{rank}.json").read_text()) for rank in range(2)]
    assert listens == [[ADDRESSES[0]], []]
