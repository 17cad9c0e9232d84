"""Reconstruction of events: their class, energy, direction, position, or whatever columns of truth are asked for."""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from airshower.data.batch import Batch
from airshower.data.containers import CameraImages, Images, Table
from airshower.data.event_table import EventTable
from airshower.data.source import Source
from airshower.data.spec import CameraImagesSpec, Spec
from airshower.data.splits import Selection, Splits
from airshower.data.truth import Column, Frame
from airshower.errors import DataError, UserError
from airshower.networks.network import FittedNetwork, Start
from airshower.runtime.log import logger, progress
from airshower.tasks.balance import UncertaintyBalance
from airshower.tasks.loss_terms import LossTerms
from airshower.tasks.reconstruction.classes import ClassTarget
from airshower.tasks.reconstruction.config import ReconstructionConfig
from airshower.tasks.reconstruction.event_targets import EventTargets
from airshower.tasks.reconstruction.performance import check_report
from airshower.tasks.reconstruction.report import ReconstructionReport
from airshower.tasks.reconstruction.sample import ReconstructionSample
from airshower.tasks.reconstruction.targets import Target
from airshower.tasks.task import Phase, PredictionTask
from airshower.writers.event_displays import draw_event
from airshower.writers.figures import Figure

FITTED_AT_ONCE = 250  # events that are read at a time for a fit
LEAST_SHARE = 0.1  # of telescopes that count as triggered in the learning rate


class Reconstruction(PredictionTask):
    """The sum of the targets' losses: each the mean over the step's entries, weighted by `Batch.weight` and by class.

    `task.targets` are columns of the truth by a name of theirs (see `targets` and `classes`); `weight` 0 leaves one
    out, and so does a simulation that lacks the column. `task.signal` names a class of the first class target: with
    `only_gammas` all that is no class is learned from, and judged by, entries of the signal alone. An entry is masked
    in targets of which its truth is not known.

    With `balance` uncertainty the terms are weighed by `UncertaintyBalance`, beside their weights; the metric `loss`
    has none of that, so that runs can be compared. `scale_learning_rate` divides that of a step by the share of
    telescopes that have an image, at least 0.1, as in deep-learning-CTA: gradients are weak where few see the shower.
    """

    name = "reconstruction"

    Config = ReconstructionConfig

    def __init__(self, config: ReconstructionConfig, spec: Spec, view: Callable[[Batch], Any]):
        self.config = config
        self.spec = spec
        self.view = view
        self.events = EventTargets(config, spec.truth)
        self.balance: UncertaintyBalance | None = None  # while training
        if config.scale_learning_rate and not _is_array(spec):
            raise UserError("task.scale_learning_rate: is for events of several telescopes; use data.mode=stereo")

    @property
    def targets(self) -> dict[str, Target]:
        """The targets that are learned, by name."""
        return self.events.learned

    @property
    def outputs(self) -> dict[str, int]:  # type: ignore[override]
        """See `Task`."""
        return {name: target.channels for name, target in self.targets.items()}

    @property
    def headline(self) -> dict[str, str]:  # type: ignore[override]
        """See `Task`."""
        headline = {"loss": "loss"}
        for target in self.targets.values():
            headline |= target.headline
        return headline

    @property
    def score(self) -> str:  # type: ignore[override]
        """See `Task`."""
        return "AUC" if self.events.classes else "negative_loss"

    @classmethod
    def check_columns(cls, config: ReconstructionConfig, columns: tuple[Column, ...]) -> None:
        """See `Task`: also where no target is left, and for a report that can't be made."""
        check_report(config.report, EventTargets(config, columns).judged)

    @classmethod
    def check_starts(
        cls, config: ReconstructionConfig, columns: tuple[Column, ...], starts: Mapping[str, Start]
    ) -> None:
        """See `Task`."""
        for name, target in EventTargets(config, columns).learned.items():
            if name in starts:
                target.check_start(starts[name])

    def check(self, source: Source) -> None:
        """Leaves out targets whose columns these simulated files lack. Raises `DataError` for observations."""
        if not source.spec.known:
            raise DataError("data: training needs simulated events, but these are observations")
        lacking = [name for name, target in self.targets.items() if target.column.name not in source.spec.known]
        for name in lacking:
            logger.warning("task.targets.%s: the files have no true %s; left out", name, self.targets[name].column.name)
        self.keep([name for name in self.targets if name not in lacking])

    def keep(self, outputs: list[str]) -> None:
        """See `Task`."""
        self.events.keep(outputs)
        if not self.targets:
            raise DataError("task.targets: the files have the truth of none of them")

    def fit(self, selection: Selection, network: nn.Module) -> None:
        """See `Task.fit`; fits networks that have no weights to optimise. Raises `DataError` where all entries are of
        one class, and for a target whose truth none of those has that it is learned from."""
        names = [target.column.name for target in self.targets.values()]
        signals = self.events.signal_column
        truth = selection.source.truth(selection.entries, tuple(names + ([signals.name] if signals else [])))
        for target in self.targets.values():
            if isinstance(target, ClassTarget):
                _fit_classes(target, truth[target.column.name])
        for name, target in self.targets.items():
            if isinstance(target, ClassTarget):
                continue
            only = target.signal_only and signals is not None
            used = truth[signals.name] == self.events.signal if only and signals else slice(None)
            values = truth[target.column.name][used]
            if not np.isfinite(values.reshape(len(values), -1)).all(1).any():
                kind = self.config.signal if only else "entry"
                raise DataError(
                    f"task.targets.{name}.weight: is not 0, but no {kind} to train on has a true "
                    f"{target.column.name}; use task.targets.{name}.weight=0"
                )
        if isinstance(network, FittedNetwork):
            network.fit(self._examples(selection, next(network.buffers()).device))

    def prepare(self, batch: Batch) -> ReconstructionSample:
        """See `Task.prepare`."""
        frame = batch.frame or Frame(None, None)
        asked = [target.column.name for target in self.events.every.values() if target.column.name in self.spec.known]
        if batch.truth is None or not asked:
            return ReconstructionSample(batch, self.view(batch), frame, None, None)
        device = batch.device
        signals = self.events.signal_column
        names = tuple(dict.fromkeys(asked + ([signals.name] if signals and signals.name in self.spec.known else [])))
        columns = {name: _tensor(values).to(device) for name, values in batch.truth.get(*names).items()}
        weight = (
            torch.ones(len(batch), device=device) if batch.weight is None else torch.as_tensor(batch.weight).to(device)
        )
        targets = {
            name: self._target(target, columns, weight, frame)
            for name, target in self.targets.items()
            if target.column.name in columns
        }
        return ReconstructionSample(batch, self.view(batch), frame, columns, targets)

    def products(self, batch: Batch, sample: ReconstructionSample) -> dict[str, Any]:
        """Images and truth as read."""
        described: dict[str, Any] = {}
        for name, container in batch.inputs.items():
            if isinstance(container, CameraImages):
                for camera, images in zip(self.spec[name].cameras, container.cameras, strict=True):
                    described |= {f"{camera.name} charge": images.charge, f"{camera.name} time": images.time}
            elif isinstance(container, Images | Table):
                described[name] = container.values
        return described | (sample.columns or {})

    def phases(self, network: nn.Module) -> list[Phase]:
        """One phase: all weights, one optimizer. None for networks that have nothing to optimise."""
        if isinstance(network, FittedNetwork):
            return []

        def loss(
            module: nn.Module, sample: ReconstructionSample, totals: Tensor
        ) -> tuple[LossTerms, dict[str, Tensor]]:
            outputs = self._outputs(module, sample)
            return self.loss(outputs, sample), outputs

        if self.config.balance == "uncertainty":
            device = next(network.parameters()).device
            self.balance = UncertaintyBalance(len(self.targets), self.config.balance_learning_rate).to(device)
        scale = self._rate_scale if self.config.scale_learning_rate else None
        return [Phase("reconstruction", network, loss, self.balance, scale)]

    def totals(self, sample: ReconstructionSample) -> Tensor:
        """The weight of each target's term; where the learning rate is scaled, also the number of images, and how many
        there could be; float64 [targets + 2]."""
        weights = [weight.double().sum() for _, weight in sample.truth.values()]
        images, most = self._images(sample) if self.config.scale_learning_rate else (0, 0)
        return torch.stack([*weights, *weights[0].new_tensor([images, most])])

    def normaliser(self, totals: Tensor) -> Tensor:
        """The weights of the terms."""
        return totals[:-2]

    def loss(self, outputs: dict[str, Tensor], sample: ReconstructionSample) -> LossTerms:
        """One term for each target."""
        terms = []
        for name, (truth, weight) in sample.truth.items():
            output = outputs[name]
            terms.append((weight.to(output.dtype) * self.targets[name].loss(output, truth)).sum())
        return LossTerms(torch.stack(terms), self.normaliser(self.totals(sample)).to(terms[0].dtype))

    def evaluate(
        self, network: nn.Module, sample: ReconstructionSample, over_ranks: Callable[[Tensor], Tensor]
    ) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """See `Task.evaluate`."""
        outputs = self._outputs(network, sample)
        if not sample.targets:
            return outputs, {}
        return outputs, self.count(sample, outputs, self.loss(outputs, sample))

    def count(self, sample: ReconstructionSample, outputs: dict[str, Tensor], terms: LossTerms) -> dict[str, Tensor]:
        """Those of the targets, and the loss terms."""
        counters = {"loss_total": terms.total.detach().double(), "loss_weight": terms.weight.double()}
        for name, (truth, weight) in sample.truth.items():
            counters |= self.targets[name].count(outputs[name].detach(), truth, weight)
        return counters

    def metrics(self, counters: dict[str, Tensor]) -> dict[str, float]:
        """`loss`, those of the targets and, while they are learned, the weights of their losses."""
        if not counters:
            return {}
        loss = float((counters["loss_total"] / counters["loss_weight"].clamp_min(1e-300)).sum())
        named = {"loss": loss} if self.score == "AUC" else {"loss": loss, "negative_loss": -loss}
        for name, target in self.targets.items():
            if any(counter.startswith(f"{name}_") for counter in counters):
                named |= target.metrics(counters)
        if self.balance is not None:
            weights = zip(self.targets.items(), self.balance.weights().tolist(), strict=True)
            named |= {f"balance/{name}": target.config.weight * weight for (name, target), weight in weights}
        return named

    def display(
        self, sample: ReconstructionSample, outputs: dict[str, Tensor], index: int, title: str
    ) -> "Figure | None":
        """The event with its predicted and, where there is truth, true direction and position."""
        predicted = sample.physical(self.targets, outputs)
        row = {name: column[index] for name, column in predicted.items()}
        true = {name: column[index] for name, column in self.events.true_columns(sample).items()}
        text = [self.events.text(row)]
        if true:
            text.append(f"true {self.events.text(true)}")
        marks = {"predicted": self.events.marks(row), "true": self.events.marks(true)}
        return draw_event(self.spec, sample.batch, index, f"{title}: {', '.join(filter(None, text))}", marks)

    def predicted(
        self, batch: Batch, sample: ReconstructionSample, outputs: dict[str, Tensor], spec: Spec
    ) -> EventTable:
        """See `PredictionTask.predicted` and `EventTargets.columns`."""
        return EventTable(self.events.columns(batch, sample, outputs, spec), self.events.units)

    def report(self, splits: Splits, folder: Path, provenance: dict[str, str], scores: bool) -> ReconstructionReport:
        """See `PredictionTask.report`."""
        return ReconstructionReport(self.events, self.config.report, splits.test.source, folder, provenance, scores)

    def _examples(
        self, selection: Selection, device: torch.device
    ) -> Iterator[tuple[Any, dict[str, tuple[Tensor, Tensor]]]]:
        """See `FittedNetwork.fit`: inputs and targets of all entries of a selection."""
        entries = selection.entries
        for first in progress(range(0, len(entries), FITTED_AT_ONCE), "reading batches of events to fit the network"):
            sample = self.prepare(selection.source.read(entries[first : first + FITTED_AT_ONCE]).to(device))
            yield sample.input, sample.truth

    def _rate_scale(self, totals: Tensor) -> float:
        images, most = totals[-2:].tolist()
        return 1 / max(images / most, LEAST_SHARE)

    def _images(self, sample: ReconstructionSample) -> tuple[int, int]:
        """The number of images, and how many there could be, over all containers of telescopes."""
        images = most = 0
        for name, container in sample.batch.inputs.items():
            if isinstance(container, CameraImages):
                images += sum(map(len, container.cameras))
                most += len(sample) * len(self.spec[name].telescope_ids)
        return images, most

    def _outputs(self, module: nn.Module, sample: ReconstructionSample) -> dict[str, Tensor]:
        return {name: output.float() for name, output in module(sample.input).items()}

    def _target(
        self, target: Target, columns: dict[str, Tensor], weight: Tensor, frame: Frame
    ) -> tuple[Tensor, Tensor]:
        values = target.of(columns[target.column.name], frame)
        signals = self.events.signal_column
        if target.signal_only and signals is not None and signals.name in columns:
            weight = weight * (columns[signals.name] == self.events.signal)
        return values, target.weights(values, weight)


def _fit_classes(target: ClassTarget, classes: np.ndarray) -> None:
    counts = [int((classes == row).sum()) for row in range(len(target.names))]
    target.fit(counts)
    if max(counts) == sum(counts):
        only = target.names[int(np.argmax(counts))]
        raise DataError(
            f"task.targets.{target.name}.weight: is not 0, but all {sum(counts)} entries to train on are {only}; read "
            f"others, too, or use task.targets.{target.name}.weight=0"
        )


def _is_array(spec: Spec) -> bool:
    arrays = [part for part in spec.inputs.values() if isinstance(part, CameraImagesSpec)]
    return any(array.mode == "stereo" for array in arrays)


def _tensor(values: np.ndarray) -> Tensor:
    """Classes as they are, numbers as float32."""
    return torch.from_numpy(values if values.dtype.kind == "i" else values.astype(np.float32))
