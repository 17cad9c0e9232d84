"""What the tests of several ranks run on each of them: `mpirun -n N python -m tests.workers NAME ARGUMENTS`."""

import dataclasses
import itertools
import json
import os
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import torch

from airshower.config.schema import FrameworkConfig, OptimizerConfig, RunConfig
from airshower.data.order import OrderConfig
from airshower.data.plan import Dealer, EntryPlan
from airshower.detectors.lartpc.source import LartpcEvents
from airshower.engine.parallel import ParallelModule, whole
from airshower.engine.step import Step, TrainedPhase
from airshower.main import cli
from airshower.networks.uresnet.network import UResNet, UResNetSparse
from airshower.runtime import mpi
from airshower.runtime.device import Precision
from airshower.runtime.launcher import launched
from airshower.runtime.ranks import Ranks
from airshower.runtime.timers import Timers
from airshower.tasks.segmentation.task import Segmentation
from tests.command import airshower
from tests.data.small_index import SmallIndex
from tests.engine import generation_steps as generation
from tests.engine import shower_steps as showers
from tests.engine.wire_steps import SPEC, DoubleTask, batch

CPU = torch.device("cpu")


def together(folder: str) -> None:
    """Do what `jobs.json` lists, [name, function, arguments...], one after the other; NAME_RANK.json has the result."""
    for name, function, *arguments in json.loads(Path(folder, "jobs.json").read_text()):
        meet_again()
        result = globals()[function](*arguments)
        Path(folder, f"{name}_{launched().rank}.json").write_text(json.dumps(result))


def meet_again() -> None:
    """Let ranks connect as at their start."""
    if torch.distributed.is_initialized():  # by a run that was refused
        torch.distributed.destroy_process_group()
    mpi.MpiRanks.met = None


def run(*overrides: str | list[str]) -> dict[str, Any]:
    """What `airshower OVERRIDES` does; a list has an override for each rank."""
    own = [item if isinstance(item, str) else item[launched().rank] for item in overrides]
    return dataclasses.asdict(airshower(*own))


def leave(*overrides: str) -> None:
    """`airshower OVERRIDES`, which ends this process."""
    sys.argv = ["airshower", *overrides]
    cli()


def recorded_run(log: str, *overrides: str) -> dict[str, Any]:
    """`run` with a record of the entries read by each rank."""
    with mock.patch.object(LartpcEvents, "read", recording(Path(log))):
        return run(*overrides)


def recording(folder: Path) -> Callable:
    """Reading that notes the entries of training in the file of this rank."""
    folder.mkdir(parents=True, exist_ok=True)
    read = LartpcEvents.read

    def reading(self: LartpcEvents, entries: np.ndarray) -> object:
        if threading.current_thread().name.startswith("feeder") and "train" in self.files[0].path.name:
            with open(folder / f"entries_{launched().rank}", "a") as handle:
                handle.write(json.dumps(np.asarray(entries).tolist()) + "\n")
        return read(self, entries)

    return reading


def connect() -> Ranks:
    found = mpi.connect(True, 60.0)
    found.start_torch(CPU)
    return found


def collectives() -> None:
    """Every collective gives what its docstring says."""
    here = connect()
    rank, size = here.rank, here.size
    assert here.exchange({"rank": rank, "text": "x" * rank}) == [{"rank": r, "text": "x" * r} for r in range(size)]
    assert here.gather(np.arange(rank)) == [] if rank else len(here.gather(np.arange(rank))) == size
    large = np.arange(3_000_000) if here.master else None
    assert np.array_equal(here.broadcast(large), np.arange(3_000_000))
    rows = np.arange(2 * size).reshape(size, 2) if here.master else None
    assert here.scatter(rows, 2).tolist() == [2 * rank, 2 * rank + 1]
    assert here.any(rank == size - 1)
    assert not here.any(False)
    assert here.from_master(lambda: f"made by {rank}") == "made by 0"
    given = {"whole": torch.full((2,), rank + 1), "parts": torch.tensor(0.5, dtype=torch.float64)}
    summed = here.sum_all(given)
    assert summed["whole"].dtype == torch.int64
    assert summed["whole"].tolist() == [size * (size + 1) // 2] * 2
    assert float(summed["parts"]) == size / 2
    assert float(here.sum(torch.tensor(2.0))) == 2.0 * size
    called = here.in_turn(time.monotonic)
    moments = here.exchange(called)
    assert moments[0] == min(moments), "the master is first"
    assert here.local_size == size
    here.close()


def indexed(cache: str, files: str) -> dict[str, list]:
    """The files that this rank reads for an index that ranks make together, and how many numbers each has."""
    here = connect()
    index = SmallIndex()
    paths = sorted(Path(files.replace("RANK", str(here.rank))).iterdir())
    with mock.patch.dict(os.environ, {"AIRSHOWER_CACHE": cache}):
        index.prepare(paths, here)
        lengths = [len(indexed.entry["numbers"]) for indexed in index.open(paths)]
    here.close()
    return {"read": [name for name, *_ in index.log], "lengths": lengths}


def epochs(count: int, minibatch: int, accumulation: int, order: str = "shuffled") -> list[list]:
    """The pieces of each step that this rank is dealt, in each of two epochs."""
    here = connect()
    step = minibatch * accumulation
    plan = EntryPlan(np.arange(count), step, OrderConfig(order, 2, 3 * step), seed=5)
    dealer = Dealer(plan, minibatch, here)
    dealt = []
    for _ in range(2):
        steps = []
        while len(steps) < plan.steps_per_epoch:
            steps += [[piece.tolist() for piece in step.pieces] for step in dealer.hand()]
        dealt.append(steps)
    here.close()
    return dealt


def gradients(mode: str) -> dict[str, float]:
    """Largest relative difference of gradients to those of one rank with the whole batch, by case."""
    here = connect()
    entries, differences = [3, 1, 4, 5, 9], {}
    cuts = {"one": [entries], "two": [entries[:4], entries[4:]], "each": [[entry] for entry in entries]}
    schemes = ("none", "light", "even", "focal") if mode == "ddp" else ("focal",)
    cases = [*itertools.product(schemes, ("none", "group"), cuts)]
    # what one process with batch normalization does with the whole batch, several do with sync_batch
    cases += [(scheme, "sync_batch", "one") for scheme in schemes]
    cases = [(UResNet, *case) for case in cases]
    cases += [(UResNetSparse, "focal", "group", "each"), (UResNetSparse, "light", "sync_batch", "one")]
    for kind, scheme, normalization, cut in cases:
        alone = "batch" if normalization == "sync_batch" else normalization
        expected = step_gradients(kind, scheme, alone, [batch(entries)], Ranks(), mode)
        pieces = [batch(np.array_split(minibatch, here.size)[here.rank].tolist()) for minibatch in cuts[cut]]
        found = step_gradients(kind, scheme, normalization, pieces, here, mode)
        name = f"{kind.__name__} {scheme} {normalization} {cut}"
        differences[name] = float((found - expected).norm() / expected.norm())
    here.close()
    return differences


def step_gradients(
    kind: type[UResNet], scheme: str, normalization: str, batches: list, here: Ranks, mode: str
) -> torch.Tensor:
    torch.manual_seed(here.rank)  # the master's weights are everyone's
    if here.size == 1:
        torch.manual_seed(0)
    config = kind.Config(
        n_initial_filters=4, depth=2, bottleneck_deepest=8, blocks_deepest_layer=1, blocks_final=1,
        normalization=normalization,
    )  # fmt: skip
    network = kind(config, SPEC, {"pixels": 3}, FrameworkConfig()).double()
    task = DoubleTask(Segmentation.Config(scheme), SPEC, kind.view(SPEC))
    options = OptimizerConfig(name="sgd", learning_rate=0.1)
    phases = [TrainedPhase.of(phase, network, options, here, mode) for phase in task.phases(network)]
    step = Step(task, phases, Precision(RunConfig(), CPU), here, 0.0, Timers(CPU, enabled=False))
    step(batches, 0.1, measure=False)
    return torch.cat([whole(p.grad).flatten() for p in network.parameters()])


def generation_gradients() -> dict[str, float]:
    """As `gradients`, of critics and generators, and of a flow; DDP alone."""
    here = connect()
    entries, differences = generation.ENTRIES, {}
    for kind in generation.KINDS:
        expected = generation.gradients(kind, Ranks(), [entries])
        pieces = [np.array_split(part, here.size)[here.rank].tolist() for part in (entries[:4], entries[4:])]
        found = generation.gradients(kind, here, pieces)
        differences[kind] = float((found - expected).norm() / expected.norm())
    here.close()
    return differences


def shower_gradients(mode: str) -> dict[str, float]:
    """As `gradients`, of all targets of showers with a learned balance; two ranks and more see no gamma, or nothing, in
    some micro-batches. With `sync_batch` running statistics are compared, too."""
    here = connect()
    two = [showers.ENTRIES[:3], showers.ENTRIES[3:]]
    cases = [("group", combine, two) for combine in ("attention", "set_attention", "recurrent", "vector")]
    cases += [("group", "feature_map", two), ("sync_batch", "attention", [showers.ENTRIES])]
    differences = {}
    for normalization, combine, cut in cases:
        alone = "batch" if normalization == "sync_batch" else normalization
        expected = shower_step(alone, combine, [showers.ENTRIES], Ranks(), mode)
        pieces = [np.array_split(minibatch, here.size)[here.rank].tolist() for minibatch in cut]
        for name, found in shower_step(normalization, combine, pieces, here, mode).items():
            if normalization == "sync_batch" or name != "statistics":
                difference = (found - expected[name]).norm() / expected[name].norm()
                differences[f"{normalization} {combine} {name}"] = float(difference)
    here.close()
    return differences


def shower_step(
    normalization: str, combine: str, cut: list[list[int]], here: Ranks, mode: str
) -> dict[str, torch.Tensor]:
    torch.manual_seed(here.rank if here.size > 1 else 0)
    step = showers.make(normalization, here, mode, combine, balance="uncertainty", only_gammas=True)
    step([showers.batch(entries) for entries in cut], 0.1, measure=False)
    *network, balance = (whole(gradient).flatten() for gradient in showers.gradients(step))
    buffers = [buffer.double().flatten() for buffer in step.phases[0].phase.module.buffers()]
    return {"network": torch.cat(network), "balance": balance, "statistics": torch.cat(buffers)}


def statistics() -> None:
    """Running statistics after a step are the mean over ranks, weighted by events; an empty rank has no say."""
    here = connect()
    module = torch.nn.BatchNorm2d(1)
    mask = torch.ones(1, 1, 2, 3, dtype=torch.bool)  # as cameras have it, here of rank 0
    module.register_buffer("mask", (mask * here.master).to(memory_format=torch.channels_last))
    parallel = ParallelModule(module, here, "ddp")
    with torch.no_grad():
        module.running_mean.fill_(float(here.rank))
        parallel.average_buffers(events=here.rank)
    weights = np.arange(here.size)
    expected = (weights * np.arange(here.size)).sum() / weights.sum()
    assert abs(float(module.running_mean) - expected) < 1e-6
    assert module.mask.all()
    here.close()


def application(trouble: str, log: str, *overrides: str) -> None:
    """bin/exec.py with trouble made on rank 1: nan, memory, sleep in its loss after a few steps; slow: every step takes
    a while on all ranks."""
    Path(log).mkdir(parents=True, exist_ok=True)
    Path(log, f"pid_{launched().rank}").write_text(str(os.getpid()))
    loss, calls = Segmentation.loss, itertools.count(1)

    def troubled(self: Segmentation, *arguments: object) -> object:
        number = next(calls)
        if trouble == "slow":
            time.sleep(0.2)
        elif launched().rank == 1 and number >= 6 and torch.is_grad_enabled():
            if trouble == "nan":
                terms = loss(self, *arguments)
                return type(terms)(terms.total * float("nan"), terms.weight)
            if trouble == "memory":
                raise torch.OutOfMemoryError("CUDA out of memory")
            if trouble == "sleep":
                time.sleep(600)
        return loss(self, *arguments)

    Segmentation.loss = troubled
    leave("run.distributed=true", *overrides)


if __name__ == "__main__":
    globals()[sys.argv[1]](*sys.argv[2:])
