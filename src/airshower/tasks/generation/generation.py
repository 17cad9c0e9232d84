"""The base class of the tasks that train generators: training samples and validation."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor

from airshower.config.fields import section
from airshower.data.batch import Batch
from airshower.data.event_table import EventTable
from airshower.data.records import Records
from airshower.data.spec import ImagesSpec, Spec
from airshower.data.splits import Selection, Splits
from airshower.errors import UserError
from airshower.networks.generator import EventGenerator
from airshower.statistics.counts import count_values
from airshower.tasks.generation.kinds import kind_of
from airshower.tasks.generation.plan import GenerateConfig, Generated, Plan, event_noise
from airshower.tasks.generation.report import GenerationReport, GenerationReportConfig
from airshower.tasks.generation.views import View
from airshower.tasks.task import GenerationTask, OverRanks
from airshower.writers.figures import Figure

DEQUANTISATION_SEED = 2**64 - 1  # `task.generate.seed` is below


@dataclass(frozen=True, eq=False)
class GenerationSample:
    """Events of a batch: `recorded` events and `conditions`, both scaled for networks; `entries` int64 [n]; the `view`
    of the events."""

    view: View
    recorded: Tensor
    conditions: Tensor
    entries: np.ndarray

    def __len__(self) -> int:
        return len(self.entries)

    @cached_property
    def evaluated(self) -> Tensor:
        """Events for the evaluation: dequantised by random numbers that are seeded by their entries."""
        shares = event_noise(DEQUANTISATION_SEED, self.entries, self.view.draws).to(self.recorded.device)
        return self.view.dequantised(self.recorded, shares)


class Generation(GenerationTask):
    """A task that trains a network to generate events like those in the container `generates` of batches.

    The network is an `EventGenerator`, whose `fit` is called before the first step. In generation
    and evaluation random numbers depend only on an event's number or entry, not on batches and ranks; in training they
    are torch's. Inference generates the events of `plan`. If the task `measures`, each event has a loss, and inference
    also measures the losses of its entries.
    """

    measures = False

    @dataclass
    class Config:
        """`task.*` of all tasks that train generators."""

        generate: GenerateConfig = section(GenerateConfig)
        report: GenerationReportConfig = section(GenerationReportConfig)

    def __init__(self, config: Config, spec: Spec, generates: str):
        self.config = config
        self.spec = spec
        self.kind = kind_of(spec, generates)
        self.view = self.kind.view(spec, generates)
        self.outputs: dict[str, int] = {}

    @classmethod
    def for_network(cls, config: Config, spec: Spec, network: type[EventGenerator]) -> Self:
        """See `Task`."""
        return cls(config, spec, network.generates)

    @property
    def events_at_once(self) -> int:  # type: ignore[override]
        """See `GenerationTask`: `task.generate.at_once`."""
        return self.config.generate.at_once

    def fit(self, selection: Selection, network: EventGenerator) -> None:
        """See `Task.fit`."""
        network.fit(*self.view.examples(selection))

    def prepare(self, batch: Batch) -> GenerationSample:
        """See `Task.prepare`."""
        return GenerationSample(self.view, self.view.recorded(batch), batch["conditions"].values, batch.entries)

    def dequantised(self, sample: GenerationSample) -> Tensor:
        """Training events, dequantised by torch's random numbers, which differ in each call."""
        return self.view.dequantised(sample.recorded, self.view.shares(sample.recorded))

    def products(self, batch: Batch, sample: GenerationSample) -> dict[str, Any]:
        """Images, parameters and conditions, in their units."""
        described: dict[str, Any] = {}
        for name, spec in self.spec.inputs.items():
            values = batch[name].values
            if isinstance(spec, ImagesSpec):
                described |= {f"image {q.name}": values[:, channel] for channel, q in enumerate(spec.channels)}
            else:
                described |= spec.physical(values)
        return described

    def totals(self, sample: GenerationSample) -> Tensor:
        """The number of events [1]."""
        return sample.recorded.new_tensor([len(sample)], dtype=torch.float64)

    def normaliser(self, totals: Tensor) -> Tensor:
        """The weight of each term."""
        return totals

    def measure(
        self, network: EventGenerator, sample: GenerationSample, over_ranks: OverRanks
    ) -> tuple[None, dict[str, Tensor]]:
        """No outputs, and the metric counters of the network's losses of a sample; nothing is generated."""
        return None, {}

    def generated(self, network: EventGenerator, sample: GenerationSample) -> Generated:
        """One generated event for each event of the sample, with the same conditions."""
        noise = event_noise(0, sample.entries, network.latent).to(sample.conditions)
        events = network.generate(noise, sample.conditions).float()
        return Generated(events, sample.conditions[:, : len(network.given)], torch.from_numpy(sample.entries))

    def distributions(self, sample: GenerationSample, generated: Generated) -> dict[str, Tensor]:
        """Metric counters of the sample's events (`reference`) and of the `generated` ones, rounded and
        wrapped as in files."""
        device = sample.recorded.device  # the device of the other counters, as ranks sum them in one message
        both = {"reference": sample.recorded, "generated": generated.events}
        tables = {name: self.view.table(events) for name, events in both.items()}
        return {name: count_values(torch.from_numpy(table.scaled)).to(device) for name, table in tables.items()}

    def display(self, sample: GenerationSample, outputs: Generated | None, index: int, title: str) -> "Figure | None":
        """Comparison of the sample's events with generated events: one figure per validation, of its first
        minibatch."""
        if index or outputs is None:
            return None
        return self.kind.display(self.view, sample.recorded, outputs.events)

    def table(self, generated: Generated) -> EventTable:
        """See `GenerationTask.table`; of images numbers of each, and the hits as `parts`."""
        conditions = generated.conditions.float().cpu().numpy()
        quantities = self.spec.quantities("conditions")[: conditions.shape[1]]
        tables = [Records.of_scaled(quantities, conditions), self.view.table(generated.events)]
        columns = [column for table in tables for column in table.columns()]
        units = {quantity.name: quantity.unit for quantity, _ in columns}
        return EventTable({q.name: values for q, values in columns}, units, self.view.parts(generated.events))

    def plan_of(self, events: int, seed: int, conditions: np.ndarray) -> Plan:
        """See `GenerationTask.plan_of`."""
        numbers = np.arange(len(conditions))
        return Plan(self.spec.quantities("conditions"), numbers, torch.from_numpy(conditions), events, seed)

    def plan(self, splits: Splits) -> Plan:
        """The events that inference generates."""
        return Plan.of(self.config.generate, splits.test)

    def report(self, splits: Splits, folder: Path, provenance: dict[str, str]) -> GenerationReport:
        """A report that writes generated events into `folder` and compares them with the reference events,
        `splits.test`."""
        return self.kind.report(splits, self.config.report, folder, provenance, self.view)


def check_betas(betas: list[float]) -> None:
    """Raise `UserError` for invalid betas of Adam."""
    if len(betas) != 2 or not all(0 <= beta < 1 for beta in betas):
        raise UserError(f"task.betas={betas}: must be two numbers from 0 to below 1")
