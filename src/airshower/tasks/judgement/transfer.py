"""Whether a classifier of gammas and protons that has learned from real events finds as much in generated ones."""

from dataclasses import dataclass

import numpy as np

from airshower.runtime.log import logger
from airshower.tasks.judgement import distances
from airshower.tasks.judgement.distances import Measured, Scores
from airshower.tasks.judgement.sample import LEAST, SEED, Events

KINDS = ("real", "generated")


@dataclass(frozen=True, eq=False)
class Transfer:
    """How probable it is by the classifier that an event is of the first of two classes: scores of events of the second
    and of the first, of real and of generated ones."""

    classes: tuple[str, ...]
    real: Scores
    generated: Scores

    def areas(self) -> dict[str, Measured]:
        """Areas under the ROC curves, by the metric's name."""
        return {f"gamma_hadron_AUC/{kind}": distances.area_under_roc(*getattr(self, kind)) for kind in KINDS}


def transfer(real: Events, generated: Events, training: Events) -> Transfer | None:
    """None where no condition names the class, and where there are few events of one in any sample. The classifier
    learns from what is judged of the training events, not from what was asked for."""
    index = next((i for i, quantity in enumerate(real.conditions.quantities) if len(quantity.names) == 2), None)
    if index is None:
        return None
    labels = [np.rint(events.conditions.values[:, index]).astype(int) for events in (real, generated, training)]
    if min(np.bincount(label, minlength=2).min() for label in labels) < LEAST:
        logger.info("fewer than %d real, generated or training events of a class: no classifier of classes", LEAST)
        return None
    from sklearn.ensemble import HistGradientBoostingClassifier

    trees = HistGradientBoostingClassifier(random_state=SEED).fit(training.features, labels[2])
    first = (trees.predict_proba(events.features)[:, 0] for events in (real, generated))
    scores = ((found[label == 1], found[label == 0]) for found, label in zip(first, labels, strict=False))
    return Transfer(real.conditions.quantities[index].names, *scores)
