"""Classical reconstruction of HAWC's tanks as a network: the files' fits, and estimators that scikit-learn fits."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from types import MappingProxyType
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from airshower.config.fields import choice, number
from airshower.config.schema import FrameworkConfig
from airshower.data.batch import Batch
from airshower.data.containers import Images, Table
from airshower.data.spec import Spec
from airshower.errors import UserError
from airshower.networks.layers.trees import Trees
from airshower.networks.layers.weighted_sum import WeightedSum
from airshower.networks.network import FITS, FittedNetwork, Start, check_follows
from airshower.networks.tanks.shower_numbers import ShowerNumbers, check_names

CHANNELS = ["charge"]
FEATURES = {"annuli": "energy", "cuts": "cuts", "forest": "every"}  # fields of `Numbers`, by estimator
KINDS = {"annuli": WeightedSum, "cuts": WeightedSum, "forest": Trees}
FITTED = ("energy", "type")
OUTPUTS = {"type": 2, "energy": 1, "direction": 2, "core": 2}


@dataclass
class HawcFitsConfig:
    """`network.*`."""

    energy: str = choice("forest", "annuli")
    type: str = choice("forest", "cuts")
    channels: list[str] = field(default_factory=lambda: [*CHANNELS])
    annuli: list[float] = field(default_factory=lambda: [10.0, 20.0, 30.0, 40.0, 50.0, 60.0, 80.0, 100.0, 150.0])
    trees: int = number(300, low=1)
    leaves: int = number(16, low=2)
    least: int = number(20, low=1)
    learning_rate: float = number(0.05, above=0.0, high=1.0)
    sample: float = number(0.5, above=0.0, high=1.0)


class HawcFits(FittedNetwork):
    """Images of charge, reconstructed quantities and the frame's origin -> the task's `outputs` among type, energy,
    direction and core, keyed by name [n, channels]. Raises `UserError` for other outputs.

    `direction` (degrees from the zenith) and `core` (100 m from the frame's origin, the task's default scale) are the
    file's plane and core fits.

    `energy=annuli` is after HAWC's two estimators (arXiv:1905.12518). From the ground parameter: the logarithm of the
    energy is linear in that of the charge density at a distance from the axis, and the zenith angle corrects for the
    attenuation. From the neural network: the inputs are charges in annuli around the axis, the fraction of PMTs with a
    hit, the zenith angle, and the distance of the core from the middle of the array. Simplified: densities are means
    over annuli instead of values of a fitted lateral distribution, the attenuation is one term, linear in
    1 / cos(zenith), and a ridge regression takes the place of the neural network.

    `type=cuts` has the two quantities of HAWC's cuts on gammas (arXiv:1701.01778), compactness, nHit / CxPE40, and
    PINC, in a logistic regression on their logarithms and that of nHit; HAWC has two thresholds in each bin of size.

    `forest` is boosted trees (Friedman 2001, with samples as in Friedman 2002) on these and more summary numbers.
    """

    Config = HawcFitsConfig
    takes = MappingProxyType({"images": Images, "parameters": Table})
    tasks = ("reconstruction",)

    def __init__(self, config: HawcFitsConfig, spec: Spec, outputs: dict[str, int], framework: FrameworkConfig):
        super().__init__()
        _check(config, outputs)
        self.config = config
        self.seed = framework.seed
        self.names = tuple(outputs)
        self.learned = [name for name in FITTED if name in outputs]
        self.numbers = ShowerNumbers(spec, config.annuli)
        self.choices = {"energy": config.energy, "type": config.type}
        self.estimators = nn.ModuleDict()
        for name in self.learned:
            self.estimators[f"of_{name}"] = self._untrained(self.choices[name])  # a ModuleDict can't have a "type"

    @classmethod
    def check_data(cls, config: Any, data: Any) -> None:
        """See `Network`."""
        if config.channels != CHANNELS:
            raise UserError(f"network.channels=[{','.join(config.channels)}]: must be [{','.join(CHANNELS)}]")
        check_follows(config, data, "channels")
        check_names(data.parameters)

    @classmethod
    def starts(cls, config: Any) -> Mapping[str, Start]:
        """See `Network`."""
        return FITS

    @classmethod
    def view(cls, spec: Spec) -> Callable[[Batch], tuple[Tensor, Tensor, Tensor]]:
        """See `Network`: images, quantities and origins."""

        def of(batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
            assert batch.frame is not None
            return batch["images"].values, batch["parameters"].values, batch.frame.origin

        return of

    def forward(self, given: tuple[Tensor, Tensor, Tensor]) -> dict[str, Tensor]:
        """See the class."""
        numbers = self.numbers(*given)
        outputs: dict[str, Tensor] = {"direction": numbers.direction, "core": numbers.core}
        for name in self.learned:
            features = getattr(numbers, FEATURES[self.choices[name]])
            outputs[name] = self.estimators[f"of_{name}"](features)
        if "type" in self.names:  # log odds of the second class as logits
            outputs["type"] = torch.cat([torch.zeros_like(outputs["type"]), outputs["type"]], 1)
        return {name: outputs[name] for name in self.names}

    @torch.no_grad()
    def fit(self, examples: Iterable[tuple[Any, Mapping[str, tuple[Tensor, Tensor]]]]) -> None:
        """See `FittedNetwork`: learn the estimators of energy and type from events that have a weight. Raises
        `UserError` where only events of one class have any."""
        parts: dict[str, list[list[np.ndarray]]] = defaultdict(list)
        for given, targets in examples:
            numbers = self.numbers(*given)
            for name in self.learned:
                values, weight = targets[name]
                features = getattr(numbers, FEATURES[self.choices[name]])
                used = weight > 0
                parts[name].append([column[used].double().cpu().numpy() for column in (features, values, weight)])
        for name, of_name in parts.items():
            features, values, weight = (np.concatenate(columns) for columns in zip(*of_name, strict=True))
            if name == "type" and len(np.unique(values)) < 2:
                raise UserError("task.type.class_weights: hawc_fits needs two classes that have a weight above 0")
            model = self._model(name)
            last = f"{model.steps[-1][0]}__" if self.choices[name] != "forest" else ""  # a step of a pipeline
            model.fit(features, values.ravel(), **{f"{last}sample_weight": weight})
            estimator = KINDS[self.choices[name]].from_sklearn(model)
            self.estimators[f"of_{name}"] = estimator.to(self.numbers.position.device)

    def _untrained(self, estimator: str) -> nn.Module:
        """The arrays of an estimator, of the shapes that it will have."""
        if estimator == "forest":
            return Trees(self.config.trees, self.config.leaves)
        return WeightedSum(self.numbers.sizes[FEATURES[estimator]])

    def _model(self, name: str) -> Any:
        """The model of scikit-learn for an output."""
        from sklearn.ensemble import GradientBoostingClassifier, GradientBoostingRegressor
        from sklearn.linear_model import LogisticRegression, Ridge
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import StandardScaler

        if self.choices[name] != "forest":
            return make_pipeline(StandardScaler(), LogisticRegression() if name == "type" else Ridge())
        kind = GradientBoostingClassifier if name == "type" else GradientBoostingRegressor
        return kind(
            n_estimators=self.config.trees, max_leaf_nodes=self.config.leaves, min_samples_leaf=self.config.least,
            learning_rate=self.config.learning_rate, subsample=self.config.sample, max_depth=None,
            max_features="sqrt", random_state=self.seed,
        )  # fmt: skip


def _check(config: HawcFitsConfig, outputs: Mapping[str, int]) -> None:
    if not config.annuli or config.annuli[0] <= 0 or any(high <= low for low, high in pairwise(config.annuli)):
        raise UserError(f"network.annuli={config.annuli}: must be radii above 0 in ascending order, m")
    for name, channels in outputs.items():
        if OUTPUTS.get(name) != channels:
            raise UserError(f"task.targets.{name}: hawc_fits gives {', '.join(OUTPUTS)}; leave out others by weight=0")
