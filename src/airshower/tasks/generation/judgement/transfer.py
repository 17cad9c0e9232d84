"""A classifier of gammas and protons, trained on training events and applied to reference and generated ones."""

from dataclasses import dataclass

import numpy as np

from airshower.runtime.log import logger
from airshower.statistics.measured import Measured
from airshower.statistics.roc import area_under_roc
from airshower.tasks.generation.judgement.classifiers import Scores
from airshower.tasks.generation.judgement.sample import LEAST, SEED, Events

KINDS = ("real", "generated")


@dataclass(frozen=True, eq=False)
class Transfer:
    """The classifier's probabilities for the first of two classes: scores of events of the second and of the first
    class, for reference and for generated events."""

    classes: tuple[str, ...]
    reference: Scores
    generated: Scores

    def areas(self) -> dict[str, Measured]:
        """Areas under the ROC curves, keyed by metric."""
        areas = {}
        for kind, (second, first) in zip(KINDS, (self.reference, self.generated), strict=True):
            areas[f"gamma_hadron_AUC/{kind}"] = area_under_roc(first, second)
        return areas


def transfer(reference: Events, generated: Events, training: Events) -> Transfer | None:
    """None if no condition is the class, or if a class has few events in any sample. The classifier is trained on the
    parameters of training events, not on their conditions."""
    index = next((i for i, quantity in enumerate(reference.conditions.quantities) if len(quantity.names) == 2), None)
    if index is None:
        return None
    labels = [np.rint(events.conditions.values[:, index]).astype(int) for events in (reference, generated, training)]
    if min(np.bincount(label, minlength=2).min() for label in labels) < LEAST:
        logger.info("fewer than %d reference, generated or training events of a class: no classifier of classes", LEAST)
        return None
    from sklearn.ensemble import HistGradientBoostingClassifier

    trees = HistGradientBoostingClassifier(random_state=SEED).fit(training.features, labels[2])
    first = (trees.predict_proba(events.features)[:, 0] for events in (reference, generated))
    scores = (
        (probability[label == 1], probability[label == 0]) for probability, label in zip(first, labels, strict=False)
    )
    return Transfer(reference.conditions.quantities[index].names, *scores)
