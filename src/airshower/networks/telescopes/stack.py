"""Boosted trees over what a trained network of telescopes says and what is measured of its images: a stack of both
(Wolpert, Neural Networks 5 (1992) 241)."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import NamedTuple, Self

import numpy as np
import torch
from torch import Tensor, nn

from airshower.config.fields import number, section
from airshower.config.schema import FrameworkConfig
from airshower.data.batch import Batch
from airshower.data.containers import CameraImages
from airshower.data.spec import Spec
from airshower.networks.network import FITS, FittedNetwork, Start
from airshower.networks.telescopes.config import TelescopeNetworkConfig
from airshower.networks.telescopes.ellipses import MISSING, Cleaning
from airshower.networks.telescopes.inputs import ArrayInput, ArrayView
from airshower.networks.telescopes.kind_trees import KindTrees, TreesConfig, named
from airshower.networks.telescopes.measured import ArrayImages, Measure, Measured, array_images, to_frame
from airshower.networks.telescopes.network import TelescopeNetwork

PLACES = ("direction", "core")
CLASSES = "type"
FARTHEST = 1.0  # deg or 100 m between network and axes, from which on an event weighs no more
Target = tuple[Tensor, Tensor]


@dataclass
class StackConfig(TreesConfig):
    """`network.*`."""

    member: TelescopeNetworkConfig = section(TelescopeNetworkConfig)
    picture: float = number(10.0, above=0.0)
    boundary: float = number(5.0, above=0.0)
    least_charge: float = number(50.0, low=0.0)


class StackInput(NamedTuple):
    """A batch as the member takes it, and its images."""

    array: ArrayInput
    images: ArrayImages


class StackNetwork(FittedNetwork):
    """`StackInput` -> the task's `outputs`, keyed by name [entries, channels].

    The `member` is a trained network, which stays as it is; trees are boosted over its outputs, the parameters of the
    images (means weighted with charge, and of the brightest one), and where the axes of the images meet. They give
    `type`; corrections that are added to single numbers such as `energy`; and where `direction` and `core` lie on the
    line from the member's (0) to where the axes meet (1). All other outputs are the member's.
    """

    Config = StackConfig
    takes = MappingProxyType({"images": CameraImages})
    tasks = ("reconstruction",)

    def __init__(self, config: StackConfig, spec: Spec, outputs: dict[str, int], framework: FrameworkConfig):
        super().__init__()
        self.member = TelescopeNetwork(config.member, spec, outputs, framework).requires_grad_(False)
        self.measure = Measure(spec["images"], Cleaning(config.picture, config.boundary, config.least_charge))
        self.trees = nn.ModuleDict()
        for name, channels in outputs.items():
            if name in (CLASSES, *PLACES) or channels == 1:
                classes = channels if name == CLASSES else 0
                self.trees[f"of_{name}"] = KindTrees(config, framework.seed, 1, classes)  # a ModuleDict has a "type"
        self.eval()

    @classmethod
    def starts(cls, config: StackConfig) -> Mapping[str, Start]:
        """See `Network`."""
        return FITS

    @classmethod
    def view(cls, spec: Spec) -> Callable[[Batch], StackInput]:
        """See `Network`."""
        view = ArrayView(spec["images"])
        return lambda batch: StackInput(view(batch), array_images(batch))

    @property
    def trunk(self) -> nn.Module:
        """See `FittedNetwork`."""
        return self.member

    def train(self, mode: bool = True) -> Self:
        """The member has the running statistics of its training, also while trees are fitted."""
        super().train(mode)
        self.member.eval()
        return self

    def forward(self, given: StackInput) -> dict[str, Tensor]:
        """See the class."""
        outputs = {name: output.float() for name, output in self.member(given.array).items()}
        measured = self.measure(given.images)
        meeting = _meeting(measured, given.images)
        features = _features(outputs, measured, meeting)
        for name, output in outputs.items():
            if f"of_{name}" not in self.trees or not (trees := named(self.trees, f"of_{name}")).known.all():
                continue
            values = trees.of_images(features, np.zeros(len(features), np.int64))[0]
            if name == CLASSES:
                outputs[name] = values
            elif name in PLACES:
                line = torch.nan_to_num(meeting[name] - output[:, :2])
                outputs[name] = torch.cat([output[:, :2] + values.clamp(0, 1) * line, output[:, 2:]], 1)
            else:
                outputs[name] = output + values
        return outputs

    @torch.no_grad()
    def fit(self, examples: Iterable[tuple[StackInput, Mapping[str, Target]]]) -> None:
        """See `FittedNetwork`. The events must be others than the member was trained on."""
        parts: dict[str, list] = defaultdict(list)
        for given, targets in examples:
            outputs = {name: output.float() for name, output in self.member(given.array).items()}
            measured = self.measure(given.images)
            meeting = _meeting(measured, given.images)
            features = _features(outputs, measured, meeting)
            for name, (values, weight) in targets.items():
                if f"of_{name}" in self.trees:
                    learned = _learned(name, outputs[name], meeting, values, weight)
                    parts[name].append((features, *(part.cpu().numpy() for part in learned)))
        for name, of_name in parts.items():
            features, values, weight = (np.concatenate(columns) for columns in zip(*of_name, strict=True))
            named(self.trees, f"of_{name}").fit(features, np.zeros(len(features), np.int64), values, weight)


def _meeting(measured: Measured, images: ArrayImages) -> dict[str, Tensor]:
    """Where axes meet, as outputs for direction and core [entries, 2]; NaN where they don't."""
    crossings = measured.crossings
    places = to_frame(crossings.direction, crossings.core, images.frame)
    for name, values in zip(PLACES, (crossings.direction, crossings.core), strict=True):
        places[name][~np.isfinite(values[:, 0])] = torch.nan
    return places


def _features(outputs: Mapping[str, Tensor], measured: Measured, meeting: Mapping[str, Tensor]) -> np.ndarray:
    """What trees are given of each entry, f8 [entries, features]; `MISSING` where there is no value."""
    columns = [output.double().cpu().numpy() for output in outputs.values()]
    for name, place in meeting.items():
        columns.append(place.double().cpu().numpy())
        if name in outputs:
            line = (place - outputs[name][:, :2]).double().cpu().numpy()
            columns += [line, np.linalg.norm(line, axis=1, keepdims=True)]
    entry = measured.ellipses.entry
    charge = measured.ellipses.charge
    total = np.bincount(entry, charge, measured.entries)[:, None]
    weighted = charge[:, None] * measured.shower
    with np.errstate(invalid="ignore", divide="ignore"):  # entries without images
        mean = np.stack([np.bincount(entry, column, measured.entries) for column in weighted.T], 1) / total
        columns += [mean, np.log10(total)]
    brightest = np.full_like(mean, np.nan)
    order = np.argsort(charge, kind="stable")
    brightest[entry[order]] = measured.shower[order]  # of several images of an entry the last one stays
    features = np.concatenate([*columns, brightest], 1)
    return np.where(np.isfinite(features), features, MISSING)


def _learned(
    name: str, output: Tensor, meeting: Mapping[str, Tensor], values: Tensor, weight: Tensor
) -> tuple[Tensor, Tensor]:
    """What trees learn of an output and with which weights, [entries] each. Of a place it is where on the line from the
    member's to where the axes meet the nearest point to the true one is, weighted with the line's length."""
    if name == CLASSES:
        return values, weight
    if name not in PLACES:
        return torch.nan_to_num(values[:, 0] - output[:, 0]), weight
    true = torch.rad2deg(values[:, :2] / values[:, 2:]) if name == "direction" else values
    line = meeting[name] - output[:, :2]
    length = line.norm(dim=1)
    nearest = ((true - output[:, :2]) * line).sum(1) / length.square()
    usable = nearest.isfinite() & (weight > 0)
    return nearest.nan_to_num(0.0, 0.0, 0.0).clamp(-1, 2), torch.where(usable, weight * length.clamp_max(FARTHEST), 0.0)
