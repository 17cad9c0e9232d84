"""One optimizer step: micro-batches with a common normaliser, and a check for finite values before weights are
updated."""

import contextlib
import math
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import reduce
from typing import Any, Self

import torch
from torch import Tensor, nn

from airshower.config.schema import OptimizerConfig
from airshower.data.batch import Batch
from airshower.engine.average import WeightAverage
from airshower.engine.optimizer import build_optimizer
from airshower.engine.parallel import ParallelModule, whole
from airshower.errors import TrainingError
from airshower.runtime import seeds
from airshower.runtime.device import Precision
from airshower.runtime.ranks import Ranks
from airshower.runtime.timers import Timers
from airshower.tasks.loss_terms import LossTerms
from airshower.tasks.task import Phase, Task


@dataclass
class TrainedPhase:
    """A phase on all ranks with its optimizer. If the phase has them, also the optimizer of its balance and the average
    of its weights."""

    phase: Phase
    optimizer: torch.optim.Optimizer
    parallel: ParallelModule
    average: WeightAverage | None = None
    balancing: torch.optim.Optimizer | None = field(init=False, default=None)

    @classmethod
    def of(
        cls, phase: Phase, network: nn.Module, optimizer: OptimizerConfig, ranks: Ranks, distributed_mode: str = "ddp"
    ) -> Self:
        """The phase of this network with a new optimizer."""
        parallel = ParallelModule(phase.module, ranks, distributed_mode)
        decay = phase.average or optimizer.average
        average = WeightAverage(network, phase.module, decay) if decay else None
        return cls(phase, build_optimizer(optimizer, phase.module, phase.betas), parallel, average)

    def __post_init__(self) -> None:
        if (balance := self.phase.balance) is not None:
            self.balancing = torch.optim.Adam(balance.parameters(), lr=balance.learning_rate)

    def balance_state(self) -> dict[str, Any]:
        """The weights of the balance and its optimizer's state; empty without a balance."""
        if self.balancing is None or self.phase.balance is None:
            return {}
        return {"weights": self.phase.balance.state_dict(), "optimizer": self.balancing.state_dict()}

    def load_balance_state(self, state: dict[str, Any]) -> None:
        """Restore the output of `balance_state`."""
        if self.balancing is not None and self.phase.balance is not None:
            self.phase.balance.load_state_dict(state["weights"])
            self.balancing.load_state_dict(state["optimizer"])

    def optimizers(self) -> list[torch.optim.Optimizer]:
        """The optimizers of the phase and, if any, of its balance."""
        return [self.optimizer, self.balancing] if self.balancing else [self.optimizer]


class Step:
    """Trains on the micro-batches of all ranks in one step as if they were one batch.

    Loss weights are summed over micro-batches and ranks before the division, so gradients do not depend on how a batch
    is cut. Where they depend on the network's outputs (focal) and there are several micro-batches, a forward pass
    without gradients computes them first, which is exact and takes a third more time.
    """

    def __init__(
        self,
        task: Task,
        phases: list[TrainedPhase],
        precision: Precision,
        ranks: Ranks,
        clip_norm: float,
        timers: Timers,
    ):
        self.task = task
        self.phases = phases
        self.precision = precision
        self.ranks = ranks
        self.clip_norm = clip_norm
        self.timers = timers

    def __call__(self, batches: list[Batch], rate: float, measure: bool, step: int = 0) -> dict[str, Tensor]:
        """Train the phases of this `step` (from 0) on this rank's micro-batches; all ranks must have the same number.
        Returns this rank's metric counters (empty unless `measure`). Collective."""
        counters: dict[str, Tensor] = {}
        timers = self.timers
        # a single batch is prepared once; several are prepared again at each use, as a task may reuse its buffers
        self._only = self._prepare(batches[0]) if len(batches) == 1 else None
        totals = self._sum(reduce(torch.add, (self.task.totals(sample) for sample in self._samples(batches))))
        for trained in self.phases:
            if (step + 1) % trained.phase.every:
                continue
            for optimizer in trained.optimizers():
                optimizer.zero_grad(set_to_none=True)
            weight = self.task.normaliser(totals)
            if weight is None and len(batches) > 1:
                weight = self._weight_of_outputs(trained.phase, batches, totals)
            for index, sample in enumerate(self._samples(batches)):
                last = index == len(batches) - 1
                with contextlib.nullcontext() if last else trained.parallel.accumulating():
                    with timers("loss"), self.precision.autocast():
                        terms, outputs = trained.phase.loss(trained.parallel.module, sample, totals)
                    balanced = trained.phase.balance(terms) if trained.phase.balance else terms
                    loss = _normalised(balanced, self._sum(terms.weight) if weight is None else weight)
                    self._check_finite(loss, batches)
                    self._backward(loss, trained.parallel if last else None)
                if measure:
                    with timers("metrics"):
                        add_counters(counters, self.task.count(sample, outputs, terms))
            scale = trained.phase.rate_scale(totals) if trained.phase.rate_scale else 1.0
            self._move(trained, rate * scale, batches)
            with timers("reduce"), torch.no_grad():
                trained.parallel.average_buffers(sum(len(batch) for batch in batches))
        return counters

    def warm_up(self, batch: Batch) -> None:
        """A step without updates. DDP fixes the order in which it sums gradients after its first backward pass. The
        order must be fixed before the first step, or a resumed run would round differently. Collective."""
        sample = self.task.prepare(batch)
        totals = self.ranks.sum(self.task.totals(sample))
        for trained in self.phases:
            with _unchanged_buffers(trained.phase.module), self.precision.autocast():
                terms, _ = trained.phase.loss(trained.parallel.module, sample, totals)
                _normalised(terms, terms.weight).backward()
            trained.optimizer.zero_grad(set_to_none=True)

    def _prepare(self, batch: Batch) -> Any:
        with self.timers("copy"):
            return self.task.prepare(batch)

    def _sum(self, tensor: Tensor) -> Tensor:
        with self.timers("reduce"):
            return self.ranks.sum(tensor)

    def _backward(self, loss: Tensor, reducing: ParallelModule | None) -> None:
        with self.timers("backward"):
            self.precision.scaler.scale(loss).backward()
        if self.timers.enabled and reducing is not None and reducing.reduced_at:
            self.timers.move("backward", "reduce", time.perf_counter() - reducing.reduced_at)

    def _samples(self, batches: list[Batch]) -> Iterator[Any]:
        return iter([self._only]) if len(batches) == 1 else (self._prepare(batch) for batch in batches)

    @torch.no_grad()
    def _weight_of_outputs(self, phase: Phase, batches: list[Batch], totals: Tensor) -> Tensor:
        weight = torch.zeros(())
        with _unchanged_buffers(phase.module), seeds.set_aside(self.precision.device):
            for sample in self._samples(batches):
                with self.timers("loss"), self.precision.autocast():
                    weight = weight + phase.loss(phase.module, sample, totals)[0].weight
        return self._sum(weight)

    def _move(self, trained: TrainedPhase, rate: float, batches: list[Batch]) -> None:
        scaler = self.precision.scaler
        optimizer = trained.optimizer
        if trained.phase.balance is not None:
            for parameter in trained.phase.balance.parameters():
                assert parameter.grad is not None
                parameter.grad = self._sum(parameter.grad)
        with self.timers("optimizer"):
            for each in trained.optimizers():
                scaler.unscale_(each)
            parameters = [p for group in optimizer.param_groups for p in group["params"]]
            norm = whole(nn.utils.clip_grad_norm_(parameters, self.clip_norm or math.inf))
            if not scaler.is_enabled() and not torch.isfinite(norm):
                raise TrainingError(f"the gradient is not finite {_advice(batches)}")
            for group in optimizer.param_groups:
                group["lr"] = rate
            for each in trained.optimizers():
                scaler.step(each)
            scaler.update()
            if trained.average:
                trained.average.update()

    def _check_finite(self, loss: Tensor, batches: list[Batch]) -> None:
        if not torch.isfinite(loss):
            raise TrainingError(f"the loss is {float(loss.detach())} {_advice(batches)}")


def add_counters(total: dict[str, Tensor], more: dict[str, Tensor]) -> None:
    """Add metric counters to `total`."""
    for name, value in more.items():
        total[name] = total[name] + value if name in total else value


def _normalised(terms: LossTerms, weight: Tensor) -> Tensor:
    weight = weight.to(terms.total.dtype)
    return (terms.total / weight.clamp_min(torch.finfo(weight.dtype).tiny)).sum()


def _advice(batches: list[Batch]) -> str:
    entries = [int(entry) for batch in batches for entry in batch.entries]
    shown = ", ".join(map(str, entries[:8])) + (", ..." if len(entries) > 8 else "")
    shown = f"entries {shown}" if entries else "this rank had no entries"
    return f"({shown}); lower mode.optimizer.learning_rate or set mode.optimizer.clip_norm=1"


@contextlib.contextmanager
def _unchanged_buffers(module: nn.Module) -> Iterator[None]:
    saved = [buffer.clone() for buffer in module.buffers()]
    try:
        yield
    finally:
        for buffer, value in zip(module.buffers(), saved, strict=True):
            buffer.copy_(value)
