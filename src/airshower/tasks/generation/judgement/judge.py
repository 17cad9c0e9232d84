"""Distances of generated from reference events, and their floors: the distances of training from reference events."""

from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np

from airshower.data.quantity import Quantity
from airshower.runtime.log import logger
from airshower.statistics import distances
from airshower.statistics.measured import Measured
from airshower.statistics.roc import area_under_roc
from airshower.tasks.generation.judgement.classifiers import Scores, classifier_scores, image_classifier_scores
from airshower.tasks.generation.judgement.closure import Closure, closures, deviation
from airshower.tasks.generation.judgement.sample import LEAST, Events
from airshower.tasks.generation.judgement.transfer import Transfer, transfer

MOST_IMAGES = 4000  # of each sample for training a classifier of images: 48 MB in total with charge and time
NEAR = 0.01  # fraction of reference events nearer to the training events than `Memorisation.near`
COPIES = 5.0  # standard errors of an AUC below 1/2, which indicates copies of events in the other sample


@dataclass(frozen=True, eq=False)
class Differences:
    """Differences of another sample from the reference sample: `values` and, if known, standard `errors`, keyed by
    metric. `scores`, keyed by metric, are the classifiers' scores of reference and other events."""

    values: dict[str, float] = field(default_factory=dict)
    errors: dict[str, float] = field(default_factory=dict)
    scores: dict[str, Scores] = field(default_factory=dict)
    closures: list[Closure] = field(default_factory=list)

    def add(self, name: str, measured: Measured) -> None:
        """Add a value with its error."""
        self.values[name], self.errors[name] = measured

    def add_scores(self, name: str, scores: Scores) -> None:
        """Add the scores of a classifier, and the area under its ROC curve."""
        self.scores[name] = scores
        of_reference, of_other = scores
        self.add(name, area_under_roc(of_other, of_reference))


@dataclass(frozen=True, eq=False)
class Memorisation:
    """Distances to the nearest training event, of reference and of generated events."""

    reference: np.ndarray
    generated: np.ndarray

    @property
    def near(self) -> float:
        """The distance within which a fraction `NEAR` of reference events lies."""
        return float(np.quantile(self.reference, NEAR))

    def metrics(self) -> dict[str, float]:
        """The ratio of medians, about 1 without memorisation, and the fraction nearer than `near`, about `NEAR`."""
        median = float(np.median(self.reference))
        return {
            "memorisation/ratio_of_medians": float(np.median(self.generated)) / median if median else float("nan"),
            "memorisation/share_near": float(np.mean(self.generated < self.near)),
        }


@dataclass(frozen=True, eq=False)
class Judgement:
    """The comparison of `events` (numbers of reference, generated and training events). `floor` are the
    differences of training from reference events; None without training events, as are `memorisation` and `transfer`.
    `enough`: there are enough events to compare more than single quantities."""

    events: tuple[int, int, int]
    enough: bool
    generated: Differences
    floor: Differences | None
    memorisation: Memorisation | None
    transfer: Transfer | None

    @property
    def metrics(self) -> dict[str, float]:
        """All metrics, keyed by name."""
        return self.generated.values | (self.memorisation.metrics() if self.memorisation else {})

    def text(self, name: str) -> str:
        """A metric as text, with its error and its floor, if any."""
        text = f"{self.metrics[name]:.4g}"
        text += f" ± {self.generated.errors[name]:.2g}" if name in self.generated.errors else ""
        return f"{text} (floor {self.floor.values[name]:.4g})" if self.floor and name in self.floor.values else text


def judge(reference: Events, generated: Events, training: Events, most: int) -> Judgement:
    """Compares generated events with reference events that were not trained on. Classifiers, the kernel distance and
    nearest neighbours take `most` events of each sample at most."""
    enough = min(len(reference), len(generated)) >= LEAST
    if not enough:
        logger.info(
            "%d generated and %d reference events: of fewer than %d, single quantities are judged alone",
            len(generated), len(reference), LEAST,
        )  # fmt: skip
    if not len(training):
        logger.info(
            "all events that were trained on are judged, too: no floors, and no search for repeated ones; "
            "data.test_fraction keeps some apart"
        )
    floor = differences(reference, training.some(len(generated)), most) if len(training) else None
    memorisation = None
    if enough and len(training) >= LEAST:
        samples = reference.some(most), generated.some(most), training
        features, generated_features, trained_on = (events.standard(reference) for events in samples)
        memorisation = Memorisation(
            distances.nearest(features, trained_on), distances.nearest(generated_features, trained_on)
        )
    of_generated = differences(reference, generated, most)
    if classes := transfer(reference, generated, training.some(most)):
        for name, measured in classes.areas().items():
            of_generated.add(name, measured)
    area, error = (of.get("classifier_AUC", 0.5) for of in (of_generated.values, of_generated.errors))
    if area < 0.5 - COPIES * error:
        logger.info(
            "the classifier is wrong more often than by chance: generated events are copies of reference events"
        )
    sizes = len(reference), len(generated), len(training)
    return Judgement(sizes, enough, of_generated, floor, memorisation, classes)


def differences(reference: Events, other: Events, most: int) -> Differences:
    """All distances of two samples; with few events only those of single quantities and their means."""
    result = Differences()
    one = reference.parameters
    two = other.parameters
    columns = zip(one.columns(), two.columns(), one.scaled.T, two.scaled.T, strict=True)
    for (quantity, values), (_, others), scaled, other_scaled in columns:
        result.values[cumulative_metric(quantity)] = distances.kolmogorov_smirnov(values, others, quantity.period)
        moved = distances.wasserstein(scaled, other_scaled, quantity.period / quantity.width)
        result.values[f"Wasserstein/{quantity.name}"] = moved / deviation(quantity, scaled)
    for name in ("KS", "Wasserstein"):
        of_each = [value for metric, value in result.values.items() if metric.startswith(f"{name}/")]
        if of_each:
            result.values[name] = float(np.mean(of_each))
    if min(len(reference), len(other)) < LEAST:
        return result
    features = reference.standard(reference), other.standard(reference)
    result.add("FPD", distances.frechet_distance(*features, _groups(reference, other)))
    if reference.images is not None:
        _classify_images(result, reference, other)
    _classify(result, reference, other, most)
    parts = reference.some(most), other.some(most)
    result.add("KPD", distances.kernel_distance(*(part.standard(reference) for part in parts), groups=_groups(*parts)))
    result.values["correlation_difference"] = float(np.abs(other.correlations - reference.correlations).max())
    shut = closures(reference.parameters, reference.conditions, other.parameters, other.conditions)
    if shut:
        result.values["closure_mean"] = _mean_size(closure.mean_differences() for closure in shut)
        result.values["closure_spread"] = _mean_size(closure.spread_differences() for closure in shut)
        result.closures.extend(shut)
    return result


def cumulative_metric(quantity: Quantity) -> str:
    """The name of the metric that compares cumulative distributions."""
    return f"{'Kuiper' if quantity.period else 'KS'}/{quantity.name}"


def _mean_size(differences: Iterable[list[tuple[np.ndarray, np.ndarray]]]) -> float:
    """The mean absolute value over conditions, quantities and bins that have one."""
    values = np.concatenate([value for of_condition in differences for value, _ in of_condition])
    sizes = np.abs(values[np.isfinite(values)])
    return float(sizes.mean()) if len(sizes) else float("nan")


def _classify_images(result: Differences, reference: Events, other: Events) -> None:
    """Adds the area under the ROC curve of a classifier of images."""
    count = min(len(reference), len(other), MOST_IMAGES)
    parts = reference.some(count), other.some(count)
    scores = image_classifier_scores(*(part.in_tanks for part in parts), groups=_groups(*parts))
    result.add_scores("classifier_AUC_of_images", scores)


def _classify(result: Differences, reference: Events, other: Events, most: int) -> None:
    """Adds the areas under the ROC curves of classifiers without and with the conditions. Events of equal conditions
    are in one fold; else a reference event in training would identify the generated event with its conditions."""
    count = min(len(reference), len(other), most)
    parts = reference.some(count), other.some(count)
    inputs = [part.features for part in parts]
    groups = _groups(*parts)
    result.add_scores("classifier_AUC", classifier_scores(*inputs, groups=groups))
    if reference.conditions.quantities:
        inputs = [np.hstack([part.features, part.condition_features]) for part in parts]
        result.add_scores("classifier_AUC_with_conditions", classifier_scores(*inputs, groups=groups))


def _groups(*parts: Events) -> np.ndarray:
    """The groups [n + m] of events of two samples with the same conditions."""
    return distances.groups_of(np.concatenate([part.condition_features for part in parts]))
