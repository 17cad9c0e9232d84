"""From splits to a table of reconstructed events."""

import numpy as np
import torch

from airshower.data.splits import Selection, Splits
from airshower.errors import UserError
from airshower.geometry.sky import angles_of_north_west_up
from airshower.tasks.reconstruction.targets import Target
from baselines.forests import Forest, classify, features, regress
from baselines.hillas import Cleaning, Ellipses, find_axes, find_ellipses

Columns = dict[str, np.ndarray]
Targets = dict[str, Target]


def reconstruct(splits: Splits, targets: Targets, cleaning: Cleaning, forest: Forest, folds: int = 0) -> Columns:
    """The events that a network's inference would run over, from forests that learned from what it would train on; or
    with `folds` all events of the training's files, each from forests that learned from other showers. Columns as in a
    network's events.csv, for the task with these targets: TeV, rad and m, NaN where nothing can be said."""
    selections, part = parts(splits, folds, forest.seed)
    judged = np.unique(part) if folds else [1]
    ellipses = find_ellipses(selections, cleaning)
    if not len(ellipses):
        raise UserError(f"no image is left with {cleaning}")
    axes = find_axes(ellipses, len(part))
    alt, az = angles_of_north_west_up(axes.direction)
    found = {
        **_known(selections, targets),
        "alt": alt, "az": az,
        "core_x": axes.core[:, 0], "core_y": axes.core[:, 1],
    }  # fmt: skip
    classes = targets["type"].column.classes
    seen = features(ellipses, axes)
    for number in judged:
        for name, column in _learned(forest, ellipses, seen, found, classes, part != number).items():
            found[name] = np.where(part == number, column, found.get(name, np.nan))
    if len(classes) > 1:
        scores = np.stack([found[f"score_{name}"] for name in classes], 1)
        found["type"] = np.where(np.isfinite(scores[:, 0]), np.array(classes)[scores.argmax(1)], "")
    return {name: column[np.isin(part, judged)] for name, column in found.items()}


def _learned(
    forest: Forest, ellipses: Ellipses, seen: np.ndarray, truth: Columns, classes: tuple[str, ...], train: np.ndarray
) -> Columns:
    """What forests say that learn from the entries of `train`: of energy, which is of gammas alone if there are any,
    and of the classes."""
    gamma = next((name for name in classes if "gamma" in name.split("+")), None)
    known = truth["true_energy"] > 0
    learned = train & known & (gamma is None or truth["true_type"] == gamma)
    with np.errstate(invalid="ignore", divide="ignore"):
        found = {"energy": 10 ** regress(forest, ellipses, seen, np.log10(truth["true_energy"]), train, learned)}
    if len(classes) > 1:
        rows = np.array([*classes, "other"]).tolist()
        of_class = np.array([rows.index(name) if name in classes else -1 for name in truth["true_type"]])
        scores = classify(forest, ellipses, seen, of_class, len(classes), train)
        found |= {f"score_{name}": scores[:, row] for row, name in enumerate(classes)}
    return found


def parts(splits: Splits, folds: int, seed: int) -> tuple[list[Selection], np.ndarray]:
    """What is read, and the part of each entry: 0 learned from and 1 judged, or one of `folds`, in one of which all
    entries of a shower are."""
    if not folds:
        if splits.test.source is splits.train.source and np.isin(splits.test.entries, splits.train.entries).any():
            raise UserError("data.test_fraction: is 0 and nothing is held out; give one above 0, or --folds")
        selections = [splits.train, splits.test]
        return selections, np.repeat([0, 1], [len(selection.entries) for selection in selections])
    source = splits.train.source
    shower = np.unique(source.showers, return_inverse=True)[1]
    count = int(shower.max()) + 1
    if folds < 2 or folds > count:
        raise UserError(f"--folds {folds}: must be from 2 to the number of showers, {count}")
    place = np.random.default_rng(seed).permutation(count)
    return [Selection(source, np.arange(len(source)))], place[shower] % folds


def _known(selections: list[Selection], targets: Targets) -> Columns:
    """What files say of each entry: its ids, the number of its images, and the truth of the targets."""
    spec = selections[0].source.spec
    if not spec.known:
        raise UserError("data: forests need simulated showers, but these are observations")
    ids = np.concatenate([selection.source.event_ids[selection.entries] for selection in selections])
    known = {"entry": np.concatenate([selection.entries for selection in selections])}
    known |= dict(zip(spec.ids, ids.T, strict=True))
    known["multiplicity"] = np.concatenate([_multiplicity(selection) for selection in selections])
    wanted = tuple(target.column.name for target in targets.values())
    truth = [selection.source.truth(selection.entries, wanted) for selection in selections]
    for target in targets.values():
        column = np.concatenate([part[target.column.name] for part in truth])
        known |= {f"true_{name}": values for name, values in target.table(torch.from_numpy(column)).items()}
    return known


def _multiplicity(selection: Selection) -> np.ndarray:
    row, _, _ = selection.source.images_of(selection.entries)
    return np.bincount(row, minlength=len(selection.entries))
