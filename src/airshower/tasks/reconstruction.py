"""Reconstruction of showers from the images of Cherenkov telescopes: primary, energy, direction, core and depth."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from airshower.config.fields import choice, number, section
from airshower.data.showers import IactSpec, ShowerBatch, Showers, TelescopeImages
from airshower.data.source import Selection, Source, Splits
from airshower.data.telescopes import common_pointing, unit_vector
from airshower.errors import DataError, UserError
from airshower.tasks.balance import UncertaintyBalance
from airshower.tasks.loss_terms import LossTerms
from airshower.tasks.reconstruction_report import ReconstructionReport
from airshower.tasks.shower_performance import ReportConfig, check_observables
from airshower.tasks.shower_sample import Sample
from airshower.tasks.shower_targets import (
    Core,
    Depth,
    Direction,
    Energy,
    Frame,
    RegressionConfig,
    Target,
    direction_at,
    in_fields_of_view,
)
from airshower.tasks.shower_type import PrimaryType, TypeConfig
from airshower.tasks.task import Phase
from airshower.writers.figures import Figure
from airshower.writers.shower_figures import event_images, shower_display

HEADLINE = {
    "type": {"accuracy": "accuracy", "AUC": "AUC"},
    "energy": {"energy/resolution": "energy resolution"},
    "direction": {"direction/resolution": "angle (deg)"},
    "core": {"core/resolution": "core (m)"},
    "x_max": {"x_max/error": "x_max (g/cm2)"},
}
REGRESSIONS = {"energy": Energy, "direction": Direction, "core": Core, "x_max": Depth}
LEAST_SHARE = 0.1  # of telescopes that count as triggered in the learning rate


class Reconstruction:
    """The sum of the targets' losses: each the mean over the step's entries, weighted by `Showers.weight` and by class.

    A target's `weight` 0 leaves it out. With `only_gammas` all but the type are learned from, and judged by, gammas
    alone. An entry has no part in targets of which its truth is not known.

    With `balance` uncertainty the terms are weighed by `UncertaintyBalance`, beside their weights; the metric `loss`
    has none of that, so that runs can be compared. `scale_learning_rate` divides that of a step by the share of
    telescopes that have an image, at least 0.1, as in deep-learning-CTA: gradients are weak where few see the shower.
    """

    reads = "telescope_images"
    plan = None

    @dataclass
    class Config:
        """`task.*`."""

        type: TypeConfig = section(TypeConfig)
        energy: RegressionConfig = section(RegressionConfig)
        direction: RegressionConfig = section(RegressionConfig)
        core: RegressionConfig = section(RegressionConfig)
        x_max: RegressionConfig = field(default_factory=lambda: RegressionConfig(weight=0.0))
        only_gammas: bool = True
        balance: str = choice("fixed", "uncertainty")
        balance_learning_rate: float = number(0.025, above=0.0)
        scale_learning_rate: bool = False
        report: ReportConfig = section(ReportConfig)

    def __init__(self, config: Config, spec: IactSpec, make_input: Callable[[tuple[TelescopeImages, ...], int], Any]):
        check_observables(config.report.observables)
        self.config, self.spec, self.make_input = config, spec, make_input
        self.targets = _targets(config, spec)
        self.outputs = {name: target.channels for name, target in self.targets.items()}
        self.headline = {"loss": "loss"}
        for name in self.targets:
            self.headline |= HEADLINE[name]
        self.score = "AUC" if "type" in self.targets else "negative_loss"
        self.gamma = next((row for row, name in enumerate(spec.classes) if "gamma" in name.split("+")), -1)
        if config.only_gammas and self.gamma < 0 and len(self.targets) > ("type" in self.targets):
            raise UserError("task.only_gammas: none of data.classes is gamma; use task.only_gammas=false")
        if config.scale_learning_rate and spec.mode == "mono":
            raise UserError("task.scale_learning_rate: an entry of data.mode=mono is one image; use data.mode=stereo")
        self.balance: UncertaintyBalance | None = None  # while training
        self._position = torch.from_numpy(spec.position[:, :2]).float()

    def check(self, source: Source) -> None:
        """Raises `DataError` for observations: training needs the truth."""
        if "interaction" not in source.truth(np.arange(0), ("interaction",)):
            raise DataError("data: training needs simulated showers, but these are observations")

    def fit(self, selection: Selection, _: nn.Module) -> None:
        """See `Task.fit`. Raises `DataError` where all entries are of one class, and for a target whose truth none of
        those has that it is learned from."""
        needs = (name for target in self.targets.values() for name in target.needs)
        truth = selection.source.truth(selection.entries, ("interaction", *needs))
        counts = [int((truth["interaction"] == name).sum()) for name in self.spec.classes]
        if isinstance(kinds := self.targets.get("type"), PrimaryType):
            kinds.fit(counts)
            if max(counts) == sum(counts):
                only = self.spec.classes[int(np.argmax(counts))]
                raise DataError(
                    f"task.type.weight: is not 0, but all {sum(counts)} entries to train on are {only}; read other "
                    "primaries, too, or use task.type.weight=0"
                )
        for name, target in self.targets.items():
            used = truth["interaction"] == self.spec.classes[self.gamma] if target.only_gammas else slice(None)
            if target.needs and not _any_known([truth[need][used] for need in target.needs if need in truth]):
                kind, wanted = "gamma" if target.only_gammas else "entry", " and ".join(target.needs)
                raise DataError(
                    f"task.{name}.weight: is not 0, but no {kind} to train on has a true {wanted}; use "
                    f"task.{name}.weight=0"
                )

    def prepare(self, batch: ShowerBatch) -> Sample:
        """See `Task.prepare`."""
        frame = self._frame(batch)
        targets = None
        if batch.showers is not None:
            targets = {name: self._target(target, batch.showers, frame) for name, target in self.targets.items()}
        return Sample(self.make_input(batch.images, len(batch)), batch.images, batch.showers, frame, targets)

    def products(self, batch: ShowerBatch, _: Sample) -> dict[str, Any]:
        """Images and showers as read; by camera where there are several."""
        found = {}
        for camera, images in zip(self.spec.cameras, batch.images, strict=True):
            found |= {f"{camera.name} charge": images.charge, f"{camera.name} time": images.time}
        if batch.showers is not None:
            found |= {"energy": batch.showers.energy, "primary": batch.showers.primary}
        return found

    def phases(self, network: nn.Module) -> list[Phase]:
        """One phase: all weights, one optimizer."""

        def loss(module: nn.Module, sample: Sample, totals: Tensor) -> tuple[LossTerms, dict[str, Tensor]]:
            outputs = self._outputs(module, sample)
            return self.loss(outputs, sample), outputs

        if self.config.balance == "uncertainty":
            device = next(network.parameters()).device
            self.balance = UncertaintyBalance(len(self.targets), self.config.balance_learning_rate).to(device)
        scale = self._rate_scale if self.config.scale_learning_rate else None
        return [Phase("reconstruction", network, loss, self.balance, scale)]

    def totals(self, sample: Sample) -> Tensor:
        """The weight of each target's term, the number of images, and how many there could be; float64
        [targets + 2]."""
        weights = [weight.double().sum() for _, weight in sample.truth.values()]
        images, most = sum(map(len, sample.images)), len(sample.frame.pointing) * len(self.spec.telescope_ids)
        return torch.stack([*weights, *weights[0].new_tensor([images, most])])

    def normaliser(self, totals: Tensor) -> Tensor:
        """The weights of the terms."""
        return totals[:-2]

    def loss(self, outputs: dict[str, Tensor], sample: Sample) -> LossTerms:
        """One term for each target."""
        terms = []
        for name, (truth, weight) in sample.truth.items():
            output = outputs[name]
            terms.append((weight.to(output.dtype) * self.targets[name].loss(output, truth)).sum())
        return LossTerms(torch.stack(terms), self.normaliser(self.totals(sample)).to(terms[0].dtype))

    def evaluate(
        self, network: nn.Module, sample: Sample, over_ranks: Callable[[Tensor], Tensor]
    ) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """See `Task.evaluate`."""
        outputs = self._outputs(network, sample)
        if sample.targets is None:
            return outputs, {}
        return outputs, self.count(sample, outputs, self.loss(outputs, sample))

    def count(self, sample: Sample, outputs: dict[str, Tensor], terms: LossTerms) -> dict[str, Tensor]:
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
        for target in self.targets.values():
            named |= target.metrics(counters)
        if self.balance is not None:
            weights = zip(self.targets, self.balance.weights().tolist(), strict=True)
            named |= {f"balance/{name}": getattr(self.config, name).weight * weight for name, weight in weights}
        return named

    def display(self, sample: Sample, outputs: dict[str, Tensor], index: int, title: str) -> Figure:
        """The images of an event with its predicted and, where there is truth, true direction."""
        predicted = sample.physical(self.targets, outputs)
        text = [f"{name} {column[index]}" for name, column in predicted.items() if name == "type"]
        if "energy" in predicted:
            text.append(f"{predicted['energy'][index]:.3g} TeV")
        directions = {}
        if "direction" in self.targets:
            place = slice(index, index + 1)
            (found,) = direction_at(outputs["direction"][place], sample.frame.pointing[place])
            directions["predicted"] = in_fields_of_view(found, sample.images, index)
        if sample.showers is not None:
            shower = sample.showers
            text.append(f"true {self.spec.classes[int(shower.primary[index])]} {float(shower.energy[index]):.3g} TeV")
            directions["true"] = in_fields_of_view(shower.direction[index], sample.images, index)
        images = event_images(sample.images, index)
        return shower_display(self.spec, images, directions, ": ".join([title, ", ".join(text)]))

    def report(self, splits: Splits, folder: Path, provenance: dict[str, str], scores: bool) -> ReconstructionReport:
        """See `Task.report`."""
        signal = self.spec.classes[max(self.gamma, 0)]
        source, options = splits.whole.source, self.config.report
        return ReconstructionReport(self.targets, signal, options, source, folder, provenance, scores)

    def _rate_scale(self, totals: Tensor) -> float:
        images, most = totals[-2:].tolist()
        return 1 / max(images / most, LEAST_SHARE)

    def _outputs(self, module: nn.Module, sample: Sample) -> dict[str, Tensor]:
        return {name: output.float() for name, output in module(sample.input).items()}

    def _target(self, target: Target, showers: Showers, frame: Frame) -> tuple[Tensor, Tensor]:
        truth = target.of(showers, frame)
        part = showers.weight * (showers.primary == self.gamma) if target.only_gammas else showers.weight
        return truth, target.weights(truth, part)

    def _frame(self, batch: ShowerBatch) -> Frame:
        """The common pointing of an event's telescopes; cores are relative to the telescope (mono) or to the middle of
        the array (stereo)."""
        event = torch.cat([images.event for images in batch.images])
        telescope = torch.cat([images.telescope for images in batch.images])
        ahead = unit_vector(torch.cat([images.pointing for images in batch.images]).double())
        pointing = common_pointing(ahead, event, len(batch)).float()
        self._position = self._position.to(event.device)
        origin = self._position.mean(0).expand(len(batch), 2)
        if self.spec.mode == "mono":
            origin = origin.index_copy(0, event, self._position[telescope])
        return Frame(pointing, origin)


def _any_known(columns: list[np.ndarray]) -> bool:
    return bool(columns) and bool(np.all(np.isfinite(columns), 0).any())


def _targets(config: Reconstruction.Config, spec: IactSpec) -> dict[str, Target]:
    targets: dict[str, Target] = {}
    if config.type.weight:
        targets["type"] = PrimaryType(config.type, spec)
    for name, kind in REGRESSIONS.items():
        options = getattr(config, name)
        if options.weight:
            targets[name] = kind(options, config.only_gammas)
    if not targets:
        raise UserError(f"task: all weights are 0; give one of type, {', '.join(REGRESSIONS)} another")
    return targets
