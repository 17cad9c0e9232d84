"""Accuracy and intersection over union of pixel classes.

Every value follows from confusion counts, so a value over a whole file does not depend on the batches.
Two definitions are given: the mean over images of the image's value (that of CosmicTagger, `plane0/Cosmic_IoU`) and the
value of all pixels together (`plane0/Dataset_Cosmic_IoU`).
"""

import torch
from torch import Tensor

from airshower.tasks.segmentation.head import NEUTRINO

METRICS = ("Total_Accuracy", "Non_Bkg_Accuracy", "Cosmic_IoU", "Neutrino_IoU", "mIoU")
COSMIC = 1


def values(confusion: Tensor) -> Tensor:
    """The `METRICS` [..., 5] of confusion counts [..., true, predicted]; NaN for an accuracy over no pixels.

    IoU of a class is 1 if neither truth nor prediction has pixels of it; mIoU is the mean of cosmic and neutrino.
    """
    confusion = confusion.double()
    right = confusion.diagonal(dim1=-2, dim2=-1)
    truth = confusion.sum(-1)
    predicted = confusion.sum(-2)
    accuracy = right.sum(-1) / truth.sum(-1)
    foreground = right[..., 1:].sum(-1) / truth[..., 1:].sum(-1)
    union = truth + predicted - right
    iou = torch.where(union > 0, right / union.clamp_min(1), 1.0)
    cosmic = iou[..., COSMIC]
    neutrino = iou[..., NEUTRINO]
    return torch.stack([accuracy, foreground, cosmic, neutrino, (cosmic + neutrino) / 2], -1)


def count_images(confusion: Tensor) -> dict[str, Tensor]:
    """Counters that add up: confusion [planes, true, predicted], and sum and number of per-image values [planes, 5]."""
    per_image = values(confusion)
    finite = per_image.isfinite()
    return {
        "confusion": confusion.sum(0),
        "image_sum": torch.where(finite, per_image, 0.0).sum(0),
        "image_count": finite.sum(0),
    }


def named_metrics(counters: dict[str, Tensor]) -> dict[str, float]:
    """`planeN/X` and `Average/X` for each metric X, per image and, with the prefix `Dataset_`, over all pixels."""
    tables = {"": counters["image_sum"] / counters["image_count"], "Dataset_": values(counters["confusion"])}
    named = {}
    for prefix, table in tables.items():
        rows = [(f"plane{plane}", row) for plane, row in enumerate(table)] + [("Average", table.nanmean(0))]
        for where, row in rows:
            named |= {f"{where}/{prefix}{name}": float(value) for name, value in zip(METRICS, row, strict=True)}
    return named
