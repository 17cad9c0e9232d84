"""scripts/mpirun: what goes to mpirun, what to airshower, and what signals do."""

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.command import TINY_TRAIN, airshower
from tests.launch import mpirun_command
from tests.scripts.stand_ins import LAUNCHER, LIMIT, ROOT, Site, site_at

SCRIPT = ROOT / "scripts" / "mpirun"
OVERRIDES = ("mode=train", "run.id=a b", "data.simulation.image_size=[128,96]", "x='$HOME'", "--config-dir", "my conf")
ADDED = "run.distributed=true"


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with site_at(tmp_path) as made:
        made.add("mpirun", LAUNCHER)
        yield made


def launched(site: Site, tmp_path: Path, *words: str, code: int = 0) -> tuple[list[str], list[str]]:
    """Words that mpirun and airshower got, of a start that ends with `code`."""
    (site.notes / "code").write_text(str(code))
    process = site.start(SCRIPT, *words, cwd=tmp_path, MPIRUN="mpirun")
    assert process.wait(LIMIT) == code, site.output()
    got = site.noted("mpirun")[-1]["words"]
    split = got.index(str(ROOT / "bin" / "exec.py"))
    return got[: split - 1], got[split + 1 :]


@pytest.mark.parametrize("code", [0, 2])
def test_words_before_the_first_key_go_to_mpirun(site: Site, tmp_path: Path, code: int) -> None:
    options = ("-n", "4", "--hostfile", "my hosts", "-x", "OMP_NUM_THREADS=4")
    assert launched(site, tmp_path, *options, *OVERRIDES, code=code) == (list(options), [ADDED, *OVERRIDES])


@pytest.mark.parametrize("first", ["+x.y=1", "~data", "++x=1", "network@a.b=c"])
def test_two_dashes_or_a_key_end_the_words_for_mpirun(site: Site, tmp_path: Path, first: str) -> None:
    assert launched(site, tmp_path, "-n", "2", "--", first) == (["-n", "2"], [ADDED, first])
    if "=" in first:
        assert launched(site, tmp_path, "-n", "2", first) == (["-n", "2"], [ADDED, first])


def test_what_is_added_stands_beside_the_other_keys(site: Site, tmp_path: Path) -> None:
    """Hydra refuses keys before and after a flag."""
    flags = ("--config-dir", "x")
    assert launched(site, tmp_path, "--", *flags, "a=1") == ([], [*flags, "a=1", ADDED])
    assert launched(site, tmp_path, "--", *flags) == ([], [*flags, ADDED])
    assert launched(site, tmp_path, "a=1", *flags) == ([], [ADDED, "a=1", *flags])


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGUSR1, signal.SIGHUP])
def test_mpirun_gets_every_signal_as_usr1(site: Site, tmp_path: Path, number: int) -> None:
    process = site.start(SCRIPT, "-n", "2", cwd=tmp_path, MPIRUN="mpirun")
    site.wait_for(site.notes / "ready", process)
    process.send_signal(number)
    assert process.wait(LIMIT) == 75
    assert site.signals() == ["SIGUSR1"]
    # Ctrl-C in a terminal reaches the session that the script is in
    assert site.noted("mpirun")[0]["session"] != process.pid


def test_a_second_ctrl_c_ends_at_once(site: Site, tmp_path: Path) -> None:
    (site.notes / "stubborn").touch()
    process = site.start(SCRIPT, "-n", "2", cwd=tmp_path, MPIRUN="mpirun")
    site.wait_for(site.notes / "ready", process)
    process.send_signal(signal.SIGINT)
    site.wait_until(lambda: site.signals() == ["SIGUSR1"], process)
    process.send_signal(signal.SIGINT)
    assert process.wait(LIMIT) == 130
    assert site.signals() == ["SIGUSR1", "SIGINT"]


@pytest.mark.mpi
@pytest.mark.full
def test_sigterm_stops_two_ranks_with_a_checkpoint_that_resumes(site: Site, tmp_path: Path) -> None:
    run = tmp_path / "run"
    words = (*TINY_TRAIN, f"output_dir={run}", "mode.validation_iteration=0", "mode.checkpoint_iteration=1000000")
    words += ("mode.optimizer.schedule.name=constant",)
    mpirun = mpirun_command()
    process = site.start(SCRIPT, "-n", "2", *words, "run.iterations=100000", cwd=tmp_path, MPIRUN=mpirun)
    site.wait_for(run / "metrics" / "train.csv", process)
    process.terminate()
    assert process.wait(LIMIT) == 75, site.output()
    step = int(max((run / "checkpoints").glob("step_*")).stem.removeprefix("step_"))
    again = airshower(*words, f"run.iterations={step + 1}")
    assert again.code == 0, again.err
    assert f"resuming {run} at step {step} of {step + 1}" in again.out
