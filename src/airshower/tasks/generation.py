"""What generators of events have in common: what they learn from, how they generate, and how they are judged."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from airshower.config.fields import choice, number, section
from airshower.data.source import Selection, Source, Splits
from airshower.data.table import Table
from airshower.data.tanks import TankBatch, TankSpec
from airshower.errors import UserError
from airshower.networks.generator import EventGenerator, Sampling, Tick
from airshower.networks.images import ImageView
from airshower.tasks.generation_report import Generated, GenerationReport, GenerationReportConfig, View
from airshower.tasks.histograms import count_values
from airshower.tasks.image_report import SHOWN, ImageReport
from airshower.writers.figures import Figure
from airshower.writers.generation_figures import histograms
from airshower.writers.image_figures import image_grid

SPREAD_SEED = 2**64 - 1  # of no generated events
LEAST = 2.0**-24  # of uniform numbers, and of what they lack to 1


@dataclass
class GenerateConfig:
    """`task.generate.*`."""

    events: int = number(0, low=0)
    at_once: int = number(0, low=0)
    conditions: str = choice("data", "uniform")
    seed: int = number(1, low=0, high=2**63 - 1)


@dataclass(frozen=True, eq=False)
class Sample:
    """Events of a batch: `recorded` as files have them, and `conditions`, as scaled for networks; `entries` int64 [n];
    the `view` that networks have of them."""

    view: View
    recorded: Tensor
    conditions: Tensor
    entries: np.ndarray

    def __len__(self) -> int:
        return len(self.entries)

    @cached_property
    def real(self) -> Tensor:
        """As they are evaluated: spread over their steps by random numbers that belong to the entries."""
        shares = event_noise(SPREAD_SEED, self.entries, self.view.draws).to(self.recorded.device)
        return self.view.spread(self.recorded, shares)


@dataclass(frozen=True, eq=False)
class Plan:
    """Which events inference generates: number i has the scaled `conditions` [entries, quantities] of entry i modulo
    their number, or conditions drawn evenly from `low` to `high` [quantities]."""

    entries: np.ndarray
    conditions: Tensor
    events: int
    seed: int
    low: Tensor | None = None
    high: Tensor | None = None


class Generation:
    """A task that trains a network to generate events like those it reads.

    The network is an `EventGenerator` that has `task`, the `name` of the task that trains it, and `fit` (examples of
    events, their conditions), which is called before the first step. `sees` is the view that it has of events: numbers,
    or images. Random numbers of what is generated or evaluated follow from an event's number or entry alone, so that
    neither depends on batches and ranks; those of training are torch's. With a `plan`, an evaluation measures the
    network on the sample and generates nothing; there is none where the network `measures` nothing.
    """

    reads = "tank_hits"
    measures = True

    @dataclass
    class Config:
        """`task.*` of all such tasks."""

        generate: GenerateConfig = section(GenerateConfig)
        report: GenerationReportConfig = section(GenerationReportConfig)

    def __init__(self, config: Config, spec: TankSpec, view: View):
        self.config, self.spec, self.view = config, spec, view
        self.outputs: dict[str, int] = {}
        self.plan: Plan | None = None  # of an inference

    def check(self, source: Source) -> None:
        """Nothing: events are their own truth."""

    def fit(self, selection: Selection, network: EventGenerator) -> None:
        """See `Task.fit`."""
        network.fit(*self.view.examples(selection))

    def prepare(self, batch: TankBatch) -> Sample:
        """See `Task.prepare`."""
        return Sample(self.view, self.view.recorded(batch), batch.conditions, batch.entries)

    def spread(self, sample: Sample) -> Tensor:
        """Events to train on, spread over their steps by torch's random numbers, others each time."""
        return self.view.spread(sample.recorded, self.view.shares(sample.recorded))

    def products(self, batch: TankBatch, sample: Sample) -> dict[str, Any]:
        """Images, parameters and conditions, in their units."""
        found = {f"image {q.name}": batch.images[:, c] for c, q in enumerate(self.spec.channels)}
        for quantities, scaled in ((self.spec.parameters, batch.parameters), (self.spec.conditions, batch.conditions)):
            found |= self.spec.physical(np.asarray(scaled), quantities)
        return found

    def totals(self, sample: Sample) -> Tensor:
        """The number of events [1]."""
        return sample.recorded.new_tensor([len(sample)], dtype=torch.float64)

    def normaliser(self, totals: Tensor) -> Tensor:
        """The weight of each term."""
        return totals

    def generated(self, network: EventGenerator, sample: Sample) -> Generated:
        """One event for each of the sample, with its conditions."""
        noise = event_noise(0, sample.entries, network.latent).to(sample.conditions)
        events = network.generate(noise, sample.conditions).float()
        return Generated(events, sample.conditions[:, : len(network.given)], torch.from_numpy(sample.entries))

    def planned(self, network: EventGenerator, sample: Sampling, numbers: np.ndarray, tick: Tick) -> Generated:
        """The events of the plan that have these numbers, from a `sampler` of the network; what they are follows from
        their numbers alone."""
        assert self.plan is not None
        plan, device = self.plan, next(network.parameters()).device
        entry = numbers % len(plan.entries)
        conditions = plan.conditions[entry]
        noise, share = event_noise(plan.seed, numbers, network.latent + conditions.shape[1]).split(
            [network.latent, conditions.shape[1]], 1
        )
        if plan.low is not None and plan.high is not None:
            drawn = Table.of_scaled(self.spec.conditions, (plan.low + (plan.high - plan.low) * share).numpy())
            conditions = torch.from_numpy(drawn.scaled)
        conditions = conditions.to(device)
        events = sample(noise.to(device), conditions, tick).float()
        return Generated(events, conditions[:, : len(network.given)], torch.from_numpy(plan.entries[entry]))

    def apart(self, sample: Sample, generated: Generated) -> dict[str, Tensor]:
        """Counters of the sample's events and of those generated, in the steps and the turn that files have."""
        parts = {"real": sample.recorded, "generated": generated.events}
        device = sample.recorded.device  # where the other counters are: ranks sum them in one message
        tables = {name: self.view.table(events) for name, events in parts.items()}
        return {name: count_values(torch.from_numpy(table.scaled)).to(device) for name, table in tables.items()}

    def display(self, sample: Sample, outputs: Generated | None, index: int, title: str) -> "Figure | None":
        """Histograms of the sample's events and of those generated, or images; one figure a validation, of its first
        minibatch."""
        if index or self.plan is not None or outputs is None:
            return None
        both = sample.recorded, outputs.events
        if isinstance(self.view, ImageView):
            real, generated = (images[:SHOWN].cpu().numpy() for images in both)
            return image_grid(self.spec.channels, self.spec.dead, real, generated)
        return histograms(self.view.table(sample.recorded), self.view.table(outputs.events))

    def report(self, splits: Splits, folder: Path, provenance: dict[str, str], _: bool) -> GenerationReport:
        """See `Task.report`."""
        wanted, entries = self.config.generate, splits.whole.entries
        conditions = torch.from_numpy(splits.whole.source.scalars(entries)[1])
        limits = (conditions.amin(0), conditions.amax(0)) if wanted.conditions == "uniform" else ()
        self.plan = Plan(entries, conditions, wanted.events or len(entries), wanted.seed, *limits)
        kind = ImageReport if isinstance(self.view, ImageView) else GenerationReport
        return kind(splits, self.config.report, folder, provenance, self.view)


def check_betas(betas: list[float]) -> None:
    """Raise `UserError` for what can't be Adam's betas."""
    if len(betas) != 2 or not all(0 <= beta < 1 for beta in betas):
        raise UserError(f"task.betas={betas}: must be two numbers from 0 to below 1")


def event_noise(seed: int, numbers: np.ndarray, draws: int) -> Tensor:
    """Random numbers between 0 and 1 that belong to events of these numbers: float32 [n, draws], never 0 or 1."""
    keys = (np.array([seed, number], np.uint64) for number in numbers.tolist())
    generators = (np.random.Generator(np.random.Philox(key=key)) for key in keys)
    drawn = np.array([generator.random(draws, np.float32) for generator in generators], np.float32)
    return torch.from_numpy(drawn.reshape(len(numbers), draws)).clamp(LEAST, 1 - LEAST)
