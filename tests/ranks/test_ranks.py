"""Several ranks do together what one does alone, and stop and refuse together.

Starting ranks takes most of the time, as each imports torch: all that ranks do to its end, they do in one start.
"""

import json
import os
import shutil
import signal
from pathlib import Path

import numpy as np
import pytest
import torch

from airshower.writers.scalars import read_table
from tests.checkpoints import assert_same, newest
from tests.command import SEVEN, SEVEN_TRAIN, TINY_TANKS, Outcome, airshower
from tests.launch import Together, finish, start_worker, together, wait_for
from tests.samples import simulated
from tests.workers import recorded_run

pytestmark = pytest.mark.mpi

DISTRIBUTED = "run.distributed=true"
GROUP = (*SEVEN_TRAIN, "network.normalization=group")
AS_ONE = (*GROUP, "mode.optimizer.gradient_accumulation=2", "mode.optimizer.name=sgd")
AS_ONE += ("framework.channels_last=false",)  # FSDP has no other layout, and each rounds in its own way
AS_ONE += ("task.lovasz=0.5", "data.augmentation.mirror_drift=true", "data.augmentation.windowed=0.5")
AS_ONE += ("mode.optimizer.learning_rate=1e-2", "mode.checkpoint_iteration=1", "mode.keep_checkpoints=9")
INFERENCE = ("mode=inference", *SEVEN, "network.normalization=group")
FROM_FILE = [
    item for item in SEVEN_TRAIN if not item.startswith(("data.events", "data.sim", "data.valid", "data.test"))
]
FROM_FILE += ["data=lartpc", "run.iterations=2"]
TANKS = ("network=hawc_param_wgan", *TINY_TANKS, "task.critic_steps=1", "mode.no_summary_images=true")
GENERATED = ("mode=inference", *TANKS[:-1], "task.generate.events=31")


def recorded(log: Path, size: int, minibatch: int) -> list[int]:
    """The entries that `size` ranks have read, in their global order."""
    ranks = [[json.loads(line) for line in (log / f"entries_{rank}").read_text().splitlines()] for rank in range(size)]
    assert len({len(lines) for lines in ranks}) == 1, "as many pieces on each rank"
    steps = [[entry for part in parts for entry in part] for parts in zip(*ranks, strict=True)]
    assert all(len(step) <= minibatch for step in steps)
    return [entry for step in steps for entry in step]


def flat(state: dict) -> torch.Tensor:
    return torch.cat([value.flatten() for value in state["model"].values()])


def job(*overrides: str | list[str]) -> tuple:
    return ("run", DISTRIBUTED, *overrides)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("ranks")


@pytest.fixture(scope="module")
def one(place: Path) -> Path:
    """What one rank trains, to be compared with what several do."""
    assert airshower(*AS_ONE, "run.iterations=4", f"output_dir={place / 'one'}").code == 0
    shutil.copytree(place / "one", place / "grown")
    inference = (*INFERENCE, f"mode.weights_location={place / 'one'}", f"output_dir={place / 'inference_1'}")
    assert airshower(*inference).code == 0
    return place / "one"


@pytest.fixture(scope="module")
def stopped(place: Path) -> Outcome:
    """A run of three ranks, one of which gets a signal; of its three steps an epoch, one is for one rank alone."""
    run, log = place / "resumed", place / "log"
    options = ("run.iterations=1000", "run.minibatch_size=3", f"output_dir={run}")
    job = start_worker(3, "application", "slow", str(log), *SEVEN_TRAIN, *options)
    wait_for(run / "metrics" / "train.csv", job)
    os.kill(int((log / "pid_1").read_text()), signal.SIGTERM)
    return finish(job)


@pytest.fixture(scope="module")
def generator(place: Path) -> Path:
    """A generator that one rank has trained, and what it generates."""
    run = place / "generator"
    assert airshower("mode=train", *TANKS, f"output_dir={run}").code == 0
    generated = airshower(*GENERATED, f"mode.weights_location={run}", f"output_dir={place / 'generated_1'}")
    assert generated.code == 0, generated.err
    return run


@pytest.fixture(scope="module")
def two(place: Path, one: Path) -> Together:
    """Two ranks. A run that is refused comes after all others: ranks that do not end together could not go on."""
    fsdp, part = "framework.distributed_mode=fsdp", (*GROUP, f"output_dir={place / 'run'}")
    mistake = ("mode=train", *SEVEN, f"output_dir={place / 'mistake'}")
    events, other, copy = simulated(7), simulated(7, seed=3), place / "copy.h5"
    copy.write_bytes(events.read_bytes())
    return together(
        2,
        place / "two",
        ddp=job(*AS_ONE, "run.iterations=4", f"output_dir={place / 'ddp'}"),
        fsdp=job(*AS_ONE, "run.iterations=4", fsdp, f"output_dir={place / 'fsdp'}"),
        grown=job(*AS_ONE, "run.iterations=5", fsdp, f"output_dir={place / 'grown'}"),
        part=("recorded_run", str(place / "part_0"), DISTRIBUTED, *part, "run.iterations=3"),
        iotest=job("mode=iotest", *SEVEN, "run.iterations=8", f"output_dir={place / 'iotest'}"),
        profile=job(*SEVEN_TRAIN, "run.iterations=6", "run.profile=true", f"output_dir={place / 'profile'}"),
        collectives=("collectives",),
        statistics=("statistics",),
        epochs_7_3_1=("epochs", 7, 3, 1),
        gradients_fsdp=("gradients", "fsdp"),
        showers_fsdp=("shower_gradients", "fsdp"),
        same_files=job(*FROM_FILE, [f"data.file={events}", f"data.file={copy}"], f"output_dir={place / 'same_files'}"),
        files=job(*FROM_FILE, [f"data.file={events}", f"data.file={other}"], f"output_dir={place / 'files'}"),
        seeds=job(
            *FROM_FILE, f"data.file={events}", ["framework.seed=1", "framework.seed=2"], f"output_dir={place / 'files'}"
        ),
        range=job(*mistake, "network.depth=99"),
        key=job(*mistake, "network.resunet=1"),
        alone=("run", *mistake),
        sweep=job("mode=train", *SEVEN, "run.id=a,b", f"hydra.sweep.dir={place / 'sweep'}", "--multirun"),
        last=("leave", DISTRIBUTED, *mistake, "data.downsample=6"),
    )


@pytest.fixture(scope="module")
def three(place: Path, one: Path, two: Together, stopped: Outcome, generator: Path) -> Together:
    """Three ranks, after two and one."""
    train = (*SEVEN_TRAIN, "run.minibatch_size=3", f"run.iterations={newest(place / 'resumed')['step'] + 4}")
    part = (*GROUP, f"output_dir={place / 'run'}")
    assert recorded_run(str(place / "part_1"), *part, "run.iterations=6")["code"] == 0
    return together(
        3,
        place / "three",
        resumed=job(*train, f"output_dir={place / 'resumed'}"),
        whole=job(*train, f"output_dir={place / 'whole'}"),
        part=("recorded_run", str(place / "part_2"), DISTRIBUTED, *part, "run.iterations=10"),
        inference=job(*INFERENCE, f"mode.weights_location={one}", f"output_dir={place / 'inference_3'}"),
        collectives=("collectives",),
        statistics=("statistics",),
        epochs_10_4_2=("epochs", 10, 4, 2),
        epochs_5_2_1=("epochs", 5, 2, 1),
        epochs_29_4_1=("epochs", 29, 4, 1, "random_blocks"),
        gradients_ddp=("gradients", "ddp"),
        showers_ddp=("shower_gradients", "ddp"),
        generators=("generation_gradients",),
        generator=job("mode=train", *TANKS, f"output_dir={place / 'generator_3'}"),
        generated=job(*GENERATED, f"mode.weights_location={generator}", f"output_dir={place / 'generated_3'}"),
    )


def test_collectives(two: Together, three: Together) -> None:
    assert three.outcome.code == 0, three.outcome.err
    for ranks in (two, three):
        assert ranks.results("collectives") == ranks.results("statistics") == [None] * ranks.size


def test_gradients_do_not_depend_on_ranks_and_cuts(two: Together, three: Together) -> None:
    for ranks, mode, cases in ((two, "fsdp", 9), (three, "ddp", 30)):
        for differences in ranks.results(f"gradients_{mode}"):
            assert len(differences) == cases
            assert max(differences.values()) < 1e-12, differences


def test_gradients_of_showers_do_not_depend_on_ranks_and_cuts(two: Together, three: Together) -> None:
    """However telescopes are combined. Those of the learned balance neither; synchronised batch normalization has the
    statistics of one rank."""
    for ranks, mode in ((two, "fsdp"), (three, "ddp")):
        for differences in ranks.results(f"showers_{mode}"):
            assert len(differences) == 13
            assert max(differences.values()) < 1e-12, differences


def test_gradients_of_generators_do_not_depend_on_ranks_and_cuts(three: Together) -> None:
    """Of each phase, the critic's penalty with them."""
    for differences in three.results("generators"):
        assert len(differences) == 3
        assert max(differences.values()) < 1e-12, differences


def test_ranks_generate_what_one_generates(three: Together, place: Path) -> None:
    for name in ("generator", "generated"):
        assert three.run(name).code == 0, three.run(name).err
    one, several = (np.load(place / f"generated_{size}" / "predictions" / "generated.npz") for size in (1, 3))
    assert len(one["entry"]) == 31
    for name in one:
        np.testing.assert_allclose(several[name], one[name], rtol=1e-5, atol=1e-6)


def test_every_entry_is_dealt_once_an_epoch(two: Together, three: Together) -> None:
    of_three = (("epochs_10_4_2", 10), ("epochs_5_2_1", 5), ("epochs_29_4_1", 29))
    for ranks, name, count in ((two, "epochs_7_3_1", 7), *((three, *case) for case in of_three)):
        for epoch in zip(*ranks.results(name), strict=True):
            entries = [entry for rank in epoch for step in rank for piece in step for entry in piece]
            assert sorted(entries) == list(range(count))


def test_two_ranks_train_as_one(two: Together, one: Path, place: Path) -> None:
    """The losses of one rank, of DDP and of FSDP agree; their checkpoints are of one kind: what one rank has left goes
    on with FSDP on two, and the other way round."""
    for mode in ("ddp", "fsdp", "grown"):
        outcome = two.run(mode)
        assert outcome.code == 0, outcome.err
        assert "2 ranks" in outcome.out
    rows = (read_table(run / "metrics" / "train.csv") for run in (one, place / "ddp", place / "fsdp"))
    for a, b, c in zip(*rows, strict=True):
        near = 1e-6 if a["step"] == 1 else 1e-3  # float32 rounds, and steps enlarge
        assert b["loss"] == pytest.approx(a["loss"], rel=near)
        assert c["loss"] == pytest.approx(a["loss"], rel=near)
        assert b["Average/Dataset_Cosmic_IoU"] == pytest.approx(a["Average/Dataset_Cosmic_IoU"], abs=1e-4)
    begin = flat(torch.load(one / "checkpoints" / "step_00000001.ckpt"))
    end = flat(newest(one))
    for mode in ("ddp", "fsdp"):
        assert (flat(newest(place / mode)) - end).norm() < 0.01 * (end - begin).norm()
        assert len(newest(place / mode)["random"]) == 2
    assert airshower(*AS_ONE, "run.iterations=5", f"output_dir={place / 'fsdp'}").code == 0
    assert newest(place / "fsdp")["step"] == newest(place / "grown")["step"] == 5
    assert (flat(newest(place / "fsdp")) - flat(newest(place / "grown"))).norm() < 0.01 * (end - begin).norm()


def test_a_signal_to_one_rank_stops_all_and_resume_is_bit_identical(
    stopped: Outcome, three: Together, place: Path
) -> None:
    assert stopped.code == 75, stopped.err
    for name in ("resumed", "whole"):
        assert three.run(name).code == 0, three.run(name).err
    step = newest(place / "whole")["step"] - 4
    assert 0 < step < 1000
    assert f"stopped at step {step}" in stopped.out
    assert f"at step {step} of {step + 4}" in three.run("resumed").out
    assert_same(newest(place / "resumed"), newest(place / "whole"))
    losses = [[row["loss"] for row in read_table(place / n / "metrics" / "train.csv")] for n in ("resumed", "whole")]
    assert losses[0] == losses[1]


def test_another_number_of_ranks_reads_on_where_the_others_stopped(two: Together, three: Together, place: Path) -> None:
    """2 ranks, then 1, then 3: the entries are those of one rank, in the same global order."""
    assert two.run("part").code == 0, two.run("part").err
    assert three.run("part").code == 0, three.run("part").err
    assert "the run had 1 ranks before" in three.run("part").out
    alone = recorded_run(str(place / "part"), *GROUP, "run.iterations=10", f"output_dir={place / 'alone'}")
    assert alone["code"] == 0, alone["err"]
    read = [entry for part, size in enumerate((2, 1, 3)) for entry in recorded(place / f"part_{part}", size, 2)]
    assert read == recorded(place / "part", 1, 2)
    assert sorted(read[:7]) == list(range(7))
    assert newest(place / "run")["plan"] == newest(place / "alone")["plan"]
    losses = [[row["loss"] for row in read_table(place / name / "metrics" / "train.csv")] for name in ("run", "alone")]
    assert losses[0] == pytest.approx(losses[1], rel=1e-2)


def test_inference_of_several_ranks_is_that_of_one(three: Together, place: Path) -> None:
    assert three.run("inference").code == 0, three.run("inference").err
    one, many = (place / f"inference_{size}" / "predictions" for size in (1, 3))
    assert (one / "predictions.h5").read_bytes() == (many / "predictions.h5").read_bytes()
    assert (one / "events.csv").read_bytes() == (many / "events.csv").read_bytes()
    metrics = [json.loads((folder / "metrics.json").read_text()) for folder in (one, many)]
    assert metrics[0]["confusion"] == metrics[1]["confusion"]
    assert metrics[1]["metrics"]["loss"] == pytest.approx(metrics[0]["metrics"]["loss"], rel=1e-5)
    assert (many / "figures" / "confusion.png").exists()


def test_iotest_reports_all_ranks(two: Together, place: Path) -> None:
    assert two.run("iotest").code == 0, two.run("iotest").err
    report = json.loads((place / "iotest" / "iotest" / "report.json").read_text())
    assert report["images"] == 12, "2 and 1 of three events to test on"
    assert len(report["ranks"]["images_per_second"]) == 2
    assert report["ranks"]["slowest"] == int(np.argmin(report["ranks"]["images_per_second"]))
    alone, total = report["ranks"]["images_per_second_alone"], report["images_per_second"]
    assert report["ranks"]["scaling_efficiency"] == pytest.approx(total / (2 * alone))
    assert report["products"]["voxel value"]["min"] >= 5.0


def test_profile_shows_where_the_time_goes_on_each_rank(two: Together, place: Path) -> None:
    assert two.run("profile").code == 0, two.run("profile").err
    profiles = place / "profile" / "profiles"
    rows = read_table(profiles / "timers.csv")
    assert [(row["step"], row["rank"]) for row in rows] == [(s, r) for s in range(1, 7) for r in (0, 1)]
    for row in rows:
        parts = sum(value for name, value in row.items() if name not in ("step", "rank", "total"))
        assert parts == pytest.approx(row["total"], rel=0.05)
        assert all(row[name] > 0 for name in ("read", "copy", "forward", "loss", "backward", "reduce", "optimizer"))
    assert rows[-2]["checkpoint"] > 0
    assert (profiles / "step_times.png").stat().st_size > 5000
    trace = json.loads((profiles / "trace.json").read_text())
    assert any("conv" in str(event.get("name")) for event in trace["traceEvents"])


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("range", "airshower: network.depth=99: must be at least 0 and at most 12\n"),
        ("key", "resunet"),
        ("alone", "airshower: run.distributed=false: but 2 processes were started; "),
        ("sweep", "--multirun: every rank would run every job"),
        ("files", "airshower: rank 1 does not see what rank 0 sees (the content of its data files"),
        ("seeds", "airshower: rank 1 does not see what rank 0 sees (framework.seed: 1 -> 2"),
    ],
)
def test_a_mistake_is_one_line_and_the_same_exit_code_on_all(two: Together, place: Path, name: str, says: str) -> None:
    outcome = two.run(name)
    assert outcome.code == 2
    assert len(outcome.err.splitlines()) == 1, outcome.err
    assert outcome.err.startswith("airshower: ")
    assert says in outcome.err
    assert not any((place / folder).exists() for folder in ("mistake", "files"))


def test_mpirun_passes_the_exit_code_of_a_mistake_on(two: Together, place: Path) -> None:
    """Of one that shows only when all ranks have met."""
    assert two.outcome.code == 2, two.outcome.err
    assert two.outcome.err.count("airshower: ") == 1, two.outcome.err
    assert "can be halved at most 5 times" in two.outcome.err
    assert "Traceback" not in two.outcome.err
    assert not (place / "mistake").exists()


def test_the_same_file_may_lie_elsewhere(two: Together) -> None:
    assert two.run("same_files").code == 0, two.run("same_files").err
