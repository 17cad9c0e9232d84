"""Several ranks do together what one does alone, stop together, and fail together."""

import json
import os
import signal
import subprocess
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from airshower.writers.scalars import read_table
from tests.command import TINY, Outcome, airshower
from tests.launch import EXEC, finish, mpirun, start, worker

pytestmark = pytest.mark.mpi

SEVEN = tuple(item for item in TINY if not item.startswith(("data.events", "run.iterations")))
SEVEN += ("data.events=7", "mode.optimizer.schedule.name=constant")
"""Seven events: minibatches of two leave one, which some ranks have no part in."""
TRAIN = ("mode=train", *SEVEN, "mode.no_summary_images=true", "mode.validation_iteration=0")
GROUP = (*TRAIN, "network.normalization=group")


def newest(run: Path) -> dict:
    path = sorted((run / "checkpoints").glob("step_*.ckpt"))[-1]
    return torch.load(path, weights_only=True)


def assert_same_state(a: dict, b: dict) -> None:
    assert a["step"] == b["step"]
    assert a["plan"] == b["plan"]
    for name, value in a["model"].items():
        assert torch.equal(value, b["model"][name]), name
    for one, other in zip(a["optimizers"], b["optimizers"], strict=True):
        for index, values in one["state"].items():
            assert all(torch.equal(value, other["state"][index][key]) for key, value in values.items())


def recorded(log: Path, size: int, minibatch: int) -> list[int]:
    """The entries that `size` ranks have read, in their global order."""
    ranks = [[json.loads(line) for line in (log / f"entries_{rank}").read_text().splitlines()] for rank in range(size)]
    assert len({len(lines) for lines in ranks}) == 1, "as many pieces on each rank"
    steps = [[entry for part in parts for entry in part] for parts in zip(*ranks, strict=True)]
    assert all(len(step) <= minibatch for step in steps)
    return [entry for step in steps for entry in step]


def flat(state: dict) -> torch.Tensor:
    return torch.cat([value.flatten() for value in state["model"].values()])


@pytest.mark.parametrize("size", [2, 3])
def test_collectives(size: int) -> None:
    for name in ("collectives", "statistics"):
        outcome = worker(size, name)
        assert outcome.code == 0, outcome.err


@pytest.mark.parametrize(("size", "mode"), [(2, "ddp"), (3, "ddp"), (2, "fsdp")])
def test_gradients_do_not_depend_on_ranks_and_cuts(size: int, mode: str) -> None:
    outcome = worker(size, "gradients", mode)
    assert outcome.code == 0, outcome.err
    differences = json.loads(outcome.out)
    assert len(differences) == (28 if mode == "ddp" else 7)
    assert max(differences.values()) < 1e-12, differences


@pytest.mark.parametrize(("size", "count", "minibatch", "accumulation"), [(2, 7, 3, 1), (3, 10, 4, 2), (3, 5, 2, 1)])
def test_every_entry_is_dealt_once_an_epoch(size: int, count: int, minibatch: int, accumulation: int) -> None:
    outcome = worker(size, "epochs", str(count), str(minibatch), str(accumulation))
    assert outcome.code == 0, outcome.err
    found = json.loads(outcome.out)
    for epoch in range(2):
        span = slice(epoch * found["steps_per_epoch"], (epoch + 1) * found["steps_per_epoch"])
        entries = [e for rank in found["ranks"] for step in rank[span] for piece in step for e in piece]
        assert sorted(entries) == list(range(count))


def test_two_ranks_train_as_one(tmp_path: Path) -> None:
    """The losses of one rank, of DDP and of FSDP agree; their checkpoints are of one kind and go on on one rank."""
    common = (*GROUP, "run.iterations=4", "mode.optimizer.gradient_accumulation=2", "mode.optimizer.name=sgd")
    common += ("framework.channels_last=false",)  # FSDP has no other layout, and each rounds in its own way
    common += ("mode.optimizer.learning_rate=1e-2", "mode.checkpoint_iteration=1", "mode.keep_checkpoints=9")
    assert airshower(*common, f"output_dir={tmp_path / 'one'}").code == 0
    for mode in ("ddp", "fsdp"):
        outcome = mpirun(2, *common, f"framework.distributed_mode={mode}", f"output_dir={tmp_path / mode}")
        assert outcome.code == 0, outcome.err
        assert "2 ranks" in outcome.out
    one, two, parts = (read_table(tmp_path / name / "metrics" / "train.csv") for name in ("one", "ddp", "fsdp"))
    for a, b, c in zip(one, two, parts, strict=True):
        near = 1e-6 if a["step"] == 1 else 1e-3  # float32 rounds, and steps enlarge
        assert b["loss"] == pytest.approx(a["loss"], rel=near)
        assert c["loss"] == pytest.approx(a["loss"], rel=near)
        assert b["Average/Dataset_Cosmic_IoU"] == pytest.approx(a["Average/Dataset_Cosmic_IoU"], abs=1e-4)
    begin = flat(torch.load(tmp_path / "one" / "checkpoints" / "step_00000001.ckpt"))
    end = flat(newest(tmp_path / "one"))
    for mode in ("ddp", "fsdp"):
        assert (flat(newest(tmp_path / mode)) - end).norm() < 0.01 * (end - begin).norm()
        assert len(newest(tmp_path / mode)["random"]) == 2
    assert airshower(*common, "run.iterations=5", f"output_dir={tmp_path / 'fsdp'}").code == 0
    assert newest(tmp_path / "fsdp")["step"] == 5
    outcome = mpirun(
        2, *common, "run.iterations=6", "framework.distributed_mode=fsdp", f"output_dir={tmp_path / 'fsdp'}"
    )
    assert outcome.code == 0, outcome.err
    assert newest(tmp_path / "fsdp")["step"] == 6


@pytest.mark.parametrize(("size", "signalled"), [(2, "mpirun"), (3, "rank 1")])
def test_a_signal_stops_all_and_resume_is_bit_identical(tmp_path: Path, size: int, signalled: str) -> None:
    run, log = tmp_path / "run", tmp_path / "log"
    command = ("-m", "tests.workers", "application", "slow", str(log), *TRAIN, "run.iterations=1000")
    job = start(size, *command, f"output_dir={run}")
    wait_for(job, run / "metrics" / "train.csv")
    if signalled == "mpirun":
        job.send_signal(signal.SIGUSR1)
    else:
        os.kill(int((log / "pid_1").read_text()), signal.SIGTERM)
    outcome = finish(job)
    assert outcome.code == 75, outcome.err
    stopped = newest(run)
    assert f"stopped at step {stopped['step']}" in outcome.out
    assert 0 < stopped["step"] < 1000
    total = stopped["step"] + 4
    again = worker(size, "application", "none", str(log), *TRAIN, f"run.iterations={total}", f"output_dir={run}")
    assert again.code == 0, again.err
    whole = tmp_path / "whole"
    straight = mpirun(size, *TRAIN, f"run.iterations={total}", f"output_dir={whole}")
    assert straight.code == 0, straight.err
    assert_same_state(newest(run), newest(whole))
    losses = [[row["loss"] for row in read_table(path / "metrics" / "train.csv")] for path in (run, whole)]
    assert losses[0] == losses[1]


def test_another_number_of_ranks_reads_on_where_the_others_stopped(tmp_path: Path) -> None:
    """2 ranks, then 1, then 3: the entries are those of one rank, in the same global order."""
    read, done = [], 0
    for part, (size, steps) in enumerate([(2, 3), (1, 3), (3, 4)]):
        log, done = tmp_path / f"log_{part}", done + steps
        outcome = worker(
            size, "application", "none", str(log), *GROUP, f"run.iterations={done}", f"output_dir={tmp_path / 'run'}"
        )
        assert outcome.code == 0, outcome.err
        assert size == 2 or "ranks before" in outcome.out
        read += recorded(log, size, 2)
    log = tmp_path / "log"
    alone = worker(1, "application", "none", str(log), *GROUP, "run.iterations=10", f"output_dir={tmp_path / 'one'}")
    assert alone.code == 0, alone.err
    assert read == recorded(log, 1, 2)
    assert sorted(read[:7]) == list(range(7))
    assert newest(tmp_path / "run")["plan"] == newest(tmp_path / "one")["plan"]
    losses = [[r["loss"] for r in read_table(tmp_path / n / "metrics" / "train.csv")] for n in ("run", "one")]
    assert losses[0] == pytest.approx(losses[1], rel=1e-2)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("trained")
    assert airshower(*GROUP, "run.iterations=2", f"output_dir={run}").code == 0
    return run


@pytest.mark.parametrize("size", [2, 3])
def test_inference_of_several_ranks_is_that_of_one(tmp_path: Path, trained: Path, size: int) -> None:
    common = ("mode=inference", *SEVEN[:-1], "network.normalization=group", f"mode.weights_location={trained}")
    assert airshower(*common, f"output_dir={tmp_path / 'one'}").code == 0
    outcome = mpirun(size, *common, f"output_dir={tmp_path / 'many'}")
    assert outcome.code == 0, outcome.err
    one, many = (tmp_path / name / "predictions" for name in ("one", "many"))
    assert (one / "predictions.h5").read_bytes() == (many / "predictions.h5").read_bytes()
    assert (one / "events.csv").read_bytes() == (many / "events.csv").read_bytes()
    metrics = [json.loads((folder / "metrics.json").read_text()) for folder in (one, many)]
    assert metrics[0]["confusion"] == metrics[1]["confusion"]
    assert metrics[1]["metrics"]["loss"] == pytest.approx(metrics[0]["metrics"]["loss"], rel=1e-5)
    assert (many / "figures" / "confusion.png").exists()


def test_iotest_reports_all_ranks(tmp_path: Path) -> None:
    outcome = mpirun(2, "mode=iotest", *SEVEN[:-1], "run.iterations=8", f"output_dir={tmp_path}")
    assert outcome.code == 0, outcome.err
    report = json.loads((tmp_path / "iotest" / "report.json").read_text())
    assert report["images"] == 14
    assert len(report["ranks"]["images_per_second"]) == 2
    assert report["ranks"]["slowest"] == int(np.argmin(report["ranks"]["images_per_second"]))
    alone, total = report["ranks"]["images_per_second_alone"], report["images_per_second"]
    assert report["ranks"]["scaling_efficiency"] == pytest.approx(total / (2 * alone))
    assert report["products"]["voxel value"]["min"] >= 5.0


def test_profile_shows_where_the_time_goes_on_each_rank(tmp_path: Path) -> None:
    outcome = mpirun(2, *TRAIN, "run.iterations=6", "run.profile=true", f"output_dir={tmp_path}")
    assert outcome.code == 0, outcome.err
    rows = read_table(tmp_path / "profiles" / "timers.csv")
    assert [(row["step"], row["rank"]) for row in rows] == [(s, r) for s in range(1, 7) for r in (0, 1)]
    for row in rows:
        parts = sum(value for name, value in row.items() if name not in ("step", "rank", "total"))
        assert parts == pytest.approx(row["total"], rel=0.05)
        assert all(row[name] > 0 for name in ("read", "copy", "forward", "loss", "backward", "reduce", "optimizer"))
    assert rows[-2]["checkpoint"] > 0
    assert (tmp_path / "profiles" / "step_times.png").stat().st_size > 5000
    trace = json.loads((tmp_path / "profiles" / "trace.json").read_text())
    assert any("conv" in str(event.get("name")) for event in trace["traceEvents"])


@pytest.mark.parametrize(
    ("trouble", "says", "code"),
    [
        ("nan", "rank 1 of 2 ({host}, process {pid}): the loss is nan (entries", 3),
        ("raise", "rank 1 of 2 ({host}, process {pid}): RuntimeError: a fault in the code", 1),
        ("memory", "rank 1 of 2 ({host}, process {pid}): OutOfMemoryError: CUDA out of memory", 1),
        ("sleep", "no sign of rank 1 of 2 ({host}, process {pid}): killed, out of memory, or stuck", 1),
    ],
)
def test_trouble_on_one_rank_ends_all(tmp_path: Path, trouble: str, says: str, code: int) -> None:
    run, log = tmp_path / "run", tmp_path / "log"
    options = ("run.iterations=50", "mode.checkpoint_iteration=1", "run.timeout=6", f"output_dir={run}")
    begun = time.monotonic()
    outcome = worker(2, "application", trouble, str(log), *TRAIN, *options)
    assert outcome.code == code, outcome.err
    pid = (log / "pid_1").read_text()
    assert says.format(host=os.uname().nodename, pid=pid) in outcome.err
    assert outcome.err.count("airshower: ") == 1, outcome.err
    assert time.monotonic() - begun < 60
    assert_gone(log)
    assert newest(run)["step"] >= 2
    outcome = mpirun(2, *TRAIN, f"run.iterations={newest(run)['step'] + 1}", f"output_dir={run}")
    assert outcome.code == 0, outcome.err


@pytest.mark.parametrize("rank", [0, 1])
def test_a_killed_rank_ends_all(tmp_path: Path, rank: int) -> None:
    run, log = tmp_path / "run", tmp_path / "log"
    options = ("run.iterations=1000", "mode.checkpoint_iteration=1", f"output_dir={run}")
    job = start(2, "-m", "tests.workers", "application", "slow", str(log), *TRAIN, *options)
    wait_for(job, run / "checkpoints" / "step_00000002.ckpt")
    os.kill(int((log / f"pid_{rank}").read_text()), signal.SIGKILL)
    outcome = finish(job, 60)
    assert outcome.code not in (0, 75)
    assert f"rank {rank}" in outcome.err
    assert "signal 9" in outcome.err
    assert_gone(log)
    assert newest(run)["step"] >= 2


def test_a_silent_master_ends_all(tmp_path: Path) -> None:
    """Rank 0 serves the store in which failures are told: the others must not wait for it without end."""
    run, log = tmp_path / "run", tmp_path / "log"
    options = ("run.iterations=1000", "run.timeout=4", "mode.checkpoint_iteration=1", f"output_dir={run}")
    job = start(2, "-m", "tests.workers", "application", "slow", str(log), *TRAIN, *options)
    wait_for(job, run / "checkpoints" / "step_00000002.ckpt")
    pid = int((log / "pid_0").read_text())
    os.kill(pid, signal.SIGSTOP)
    outcome = finish(job, 60)
    assert outcome.code == 1
    assert (
        f"no sign of rank 0 of 2 ({os.uname().nodename}, process {pid}): killed, out of memory, or stuck" in outcome.err
    )
    assert_gone(log)


def test_a_mistake_is_one_line_and_the_same_exit_code_on_all(tmp_path: Path) -> None:
    for mistake, says in (
        ("network.depth=99", "network.depth=99: must be at least 0 and at most 12"),
        ("data.downsample=6", "can be halved at most 5 times"),
        ("network.resunet=1", "resunet"),
    ):
        outcome = mpirun(2, "mode=train", *SEVEN, mistake, f"output_dir={tmp_path / 'run'}")
        assert outcome.code == 2
        lines = [line for line in outcome.err.splitlines() if line.startswith("airshower:")]
        assert len(lines) == 1, outcome.err
        assert says in lines[0]
        assert "Traceback" not in outcome.err
    assert not (tmp_path / "run").exists()


def test_processes_without_run_distributed_are_refused(tmp_path: Path) -> None:
    outcome = finish(start(2, EXEC, "mode=train", *SEVEN, f"output_dir={tmp_path / 'run'}"))
    assert outcome.code == 2
    lines = [line for line in outcome.err.splitlines() if line.startswith("airshower:")]
    assert lines == [
        "airshower: run.distributed=false: but 2 processes were started; "
        "add run.distributed=true, or start it without a launcher"
    ]
    assert not (tmp_path / "run").exists()


def test_ranks_with_other_files_or_configs_are_refused(tmp_path: Path) -> None:
    """The same path with another content is refused, another path with the same content is not."""
    assert airshower(*TRAIN, "run.iterations=1", f"output_dir={tmp_path / 'made'}").code == 0
    other = ("data.seed=9", "data.validation_events=2", f"output_dir={tmp_path / 'other'}")
    assert airshower(*TRAIN, "run.iterations=1", *other).code == 0
    made = sorted(Path(os.environ["AIRSHOWER_CACHE"]).glob("lartpc_simulated/train_7_*.h5"))
    copy = tmp_path / "copy.h5"
    copy.write_bytes(made[0].read_bytes())
    data = [item for item in TRAIN if not item.startswith(("data.events", "data.sim", "data.valid"))]
    data += ["data=lartpc", "data.file='${oc.env:DATA}'", "framework.seed='${oc.env:SEED}'", "run.iterations=2"]

    def job(name: str, files: tuple[Path, Path], seeds: tuple[int, int] = (1, 1)) -> Outcome:
        parts = []
        for file, seed in zip(files, seeds, strict=True):
            parts += [":", "-n", "1", "-x", f"DATA={file}", "-x", f"SEED={seed}", *launch()]
            parts += [*data, f"output_dir={tmp_path / name}"]
        return finish(start_parts(parts[1:]))

    same = job("same", (made[0], copy))
    assert same.code == 0, same.err
    for outcome, says in (
        (job("files", (made[0], made[1])), "the content of its data files"),
        (job("seeds", (made[0], made[0]), (1, 2)), "framework.seed: 1 -> 2"),
    ):
        assert outcome.code == 2, outcome.err
        lines = [line for line in outcome.err.splitlines() if line.startswith("airshower:")]
        assert len(lines) == 1
        assert lines[0].startswith("airshower: rank 1 does not see what rank 0 sees (")
        assert says in lines[0]
    assert not (tmp_path / "files").exists()


def test_a_sweep_under_mpirun_is_refused(tmp_path: Path) -> None:
    outcome = mpirun(2, "mode=train", *SEVEN, "run.id=a,b", f"hydra.sweep.dir={tmp_path}", "--multirun")
    assert outcome.code == 2
    assert "--multirun: every rank would run every job" in outcome.err


def launch() -> list[str]:
    import sys

    return [sys.executable, EXEC, "run.distributed=true"]


def start_parts(arguments: list[str]) -> subprocess.Popen:
    from tests.launch import ROOT, environment, mpirun_command

    return subprocess.Popen(
        [mpirun_command(), *arguments], env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        cwd=ROOT,
    )  # fmt: skip


def wait_for(job: subprocess.Popen, path: Path, limit: float = 90) -> None:
    """Until a file is there, with something in it."""
    begun = time.monotonic()
    while not (path.exists() and path.stat().st_size > 200):
        if job.poll() is not None or time.monotonic() - begun > limit:
            job.kill()
            pytest.fail(f"{path} was not made: {job.communicate()}")
        time.sleep(0.05)


def assert_gone(log: Path) -> None:
    """All ranks have ended."""
    begun = time.monotonic()
    pids = [int(path.read_text()) for path in log.glob("pid_*")]
    while any(_running(pid) for pid in pids):
        assert time.monotonic() - begun < 10, "a rank is still there"
        time.sleep(0.1)


def _running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
