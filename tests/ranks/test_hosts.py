"""Runs over two hosts, which share no address but a cable's."""

import json
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.checkpoints import assert_same, newest
from tests.command import TINY
from tests.launch import EXEC, finish, mpirun, wait_for
from tests.ranks.hosts_network import ADDRESSES, NAMES, Hosts, make_hosts
from tests.samples import simulated

pytestmark = [pytest.mark.mpi, pytest.mark.full]
DATA = ("data=lartpc", "data.validation_fraction=0.3", "data.downsample=0")
TRAIN = (
    "mode=train", *(item for item in TINY if not item.startswith("data.")), *DATA, "mode.no_summary_images=true",
    "mode.optimizer.schedule.name=constant",
)  # fmt: skip


@pytest.fixture(scope="module")
def hosts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hosts]:
    """Two hosts, each with its own copy of the same data file."""
    made = make_hosts(tmp_path_factory.mktemp("hosts"))
    try:
        for folder in made.folders:
            shutil.copy(simulated(6), folder / "events.h5")
        yield made
    finally:
        made.remove()


def train(hosts: Hosts, folder: Path, *overrides: str) -> subprocess.Popen:
    """Training on both hosts, started; each reads its own file."""
    own = ("data.file='${oc.env:MY_DATA}'", f"output_dir={folder}")
    return hosts.start(EXEC, "run.distributed=true", *TRAIN, *own, *overrides)


def test_ranks_of_two_hosts_meet(hosts: Hosts) -> None:
    """Though the name of each host means its loopback, as on Debian."""
    report = Path(__file__).with_name("hosts_report.py")
    outcome = finish(hosts.start(str(report)))
    assert outcome.code == 0, outcome.err
    seen = json.loads(outcome.out)
    common = {"means": "127.0.1.1", "store": ADDRESSES[0], "total": 3, "gloo": "cable", "nccl": "cable"}
    assert seen == [
        {"host": NAMES[rank], "rank": rank, "size": 2, "local_rank": 0, "local_size": 1, **common} for rank in (0, 1)
    ]


def test_training_stops_and_resumes_bit_identically(hosts: Hosts, tmp_path: Path) -> None:
    """SIGUSR1 to mpirun reaches both hosts; what is resumed there equals an uninterrupted run of one host."""
    process = train(hosts, tmp_path / "parts", "run.iterations=100000")
    wait_for(tmp_path / "parts" / "metrics" / "train.csv", process)
    process.send_signal(signal.SIGUSR1)
    stopped = finish(process)
    assert stopped.code == 75, stopped.err
    assert "the same command resumes it" in stopped.out
    total = newest(tmp_path / "parts")["step"] + 2
    resumed = finish(train(hosts, tmp_path / "parts", f"run.iterations={total}"))
    assert resumed.code == 0, resumed.err
    provenance = json.loads((tmp_path / "parts" / "provenance.json").read_text())
    assert [(run["ranks"], run["hosts"]) for run in provenance] == [(2, list(NAMES))] * 2

    one_host = (f"data.file={hosts.folders[0] / 'events.h5'}", f"output_dir={tmp_path / 'whole'}")
    whole = mpirun(2, *TRAIN, *one_host, f"run.iterations={total}")
    assert whole.code == 0, whole.err
    states = [newest(tmp_path / name) for name in ("whole", "parts")]
    for state in states:
        state.pop("best")  # of the steps with a checkpoint, of which the stop was one more
    assert_same(*states)


def test_another_file_on_one_host_is_refused(hosts: Hosts, tmp_path: Path) -> None:
    """In one line, and nothing is left running."""
    file = hosts.folders[1] / "events.h5"
    shutil.copy(simulated(5), file)
    try:
        outcome = finish(train(hosts, tmp_path / "run"))
    finally:
        shutil.copy(simulated(6), file)
    assert outcome.code == 2, outcome.err
    assert outcome.err.count("airshower: ") == 1, outcome.err
    assert "airshower: rank 1 does not see what rank 0 sees (the content of its data files:" in outcome.err
    assert not (tmp_path / "run").exists()
    wait_until_empty(hosts)


def wait_until_empty(hosts: Hosts) -> None:
    deadline = time.monotonic() + 10
    while running := hosts.processes(0) + hosts.processes(1):
        assert time.monotonic() < deadline, running
        time.sleep(0.1)
