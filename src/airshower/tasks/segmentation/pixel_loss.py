"""The loss of pixel classes: a balanced cross entropy and the Lovasz loss, plane by plane."""

import torch
from torch import Tensor
from torch.nn import functional

from airshower.data.pixels import Pixels
from airshower.tasks.segmentation.lovasz import lovasz

LIGHT_WEIGHTS = (1.0, 1.5, 10.0)


class PixelLoss:
    """Terms of a loss over pixels, two a plane: cross entropy, and Lovasz if `lovasz`, its weight, is not 0.

    Cross entropy: per plane p it is sum(w * ce) / sum(w) over the step's pixels. Balance: `none` w = 1; `light` 1, 1.5,
    10 for background, cosmic, neutrino; `even` w = 1/3 / (n + 1) with n the pixels of the pixel's class in the plane;
    `focal` w = (1 - p)^2 / 3 with p the probability of the true class, without gradient (Lin et al. 2017). The schemes
    are those of Acciarri et al., Frontiers in AI 4 (2021) 649917.

    Lovasz: per plane the mean of 1 - IoU, see `lovasz.lovasz`, over the pairs of an image and a class that it holds.
    IoU is no sum over pixels, but this is a mean over images, as is the measure of the field. So it does not depend on
    how a step is cut into minibatches and ranks.
    """

    def __init__(self, scheme: str, lovasz_weight: float, planes: int, classes: int):
        self.scheme = scheme
        self.lovasz_weight = lovasz_weight
        self.planes = planes
        self.classes = classes
        self.size = planes * (classes + bool(lovasz_weight))
        """Of `totals`."""

    def totals(self, pixels: Pixels) -> Tensor:
        """Pixels per plane and class, then pairs of image and class per plane, float64 in a row."""
        parts = [pixels.class_counts(self.classes).double().flatten()]
        if self.lovasz_weight:
            parts.append(self._held(pixels).sum((0, 2)).double())
        return torch.cat(parts)

    def normaliser(self, totals: Tensor) -> Tensor | None:
        """The terms' weights, from summed `totals`; None for focal, whose weights depend on the prediction."""
        if self.scheme == "focal":
            return None
        counts, pairs = self._split(totals)
        return torch.cat([(self._class_weights(counts) * counts).sum(1), pairs])

    def terms(self, logits: Tensor, pixels: Pixels, totals: Tensor) -> tuple[Tensor, Tensor]:
        """Total and weight of each term, both [terms]; `totals` of the whole step."""
        flat = pixels.flat(logits)
        entropy = functional.cross_entropy(flat, pixels.target, reduction="none")
        if self.scheme == "none":
            weight = torch.ones_like(entropy)
        elif self.scheme == "focal":
            # the true class's probability is exp(-entropy): no second softmax, and no rounding of 1 - p near p = 1
            weight = torch.expm1(-entropy.detach()).square_().div_(3.0)
        else:
            weight = self._class_weights(self._split(totals)[0]).to(entropy.dtype)[pixels.plane, pixels.target]
        terms = [(pixels.sum_by_plane(weight * entropy), pixels.sum_by_plane(weight))]
        if self.lovasz_weight:
            terms.append(self._lovasz(flat, pixels))
        total, of_weight = zip(*terms, strict=True)
        return torch.cat(total), torch.cat(of_weight)

    def _lovasz(self, logits: Tensor, pixels: Pixels) -> tuple[Tensor, Tensor]:
        """Its sum and number over the pairs of each plane."""
        held = self._held(pixels)
        target = pixels.target.flatten()
        image = pixels.image.expand_as(pixels.target).flatten()
        probability = logits.softmax(1).movedim(1, 0).flatten(1)
        losses = [lovasz(p, target == label, image, pixels.images) for label, p in enumerate(probability)]
        each = torch.stack(losses, 1).view(held.shape) * held
        return self.lovasz_weight * each.sum((0, 2)), held.sum((0, 2)).to(each.dtype)

    def _held(self, pixels: Pixels) -> Tensor:
        """Whether an image holds pixels of a class, bool [events, planes, classes]."""
        cell = pixels.image * self.classes + pixels.target
        counts = torch.bincount(cell.flatten(), minlength=pixels.images * self.classes)
        return (counts > 0).view(-1, self.planes, self.classes)

    def _split(self, totals: Tensor) -> tuple[Tensor, Tensor]:
        counted = self.planes * self.classes
        return totals[:counted].view(self.planes, -1), totals[counted : self.size]

    def _class_weights(self, counts: Tensor) -> Tensor:
        """Weight of a pixel by plane and class [planes, classes]."""
        if self.scheme == "even":
            return 1.0 / 3.0 / (counts + 1.0)
        if self.scheme == "light":
            return torch.tensor(LIGHT_WEIGHTS, dtype=counts.dtype, device=counts.device).expand_as(counts)
        return torch.ones_like(counts)
