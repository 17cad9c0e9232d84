"""scripts/slurm.sh and scripts/pbs.sh, with stand-ins for the commands of the batch systems."""

import json
import shutil
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from subprocess import Popen

import pytest

from tests.command import TINY_TRAIN
from tests.launch import mpirun_command
from tests.scripts.stand_ins import LAUNCHER, LIMIT, REAL_LAUNCHER, ROOT, Site, site_at

EXEC = str(ROOT / "bin" / "exec.py")
WORDS = ("mode=train", "run.id='a b, c'", "data.simulation.image_size=[128,96]", 'x="$HOME"', "--config-dir", "my conf")
JOB = "1234.site"


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    """With a launcher that does not launch, and one node of a job."""
    with site_at(tmp_path) as made:
        for name in ("scontrol", "qsub", "qstat"):
            made.add(name)
        for name in ("srun", "mpiexec"):
            made.add(name, LAUNCHER)
        (made.notes / "nodes").write_text("one\none\ntwo\n")
        yield made


def slurm(site: Site, tmp_path: Path, *words: str, **variables: str) -> Popen:
    """A job of scripts/slurm.sh. As Slurm does, a copy of the script runs, in the folder of the submission."""
    spooled = shutil.copy(ROOT / "scripts" / "slurm.sh", tmp_path / "slurm_script")
    variables = {"SLURM_JOB_ID": JOB, "SLURM_SUBMIT_DIR": str(ROOT), **variables}
    return site.start(spooled, *words, cwd=tmp_path, **variables)


def pbs(site: Site, tmp_path: Path, walltime: str = "01:00:00", **variables: str) -> Popen:
    """The job that was submitted last: a copy of the script, in the home folder, with the variables of `qsub -v`."""
    submitted = site.noted("qsub")[-1]
    names = submitted["words"][submitted["words"].index("-v") + 1].split(",")
    handed = {name: submitted["variables"][name] for name in names}
    spooled = shutil.copy(submitted["words"][-1], tmp_path / "pbs_script")
    (site.notes / "qstat.answer").write_text(f"Job Id: {JOB}\n    Resource_List.walltime = {walltime}\n    a = b\n")
    nodes = str(site.notes / "nodes")
    variables = {"PBS_JOBID": JOB, "PBS_O_WORKDIR": str(tmp_path), "PBS_NODEFILE": nodes, **handed, **variables}
    return site.start(spooled, cwd=Path("/"), **variables)


def submit(site: Site, tmp_path: Path, *words: str, **variables: str) -> None:
    """scripts/pbs.sh on a login node."""
    assert site.start(ROOT / "scripts" / "pbs.sh", *words, cwd=tmp_path, **variables).wait(LIMIT) == 0, site.output()


def airshower_words(call: dict) -> list[str]:
    """What airshower got of a launcher's words, but for what the scripts add."""
    split = call["words"].index(EXEC)
    assert call["words"][split + 1] == "run.distributed=true"
    return call["words"][split + 2 :]


@pytest.mark.parametrize("code", [0, 1, 2, 137])
def test_slurm_passes_words_and_exit_codes_on(site: Site, tmp_path: Path, code: int) -> None:
    (site.notes / "code").write_text(str(code))
    assert slurm(site, tmp_path, *WORDS, SLURM_CPUS_PER_TASK="8").wait(LIMIT) == code, site.output()
    (call,) = site.noted("srun")
    assert call["words"][:2] == ["--wait=60", "--cpus-per-task=8"]
    assert airshower_words(call) == list(WORDS)
    assert not site.noted("scontrol")


@pytest.mark.parametrize(
    ("number", "restarts", "requeued"),
    [(signal.SIGUSR1, 0, True), (signal.SIGUSR1, 3, False), (signal.SIGTERM, 0, False)],
    ids=["limit", "limit too often", "cancelled"],
)
def test_slurm_starts_again_only_after_the_limit(
    site: Site, tmp_path: Path, number: int, restarts: int, requeued: bool
) -> None:
    process = slurm(site, tmp_path, AIRSHOWER_RESTARTS="3", SLURM_RESTART_COUNT=str(restarts))
    site.wait_for(site.notes / "ready", process)
    process.send_signal(number)
    assert process.wait(LIMIT) == 75, site.output()
    assert site.signals() == ["SIGUSR1"]
    assert [call["words"] for call in site.noted("scontrol")] == ([["requeue", JOB]] if requeued else [])


def test_slurm_does_not_start_a_failed_run_again(site: Site, tmp_path: Path) -> None:
    """A run that fails after the signal."""
    (site.notes / "stubborn").touch()
    process = slurm(site, tmp_path)
    site.wait_for(site.notes / "ready", process)
    process.send_signal(signal.SIGUSR1)
    site.wait_until(lambda: site.signals() == ["SIGUSR1"], process)
    (site.notes / "code").write_text("1")
    assert process.wait(LIMIT) == 1
    assert not site.noted("scontrol")


def test_slurm_takes_another_launcher(site: Site, tmp_path: Path) -> None:
    (site.notes / "code").write_text("0")
    assert slurm(site, tmp_path, *WORDS, AIRSHOWER_LAUNCHER="mpiexec --bind none").wait(LIMIT) == 0
    (call,) = site.noted("mpiexec")
    assert call["words"][:2] == ["--bind", "none"]
    assert airshower_words(call) == list(WORDS)


@pytest.mark.parametrize("code", [0, 1, 2, 137])
def test_pbs_passes_words_and_exit_codes_on(site: Site, tmp_path: Path, code: int) -> None:
    (site.notes / "code").write_text(str(code))
    options = ("-A", "my project", "-l", "walltime=01:00:00")
    submit(site, tmp_path, *options, *WORDS, AIRSHOWER_RANKS_PER_NODE="2")
    assert site.noted("qsub")[0]["words"][: len(options)] == list(options)
    assert pbs(site, tmp_path).wait(LIMIT) == code, site.output()
    (call,) = site.noted("mpiexec")
    assert call["words"][:4] == ["-n", "4", "--ppn", "2"]
    assert airshower_words(call) == list(WORDS)
    assert len(site.noted("qsub")) == 1


def test_pbs_submits_again_after_the_limit_and_only_then(site: Site, tmp_path: Path) -> None:
    options = ("-A", "my project")
    submit(site, tmp_path, *options, *WORDS, AIRSHOWER_STOP_BEFORE="58", AIRSHOWER_RESTARTS="1")
    assert pbs(site, tmp_path, "00:01:00").wait(LIMIT) == 75, site.output()
    assert site.signals() == ["SIGUSR1"]
    first, second = site.noted("qsub")
    assert first["words"][:2] == second["words"][:2] == list(options)
    assert first["words"][-1] == second["words"][-1] == str(ROOT / "scripts" / "pbs.sh")
    assert pbs(site, tmp_path, "00:01:00").wait(LIMIT) == 75, site.output()
    assert len(site.noted("qsub")) == 2, "AIRSHOWER_RESTARTS"
    (site.notes / "code").write_text("0")
    assert pbs(site, tmp_path, "00:01:00").wait(LIMIT) == 0
    assert [airshower_words(call) for call in site.noted("mpiexec")] == [list(WORDS)] * 3


def test_pbs_does_not_submit_a_failed_run_again(site: Site, tmp_path: Path) -> None:
    """A run that fails after the limit."""
    (site.notes / "stubborn").touch()
    submit(site, tmp_path, *WORDS, AIRSHOWER_STOP_BEFORE="59")
    process = pbs(site, tmp_path, "00:01:00")
    site.wait_until(lambda: site.signals() == ["SIGUSR1"], process)
    (site.notes / "code").write_text("1")
    assert process.wait(LIMIT) == 1, site.output()
    assert len(site.noted("qsub")) == 1


def test_pbs_does_not_submit_again_what_was_deleted(site: Site, tmp_path: Path) -> None:
    submit(site, tmp_path, *WORDS)
    process = pbs(site, tmp_path)
    site.wait_for(site.notes / "ready", process)
    process.terminate()
    assert process.wait(LIMIT) == 75, site.output()
    assert site.signals() == ["SIGUSR1"]
    assert len(site.noted("qsub")) == 1


def test_pbs_says_that_the_walltime_is_too_short(site: Site, tmp_path: Path) -> None:
    submit(site, tmp_path, *WORDS)
    assert pbs(site, tmp_path, "00:03:00").wait(LIMIT) == 2
    assert "walltime=00:03:00" in site.output()
    assert not site.noted("mpiexec")


def _slurm_job(site: Site, tmp_path: Path, words: tuple[str, ...], run: Path) -> Callable[[], int]:
    def start() -> int:
        process = slurm(site, tmp_path, *words)
        if not run.exists():
            site.wait_for(run / "metrics" / "train.csv", process)
            process.send_signal(signal.SIGUSR1)
        return process.wait(LIMIT)

    return start


def _pbs_job(site: Site, tmp_path: Path, words: tuple[str, ...], run: Path) -> Callable[[], int]:
    submit(site, tmp_path, *words, AIRSHOWER_STOP_BEFORE="58")
    return lambda: pbs(site, tmp_path, "01:00:00" if run.exists() else "00:01:00").wait(LIMIT)


@pytest.mark.mpi
@pytest.mark.full
@pytest.mark.parametrize(
    ("job", "launcher", "again"),
    [(_slurm_job, "srun", "scontrol"), (_pbs_job, "mpiexec", "qsub")],
    ids=["slurm", "pbs"],
)
def test_a_job_stops_at_the_limit_and_the_next_finishes_it(
    site: Site, tmp_path: Path, job: Callable, launcher: str, again: str
) -> None:
    """The total of steps is beyond what the first job can do, and what the next has left after the checkpoint.

    One rank: that signals reach several is tested with scripts/mpirun.
    """
    run = tmp_path / "run"
    begun = str(run / "metrics" / "train.csv")
    site.add(launcher, REAL_LAUNCHER, mpirun=mpirun_command(), options=["-n", "1"], begun=begun)
    words = (*TINY_TRAIN, f"output_dir={run}", "mode.validation_iteration=0", "mode.checkpoint_iteration=1000000")
    words += ("run.iterations=60", "mode.optimizer.schedule.name=constant")
    start = job(site, tmp_path, words, run)
    before = len(site.noted(again))
    assert start() == 75, site.output()
    assert len(site.noted(again)) == before + 1
    step = int(max((run / "checkpoints").glob("step_*")).stem.removeprefix("step_"))
    assert 0 < step < 60
    assert start() == 0, site.output()
    assert f"resuming {run} at step {step} of 60" in site.output()
    assert len(site.noted(again)) == before + 1
    assert [item["step"] for item in json.loads((run / "provenance.json").read_text())] == [0, step]
