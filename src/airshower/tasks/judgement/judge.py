"""What generated events differ in from real ones, beside what other real events do: the floor of each distance."""

from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np

from airshower.data.tanks import Quantity
from airshower.runtime.log import logger
from airshower.tasks.judgement import distances
from airshower.tasks.judgement.closure import Closure, closures, deviation
from airshower.tasks.judgement.distances import Scores
from airshower.tasks.judgement.sample import LEAST, Events
from airshower.tasks.judgement.transfer import Transfer, transfer

MOST_IMAGES = 4000  # of each sample, that a classifier of images learns from: 48 MB of both in charge and time
NEAR = 0.01  # the share of real events that are nearer to the training events than what is called near
COPIES = 5.0  # standard errors below 1/2: of a classifier that saw an event's copy among those of the other sample


@dataclass(frozen=True, eq=False)
class Differences:
    """Of another sample from the real one: `values` and, where known, standard `errors` by metric; `scores` by metric
    are the classifiers', of real and other events."""

    values: dict[str, float] = field(default_factory=dict)
    errors: dict[str, float] = field(default_factory=dict)
    scores: dict[str, Scores] = field(default_factory=dict)
    closures: list[Closure] = field(default_factory=list)

    def add(self, name: str, measured: distances.Measured) -> None:
        """A value with its error."""
        self.values[name], self.errors[name] = measured

    def add_scores(self, name: str, scores: Scores) -> None:
        """A classifier's, and the area under its ROC curve."""
        self.scores[name] = scores
        self.add(name, distances.area_under_roc(*scores))


@dataclass(frozen=True, eq=False)
class Memorisation:
    """Distances to the nearest training event, of real and of generated events."""

    real: np.ndarray
    generated: np.ndarray

    @property
    def near(self) -> float:
        """What few real events are nearer than."""
        return float(np.quantile(self.real, NEAR))

    def metrics(self) -> dict[str, float]:
        """Both are about 1, and `NEAR`, of a generator that does not repeat what it has seen."""
        median = float(np.median(self.real))
        return {
            "memorisation/ratio_of_medians": float(np.median(self.generated)) / median if median else float("nan"),
            "memorisation/share_near": float(np.mean(self.generated < self.near)),
        }


@dataclass(frozen=True, eq=False)
class Judgement:
    """All there is to say of so many `events`: real, generated, training. `floor` is how training events differ from
    the real ones; None without any, as are `memorisation` and `transfer`. `enough` says that there are so many events
    that more than single quantities are compared."""

    events: tuple[int, int, int]
    enough: bool
    generated: Differences
    floor: Differences | None
    memorisation: Memorisation | None
    transfer: Transfer | None

    @property
    def metrics(self) -> dict[str, float]:
        """By name."""
        return self.generated.values | (self.memorisation.metrics() if self.memorisation else {})

    def said(self, name: str) -> str:
        """A metric with its error and its floor, as far as there are any."""
        text = f"{self.metrics[name]:.4g}"
        text += f" ± {self.generated.errors[name]:.2g}" if name in self.generated.errors else ""
        return f"{text} (floor {self.floor.values[name]:.4g})" if self.floor and name in self.floor.values else text


def judge(real: Events, generated: Events, training: Events, most: int) -> Judgement:
    """Compares generated events with real ones that were not trained on. Of each sample, `most` events at most are what
    a classifier, the kernel distance and nearest neighbours are taken of."""
    enough = min(len(real), len(generated)) >= LEAST
    if not enough:
        logger.info(
            "%d generated and %d real events: of fewer than %d, single quantities are judged alone",
            len(generated), len(real), LEAST,
        )  # fmt: skip
    if not len(training):
        logger.info(
            "all events that were trained on are judged, too: no floors, and no search for repeated ones; "
            "data.test_fraction keeps some apart"
        )
    floor = differences(real, training.some(len(generated)), most) if len(training) else None
    found = None
    if enough and len(training) >= LEAST:
        own, new, seen = (events.standard(real) for events in (real.some(most), generated.some(most), training))
        found = Memorisation(distances.nearest(own, seen), distances.nearest(new, seen))
    made = differences(real, generated, most)
    if told := transfer(real, generated, training.some(most)):
        for name, measured in told.areas().items():
            made.add(name, measured)
    area, error = (of.get("classifier_AUC", 0.5) for of in (made.values, made.errors))
    if area < 0.5 - COPIES * error:
        logger.info("the classifier is wrong more often than by chance: generated events are copies of the real ones")
    return Judgement((len(real), len(generated), len(training)), enough, made, floor, found, told)


def differences(real: Events, other: Events, most: int) -> Differences:
    """All distances of two samples; those of single quantities, and their means, alone if there are few events."""
    found = Differences()
    for (quantity, values), (_, others), scaled, other_scaled in zip(
        real.parameters.columns(), other.parameters.columns(), real.parameters.scaled.T, other.parameters.scaled.T,
        strict=True,
    ):  # fmt: skip
        found.values[cumulative_metric(quantity)] = distances.kolmogorov_smirnov(values, others, quantity.period)
        moved = distances.wasserstein(scaled, other_scaled, quantity.period / quantity.width)
        found.values[f"Wasserstein/{quantity.name}"] = moved / deviation(quantity, scaled)
    for name in ("KS", "Wasserstein"):
        of_each = [value for metric, value in found.values.items() if metric.startswith(f"{name}/")]
        if of_each:
            found.values[name] = float(np.mean(of_each))
    if min(len(real), len(other)) < LEAST:
        return found
    features = real.standard(real), other.standard(real)
    found.add("FPD", distances.frechet_distance(*features, _groups(real, other)))
    if real.images is not None:
        _classify_images(found, real, other)
    _classify(found, real, other, most)
    parts = real.some(most), other.some(most)
    found.add("KPD", distances.kernel_distance(*(part.standard(real) for part in parts), groups=_groups(*parts)))
    found.values["correlation_difference"] = float(np.abs(other.correlations - real.correlations).max())
    shut = closures(real.parameters, real.conditions, other.parameters, other.conditions)
    if shut:
        found.values["closure_mean"] = _mean_size(closure.mean_differences() for closure in shut)
        found.values["closure_spread"] = _mean_size(closure.spread_differences() for closure in shut)
        found.closures.extend(shut)
    return found


def cumulative_metric(quantity: Quantity) -> str:
    """The name of the metric that compares cumulative distributions."""
    return f"{'Kuiper' if quantity.period else 'KS'}/{quantity.name}"


def _mean_size(differences: Iterable[list[tuple[np.ndarray, np.ndarray]]]) -> float:
    """The mean absolute value over conditions, quantities and bins, of those that have one."""
    values = np.concatenate([value for of_condition in differences for value, _ in of_condition])
    known = np.abs(values[np.isfinite(values)])
    return float(known.mean()) if len(known) else float("nan")


def _classify_images(found: Differences, real: Events, other: Events) -> None:
    """Adds the area under the ROC curve of a classifier of images themselves."""
    count = min(len(real), len(other), MOST_IMAGES)
    parts = real.some(count), other.some(count)
    scores = distances.image_classifier_scores(*(part.in_tanks for part in parts), groups=_groups(*parts))
    found.add_scores("classifier_AUC_of_images", scores)


def _classify(found: Differences, real: Events, other: Events, most: int) -> None:
    """Adds the areas under the ROC curves of classifiers without and with the conditions. Events of equal conditions
    are in one fold: a real event would else tell of the generated one that had its conditions."""
    count = min(len(real), len(other), most)
    parts = real.some(count), other.some(count)
    inputs, groups = [part.features for part in parts], _groups(*parts)
    found.add_scores("classifier_AUC", distances.classifier_scores(*inputs, groups=groups))
    if real.conditions.quantities:
        inputs = [np.hstack([part.features, part.condition_features]) for part in parts]
        found.add_scores("classifier_AUC_with_conditions", distances.classifier_scores(*inputs, groups=groups))


def _groups(*parts: Events) -> np.ndarray:
    """Which events of two samples [n + m] have the same conditions."""
    return distances.groups_of(np.concatenate([part.condition_features for part in parts]))
