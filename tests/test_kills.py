"""Runs that are killed, ended and started twice: what they leave, and how they go on."""

import csv
import os
import random
import shutil
import signal
import time
from collections import Counter
from multiprocessing.process import BaseProcess
from pathlib import Path

import pytest

from airshower.writers.scalars import read_table
from tests.checkpoints import assert_same, newest
from tests.command import TINY, TINY_INFERENCE, TINY_TRAIN, airshower
from tests.processes import start, wait_for

TRAIN = (*TINY_TRAIN, "mode.checkpoint_iteration=4", "mode.validation_iteration=3", "run.aux_iterations=1")


def without_times(path: Path) -> list[dict[str, float]]:
    """A table without what clocks say."""
    return [
        {name: value for name, value in row.items() if name not in ("images_per_second", "wait_share")}
        for row in read_table(path)
    ]


def rows(path: Path) -> int:
    return path.read_bytes().count(b"\n") - 1 if path.exists() else 0


def kill_at_random(process: BaseProcess, run: Path, draw: random.Random) -> bool:
    """Kill a process during its set-up, or a few steps into its training; returns whether it still ran."""
    table = run / "metrics" / "train.csv"
    if draw.random() < 0.3:
        process.join(draw.uniform(0.0, 2.0))
    else:
        before, steps = rows(table), draw.randint(1, 12)
        while process.is_alive() and not 0 < rows(table) - before >= steps:
            time.sleep(0.002)
            before = min(before, rows(table))  # rows after the checkpoint are dropped
        process.join(draw.uniform(0.0, 0.1))
    alive = process.is_alive()
    process.kill()
    process.join()
    return alive


def assert_as_uninterrupted(folder: Path, steps: int) -> None:
    """`killed` has the state and the rows of a run that nothing disturbed."""
    whole = folder / "whole"
    assert airshower(*TRAIN, f"run.iterations={steps}", f"output_dir={whole}").code == 0
    killed = folder / "killed"
    assert_same(newest(whole), newest(killed))
    for name in ("train", "validation"):
        tables = [without_times(run / "metrics" / f"{name}.csv") for run in (whole, killed)]
        assert tables[0] == tables[1]
        assert max(Counter(row["step"] for row in tables[1]).values()) == 1
    assert not list(killed.rglob("*.partial"))
    assert not (killed / "run.lock").exists()


def test_a_run_that_is_killed_before_its_first_checkpoint_has_each_row_once(tmp_path: Path) -> None:
    run = tmp_path / "killed"
    process = start(
        tmp_path / "output", *TRAIN, "run.iterations=100000", "mode.checkpoint_iteration=1000", f"output_dir={run}"
    )
    wait_for(run, "metrics/validation.csv", process)
    wait_for(run, "metrics/train.csv", process)
    process.kill()
    process.join()
    assert read_table(run / "metrics" / "validation.csv")[0]["step"] == 0
    outcome = airshower(*TRAIN, "run.iterations=4", f"output_dir={run}")
    assert outcome.code == 0, outcome.err
    assert_as_uninterrupted(tmp_path, 4)
    with open(run / "metrics" / "validation.csv", newline="") as handle:
        assert [row["step"] for row in csv.DictReader(handle)] == ["0", "3", "4"]


@pytest.mark.full
@pytest.mark.timeout(1800)
def test_a_run_that_is_killed_twenty_times_is_the_uninterrupted_one(tmp_path: Path) -> None:
    draw, steps, run = random.Random(20), 250, tmp_path / "killed"
    command = (*TRAIN, f"run.iterations={steps}", f"output_dir={run}")
    killed = [kill_at_random(start(tmp_path / "output", *command), run, draw) for _ in range(20)]
    assert all(killed)
    assert airshower(*command).code == 0
    assert_as_uninterrupted(tmp_path, steps)


def test_of_two_processes_with_one_run_one_is_refused(tmp_path: Path) -> None:
    """In one line with exit code 2; the other trains as if it were alone."""
    command = (*TRAIN, "run.iterations=6", f"output_dir={tmp_path / 'killed'}")
    processes = [start(tmp_path / f"output_{number}", *command) for number in range(2)]
    for process in processes:
        process.join(120)
    codes = [process.exitcode for process in processes]
    if codes != [0, 0]:  # else one began when the other had ended
        assert sorted(codes) == [0, 2]
        refused = (tmp_path / f"output_{codes.index(2)}").read_text().splitlines()[-1]
        assert refused.startswith(f"airshower: {tmp_path / 'killed'}: process {processes[codes.index(0)].pid} on ")
    assert_as_uninterrupted(tmp_path, 6)


def test_a_run_that_is_being_trained_is_refused_in_one_line(tmp_path: Path) -> None:
    run = tmp_path / "run"
    command = (*TRAIN, "run.iterations=100000", f"output_dir={run}")
    process = start(tmp_path / "output", *command)
    try:
        wait_for(run, "metrics/train.csv", process)
        for more in ("run.overwrite=false", "run.overwrite=true"):
            second = airshower(*command, more)
            assert second.code == 2
            (line,) = second.err.splitlines()
            assert line.startswith(f"airshower: {run}: process {process.pid} on {os.uname().nodename} (since ")
            assert line.endswith("works on this run; choose another run.id")
        assert process.is_alive()
        os.kill(process.pid, signal.SIGTERM)
        process.join(60)
        assert process.exitcode == 75
    finally:
        process.kill()
    steps = [row["step"] for row in read_table(run / "metrics" / "train.csv")]
    assert steps == list(range(1, newest(run)["step"] + 1))


def simulate(tmp_path: Path) -> tuple[BaseProcess, Path]:
    """A process in the middle of a simulation, and the file that it writes."""
    many = [item for item in TINY if not item.startswith("data.test")]
    process = start(
        tmp_path / "output", "mode=iotest", *many, "data.test_events=100000", f"output_dir={tmp_path / 'run'}",
        environment={"AIRSHOWER_CACHE": str(tmp_path / "cache")},
    )  # fmt: skip
    return process, wait_for(tmp_path / "cache", "lartpc_simulated/.*.h5.*.partial", process)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1])
def test_a_signal_in_a_simulation_cleans_up_and_says_so(tmp_path: Path, number: int) -> None:
    process, partial = simulate(tmp_path)
    os.kill(process.pid, number)
    process.join(60)
    assert process.exitcode == -number
    lines = (tmp_path / "output").read_text().splitlines()
    assert lines[-1] == f"airshower: ended by {signal.Signals(number).name}; half-written files are removed"
    assert not partial.exists()
    assert not list(partial.parent.iterdir())


def test_a_signal_in_inference_cleans_up_and_says_so(tmp_path: Path) -> None:
    run = tmp_path / "run"
    assert airshower(*TINY_TRAIN, "mode.validation_iteration=0", f"output_dir={run}").code == 0
    before = {path: path.stat().st_mtime_ns for path in run.rglob("*") if path.is_file()}
    many = [item for item in TINY_INFERENCE if not item.startswith("data.test")]
    process = start(tmp_path / "output", *many, "data.test_events=60", "run.minibatch_size=1", f"output_dir={run}")
    wait_for(run, "predictions/.predictions.h5.*.partial", process)
    os.kill(process.pid, signal.SIGTERM)
    process.join(60)
    assert process.exitcode == -signal.SIGTERM
    assert "airshower: ended by SIGTERM; half-written files are removed" in (tmp_path / "output").read_text()
    assert not list(run.rglob("*.partial"))
    assert {path: path.stat().st_mtime_ns for path in before} == before


def test_what_a_killed_simulation_left_is_removed_by_the_next_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also by one that simulates nothing."""
    process, partial = simulate(tmp_path)
    process.kill()
    process.join()
    assert partial.exists()
    shutil.copytree(Path(os.environ["AIRSHOWER_CACHE"]), tmp_path / "cache", dirs_exist_ok=True)
    monkeypatch.setenv("AIRSHOWER_CACHE", str(tmp_path / "cache"))
    assert airshower("mode=iotest", *TINY, f"output_dir={tmp_path / 'run'}").code == 0
    assert not partial.exists()
