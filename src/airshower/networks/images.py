"""Images of events as generators learn them, and as they are compared."""

import math

import numpy as np
import torch
from torch import Tensor

from airshower.config.schema import FrameworkConfig
from airshower.data.source import Selection, halvings
from airshower.data.table import Table
from airshower.data.tank_summary import summaries, summary_quantities
from airshower.data.tanks import TankBatch, TankHits, TankSpec
from airshower.errors import UserError
from airshower.networks.quantities import check_generator

LEVELS = 256  # of each channel in what is compared, that generators with levels are no worse for having them
EXAMPLES = 32  # images that a network is given before the first step


class ImageView:
    """Images of charge, or of charge and time, from batches of this `spec`. What is judged of them are `quantities`,
    numbers of the hits of each (see `summaries`)."""

    draws = 0  # random numbers that `spread` takes

    def __init__(self, spec: TankSpec):
        self.spec, self.quantities = spec, summary_quantities(spec)

    def recorded(self, batch: TankBatch) -> Tensor:
        """As files have them, float32 [n, channels, rows, columns]."""
        return batch.images

    def spread(self, images: Tensor, _: Tensor) -> Tensor:
        """The same: charge and time have no steps that matter."""
        return images

    def shares(self, images: Tensor) -> Tensor:
        """None [n, 0]."""
        return images.new_empty(len(images), 0)

    def examples(self, selection: Selection) -> tuple[Tensor, Tensor]:
        """A few images from all over the files and their conditions; the same on all ranks."""
        apart = max(1, len(selection.entries) // EXAMPLES)
        batch = selection.source.read(selection.entries[::apart][:EXAMPLES])
        return torch.from_numpy(batch.images), torch.from_numpy(batch.conditions)

    def bits(self, nats: float) -> dict[str, float]:
        """A mean log-likelihood in bits per dimension, over the cells that have a PMT, and over all."""
        live, whole = bits_per_dimension(torch.tensor([nats]), self.spec)
        return {"bits_per_dimension": float(live), "bits_per_dimension_of_all_cells": float(whole)}

    def levels(self, images: Tensor) -> np.ndarray:
        """Live cells of images, recorded or generated ones, in `LEVELS`, so that all are compared alike: uint8 [n,
        channels, PMTs]."""
        return self.spec.live_cells(quantise(images.float().cpu(), LEVELS).to(torch.uint8).numpy())

    def hits(self, levels: np.ndarray) -> TankHits:
        """The hits of such cells, in detector units."""
        return self.spec.cell_hits(dequantise(torch.from_numpy(levels), LEVELS).numpy())

    def summary(self, levels: np.ndarray) -> Table:
        """What is compared of them, in units."""
        return summaries(self.hits(levels), len(levels), self.spec)

    def table(self, images: Tensor) -> Table:
        """What is compared of images."""
        return self.summary(self.levels(images))

    def dead_cells(self, images: Tensor) -> np.ndarray:
        """How many cells without a PMT are not 0 in each image [n]."""
        dead = torch.from_numpy(self.spec.dead).to(images.device)
        return (images != 0).any(1)[:, dead].sum(1).cpu().numpy()


def bits_per_dimension(nats: Tensor, spec: TankSpec) -> tuple[Tensor, Tensor]:
    """Of log-likelihoods [n]: over the cells that have a PMT, and over all, as of images of any cells; each [n]."""
    bits, channels = -nats / math.log(2), len(spec.channels)
    return bits / (channels * int((~spec.dead).sum())), bits / (channels * spec.dead.size)


def quantise(images: Tensor, levels: int) -> Tensor:
    """Images [n, channels, rows, columns] between 0 and 1 as int64 of 0 to `levels` - 1.

    0 is no hit, in all channels, and nothing else: a hit (the charge is above 0) has the nearest of the other levels in
    each channel, 1 where its charge or its time would be rounded to 0. Times of cells without charge are left out.
    """
    hit = images[:, :1] > 0
    return (images * (levels - 1)).round().long().clamp(1, levels - 1) * hit


def dequantise(numbers: Tensor, levels: int) -> Tensor:
    """The centres of the levels, float32 between 0 and 1, which `quantise` takes back to the same."""
    return numbers.float() / (levels - 1)


def check_images(conditional: bool, spec: TankSpec, framework: FrameworkConfig, halved: int) -> None:
    """Raise `UserError` for what generators of images, which are `halved` so many times, can't be made for."""
    check_generator(conditional, spec, framework)
    if not spec.channels:
        raise UserError("data.channels=[]: there is no image to generate; use data.channels=[charge] or [charge,time]")
    if halvings(spec.shape) < halved:
        raise UserError(f"network: images of {spec.shape[0]} x {spec.shape[1]} can't be halved {halved} times")
