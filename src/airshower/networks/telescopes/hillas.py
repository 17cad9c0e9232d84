"""Classical reconstruction of telescopes' images as a network: Hillas' ellipses, axes that meet, boosted trees."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
import torch
from torch import Tensor, nn

from airshower.config.fields import number
from airshower.config.schema import FrameworkConfig
from airshower.data.batch import Batch
from airshower.data.containers import CameraImages
from airshower.data.spec import Spec
from airshower.data.truth import Frame
from airshower.errors import UserError
from airshower.networks.network import FITS, FittedNetwork, Start
from airshower.networks.telescopes.ellipses import Cleaning
from airshower.networks.telescopes.kind_trees import KindTrees, TreesConfig, named
from airshower.networks.telescopes.lone_images import LoneImages, lone_targets
from airshower.networks.telescopes.measured import (
    ArrayImages,
    Measure,
    Measured,
    array_images,
    cores_of,
    directions_of,
    to_frame,
)

GEOMETRIC = {"direction": 2, "core": 2}
CLASSES = "type"
Target = tuple[Tensor, Tensor]


@dataclass
class HillasConfig(TreesConfig):
    """`network.*`."""

    picture: float = number(10.0, above=0.0)
    boundary: float = number(5.0, above=0.0)
    least_charge: float = number(50.0, low=0.0)


class HillasNetwork(FittedNetwork):
    """Images and the frame of targets -> the task's `outputs`, keyed by name [entries, channels].

    Images are cleaned by tail cuts and described by Hillas' ellipses (ICRC 1985); those of `least_charge` p.e. are
    used. `direction` (degrees from the frame's axis) and `core` (100 m from its origin, the task's default scale) are
    where the planes through the axes of two or more images meet, see `find_crossings`, and for a single image what
    trees say, see `LoneImages`. `type` and numbers such as `energy` are means over images of what trees give, of
    probabilities and numbers, weighted with the images' charge. An entry without a used image gets the axis, the
    origin, and the mean of the training events.

    Trees are boosted for each kind of telescope; for types only where there are images of all classes. Raises
    `UserError` for outputs that it can't give.
    """

    Config = HillasConfig
    takes = MappingProxyType({"images": CameraImages})
    tasks = ("reconstruction",)

    def __init__(self, config: HillasConfig, spec: Spec, outputs: dict[str, int], framework: FrameworkConfig):
        super().__init__()
        check_outputs(outputs)
        self.outputs = dict(outputs)
        self.measure = Measure(spec["images"], Cleaning(config.picture, config.boundary, config.least_charge))
        self.learned = [name for name in outputs if name not in GEOMETRIC]
        self.trees = nn.ModuleDict()
        for name in self.learned:
            classes = outputs[name] if name == CLASSES else 0
            self.trees[f"of_{name}"] = KindTrees(config, framework.seed, self.measure.kinds, classes)  # no "type" there
            self.register_buffer(f"usual_{name}", torch.zeros(outputs[name]))
        self.lone = LoneImages(config, framework.seed, self.measure.kinds)

    @classmethod
    def starts(cls, config: HillasConfig) -> Mapping[str, Start]:
        """See `Network`: what its planes and images give is of this scale."""
        return FITS

    @classmethod
    def view(cls, spec: Spec) -> Callable[[Batch], ArrayImages]:
        """See `Network`."""
        return array_images

    def forward(self, given: ArrayImages) -> dict[str, Tensor]:
        """See the class."""
        measured = self.measure(given)
        outputs = {name: self._mean(name, measured) for name in self.learned}
        outputs |= to_frame(*self._places(measured), given.frame)
        return {name: outputs[name] for name in self.outputs}

    @torch.no_grad()
    def fit(self, examples: Iterable[tuple[ArrayImages, Mapping[str, Target]]]) -> None:
        """See `FittedNetwork`. Raises `UserError` where no image can be used, or where there are images of all classes
        that have a weight for no kind of telescope."""
        of_images: dict[str, list] = defaultdict(list)
        of_events: dict[str, list] = defaultdict(list)
        for given, targets in examples:
            measured = self.measure(given)
            ellipses = measured.ellipses
            for name in self.learned:
                values, weight = (part.double().cpu().numpy() for part in targets[name])
                of_events[name].append((values.ravel(), weight))
                rows = ellipses.entry
                of_images[name].append((measured.shower, ellipses.kind, values.ravel()[rows], weight[rows]))
            for name, (values, weight) in lone_targets(ellipses, *_truth(given.frame, targets)).items():
                of_images[name].append((measured.alone, ellipses.kind, values, weight))
        for name, parts in of_images.items():
            features, kind, values, weight = (np.concatenate(columns) for columns in zip(*parts, strict=True))
            if not len(kind):
                raise UserError("network.least_charge: no image to train on is left; lower it, or the tail cuts")
            trees = self._trees(name) if name in self.learned else named(self.lone.estimators, name)
            trees.fit(features, kind, values, weight)
        self._keep_means(of_events)

    def _keep_means(self, of_events: Mapping[str, list]) -> None:
        """The outputs of entries without images."""
        for name, parts in of_events.items():
            values, weight = (np.concatenate(columns) for columns in zip(*parts, strict=True))
            used = weight > 0
            if name == CLASSES:
                if not self._trees(name).known.any():
                    raise UserError("task.type.class_weights: needs images of all classes, with weights above 0")
                share = np.bincount(values[used].astype(int), weight[used], self.outputs[name])
                usual = np.log(share / share.sum())
            else:
                usual = np.average(values[used], weights=weight[used], keepdims=True)
            self.get_buffer(f"usual_{name}").copy_(torch.from_numpy(usual))

    def _mean(self, name: str, measured: Measured) -> Tensor:
        """A learned output [entries, channels] from those of images."""
        usual = self.get_buffer(f"usual_{name}")
        values, known = self._trees(name).of_images(measured.shower, measured.ellipses.kind)
        values = values.softmax(1) if name == CLASSES else values
        entry = torch.from_numpy(measured.ellipses.entry).to(usual.device)
        weight = torch.from_numpy(measured.ellipses.charge).float().to(usual.device) * known
        sums = usual.new_zeros(measured.entries, 1 + values.shape[1])
        sums = sums.index_add(0, entry, weight[:, None] * torch.cat([torch.ones_like(values[:, :1]), values], 1))
        mean = sums[:, 1:] / sums[:, :1]
        return torch.where(sums[:, :1] > 0, mean.log() if name == CLASSES else mean, usual)

    def _trees(self, name: str) -> KindTrees:
        return named(self.trees, f"of_{name}")

    def _places(self, measured: Measured) -> tuple[np.ndarray, np.ndarray]:
        """Direction and core of each entry, see `Crossings`."""
        alone = self.lone(measured.ellipses, measured.alone)
        entry = measured.ellipses.entry
        single = np.bincount(entry, minlength=measured.entries)[entry] == 1
        direction, core = measured.crossings.direction.copy(), measured.crossings.core.copy()
        direction[entry[single]] = alone.direction[single]
        core[entry[single]] = alone.core[single]
        return direction, core


def _truth(frame: Frame, targets: Mapping[str, Target]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """True directions, cores and weights as `lone_targets` takes them, NaN where they are no targets."""
    entries = len(frame.axis)
    direction, core = np.full((entries, 3), np.nan), np.full((entries, 2), np.nan)
    weight = np.zeros(entries)
    if "direction" in targets:
        values, of_direction = (part.double().cpu().numpy() for part in targets["direction"])
        direction, weight = directions_of(values, frame), of_direction
    if "core" in targets:
        core = cores_of(targets["core"][0].cpu().numpy(), frame)
    return direction, core, weight


def check_outputs(outputs: Mapping[str, int]) -> None:
    """Raise `UserError` for outputs other than types, directions and cores by these names, and single numbers."""
    for name, channels in outputs.items():
        if name != CLASSES and GEOMETRIC.get(name, 1) != channels:
            raise UserError(
                f"task.targets.{name}: the classical reconstruction gives type, direction, core and single numbers, "
                "without predicted errors; leave out others by weight=0"
            )
