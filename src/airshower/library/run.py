"""`airshower.load`: a trained run."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from omegaconf import DictConfig
from torch import nn

from airshower.assembly.components import data_yamls, recognised
from airshower.assembly.recorded import shared_keys
from airshower.assembly.trained import Trained, load_trained
from airshower.config import build
from airshower.data.arrays import Arrays, ArraySource
from airshower.data.event_table import EventTable
from airshower.data.feeder import Feeder
from airshower.data.order import OrderConfig
from airshower.data.plan import Dealer, EntryPlan
from airshower.data.source import Source
from airshower.data.spec import Spec
from airshower.errors import UserError
from airshower.library.events import Events, Files, data_of
from airshower.runtime import seeds
from airshower.runtime.device import free_memory
from airshower.runtime.ranks import Ranks
from airshower.tasks.task import GenerationTask, PredictionTask
from airshower.writers.scalars import read_table

DEVICES = {"cuda": "gpu"}
AT_ONCE = 256  # events that are generated at a time where the network has no better number


def load(location: str | Path, device: str = "auto") -> "Run":
    """The trained run in a folder, with its best checkpoint, else the newest; or that of a checkpoint; or a network
    whose weights come with airshower, by its name.

    `device` is auto, cpu, cuda (or gpu), xpu or mps. Raises `UserError` or `DataError`.
    """
    return Run(load_trained(location, DEVICES.get(device, device)))


class Run:
    """A trained network and what its run left. `path` is its checkpoint, `step` the step of that."""

    def __init__(self, trained: Trained):
        self._trained = trained
        self.path = trained.path
        self.step = trained.step

    @property
    def network(self) -> nn.Module:
        """The trained network, in evaluation mode."""
        return self._trained.network

    @property
    def config(self) -> DictConfig:
        """The resolved config that it was trained with."""
        return self._trained.config

    @property
    def spec(self) -> Spec:
        """The containers, classes and quantities that it was trained on."""
        return self._trained.spec

    @cached_property
    def metrics(self) -> dict[str, dict[str, np.ndarray]]:
        """The CSV files of the run's folder by name (`train`, `validation`, ...): columns by name; empty for a
        checkpoint without its run."""
        tables = {}
        for path in sorted((self.path.parents[1] / "metrics").glob("*.csv")):
            rows = read_table(path)
            names = dict.fromkeys(name for row in rows for name in row)
            tables[path.stem] = {name: np.array([row.get(name, np.nan) for row in rows]) for name in names}
        return tables

    def open(self, files: Files) -> Events:
        """Files, read as those that the network was trained on: with its channels, cuts and classes."""
        name = recognised(files)
        before = self.config.data
        kinds = build.target(before, "data"), build.target(data_yamls()[name], "data")
        options = {key: value for key, value in build.plain(before).items() if key in shared_keys(*kinds)}
        return Events(data_of(name, files, options).everything(), name)

    def predict(self, events: "Events | Files | Arrays", batch: int = 0, device: str = "") -> EventTable:
        """What the network says of events: named columns with units, one row an event; of pixels as `parts`.

        `events` are those of `airshower.open`, files, or arrays by container (see `data.arrays.ArraySource`). `batch`
        is how many are computed at a time; 0: as in training. The numbers are those of `mode=inference`, to the bit
        where the batches are the same. Raises `UserError` for events that the network can't take.
        """
        trained = self._trained if not device else load_trained(self.path, DEVICES.get(device, device))
        if not isinstance(trained.task, PredictionTask):
            raise UserError(f"{self.path}: its network generates events and predicts nothing; use generate")
        source, entries = self._selected(events)
        task, network = trained.suited(source.spec)
        assert isinstance(task, PredictionTask)
        size = batch or int(self.config.run.minibatch_size)
        used = trained.precision.device
        plan = EntryPlan(entries, size, OrderConfig("serial"))
        parts = []
        with torch.no_grad(), seeds.set_aside(used), self._threads():
            torch.manual_seed(0)
            with Feeder(source, Dealer(plan, size, Ranks()), plan.steps_per_epoch) as feeder:
                for _, batches in feeder:
                    for read in batches:
                        sample = task.prepare(read.to(used))
                        with trained.precision.autocast():
                            outputs, _ = task.evaluate(network, sample, lambda tensor: tensor)
                        parts.append(task.predicted(read, sample, outputs, source.spec))
        return EventTable.joined(parts)

    def generate(
        self, events: int, conditions: "Events | Mapping[str, Any] | None" = None, seed: int = 1, batch: int = 0
    ) -> EventTable:
        """So many generated events: named columns with units, with the conditions; of images the hits as `parts`.

        `conditions` are values [n] by name in their units, or events that have them; event i has those of row i
        modulo n. An event depends only on its number, the seed and its conditions. Raises `UserError`.
        """
        task = self._trained.task
        if not isinstance(task, GenerationTask):
            raise UserError(f"{self.path}: its network predicts and generates nothing; use predict")
        network: Any = self.network
        plan = task.plan_of(events, seed, self._conditions(network, conditions))
        used = self._trained.precision.device
        size = batch or network.at_once(free_memory(used)) or AT_ONCE
        tables = []
        with torch.no_grad(), self._trained.precision.autocast(), seeds.set_aside(used), self._threads():
            sampler = network.sampler(min(size, events))
            for first in range(0, events, size):
                numbers = np.arange(first, min(first + size, events))
                tables.append(task.table(plan.generated(network, sampler, numbers, lambda _: None)))
        return EventTable.joined(tables)

    @contextmanager
    def _threads(self) -> Iterator[None]:
        """In this context torch has as many threads as the run was given, as their number changes the rounding."""
        before = torch.get_num_threads()
        torch.set_num_threads(int(self.config.framework.intra_op_parallelism_threads) or before)
        try:
            yield
        finally:
            torch.set_num_threads(before)

    def _conditions(self, network: Any, conditions: "Events | Mapping[str, Any] | None") -> np.ndarray:
        """Scaled conditions [n, quantities]."""
        if isinstance(conditions, Events):
            return conditions.source.scaled("conditions", conditions.entries)
        quantities = self.spec.quantities("conditions")
        names = [quantity.name for quantity in quantities]
        given = dict(conditions or {})
        missing = [name for name in names if name not in given]
        if (missing and len(network.given)) or set(given) - set(names):
            wanted = ", ".join(names) or "nothing"
            raise UserError(f"conditions: give values of {wanted}, as in conditions={{name: values}}")
        if missing or not names:
            return np.zeros((1, len(names)), np.float32)
        columns = [q.scaled(np.atleast_1d(np.asarray(given[q.name], float))) for q in quantities]
        for quantity, column in zip(quantities, columns, strict=True):
            if not np.isfinite(column).all():
                raise UserError(f"conditions[{quantity.name!r}]: has values that the network can't take")
        return np.stack(np.broadcast_arrays(*columns), 1).astype(np.float32)

    def _selected(self, events: "Events | Files | Arrays") -> tuple[Source, np.ndarray]:
        if isinstance(events, Events):
            return events.source, events.entries
        if isinstance(events, Mapping):
            source = ArraySource(self.spec, events)
            return source, np.arange(len(source))
        opened = self.open(cast(Files, events))
        return opened.source, opened.entries

    def __repr__(self) -> str:
        names = [str(self.config[name]["_target_"]).rpartition(".")[2] for name in ("network", "task")]
        weights = sum(parameter.numel() for parameter in self.network.parameters())
        return f"{names[0]} for {names[1]} after {self.step} steps, {weights:,} weights ({self.path})"
