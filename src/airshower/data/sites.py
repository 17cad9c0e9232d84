"""From sparse pixels to sites: the pixels of downsampled images that are not empty, without the images."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from airshower.data.containers import SparseImages
from airshower.data.pixels import symmetric_log
from airshower.data.spec import SparseImagesSpec


@dataclass(frozen=True)
class Sites:
    """The non-empty pixels of `events` times `planes` images of `shape` (rows, columns).

    `image` (event * planes + plane), `row` and `column` are int64 [sites], in any order, each pixel at most once;
    `value` float32 [sites].
    """

    image: Tensor
    row: Tensor
    column: Tensor
    value: Tensor
    events: int
    planes: int
    shape: tuple[int, int]

    @property
    def key(self) -> Tensor:
        """(image * columns + column) * rows + row, int64 [sites]: the order of pixels in larcv's files."""
        return (self.image * self.shape[1] + self.column) * self.shape[0] + self.row


@dataclass(frozen=True)
class SitePixels:
    """Sites and, if there is truth, their class (uint8 [sites]). Logits are [sites, classes]. See `data.pixels.Pixels`.

    The loss is over sites; in the confusion, pixels without one are background and predicted to be.
    """

    input: Sites
    label: Tensor | None

    @property
    def values(self) -> Tensor:
        """[sites]."""
        return self.input.value

    @property
    def target(self) -> Tensor:
        """[sites]."""
        assert self.label is not None
        return self.label.long()

    @property
    def plane(self) -> Tensor:
        """[sites]."""
        return self.input.image % self.input.planes

    @property
    def image(self) -> Tensor:
        """[sites]."""
        return self.input.image

    @property
    def images(self) -> int:
        """See `Pixels`."""
        return self.input.events * self.input.planes

    def flat(self, logits: Tensor) -> Tensor:
        """As they are."""
        return logits

    def sum_by_plane(self, values: Tensor) -> Tensor:
        """See `Pixels`."""
        return values.new_zeros(self.input.planes).index_add_(0, self.plane, values)

    def class_counts(self, classes: int) -> Tensor:
        """See `Pixels`."""
        return _counts(self.plane * classes + self.target, (self.input.planes, classes))

    def confusion(self, logits: Tensor) -> Tensor:
        """See `Pixels`."""
        sites = self.input
        classes = logits.shape[1]
        cell = (sites.image * classes + self.target) * classes + logits.argmax(1)
        counts = _counts(cell, (sites.events, sites.planes, classes, classes))
        counts[:, :, 0, 0] += sites.shape[0] * sites.shape[1] - counts.sum((2, 3))
        return counts

    def found(self, logits: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        """See `Pixels`."""
        sites = self.input
        label = logits.argmax(1)
        chosen = torch.nonzero(label)[:, 0]
        chosen = chosen[sites.key[chosen].argsort()]
        return sites.image[chosen], sites.row[chosen], sites.column[chosen], label[chosen], logits[chosen]

    def event_images(self, logits: Tensor, event: int) -> tuple[Tensor, Tensor | None, Tensor]:
        """See `Pixels`."""
        sites = self.input
        chosen = torch.nonzero(sites.image // sites.planes == event)[:, 0]
        index = (self.plane[chosen] * sites.shape[0] + sites.row[chosen]) * sites.shape[1] + sites.column[chosen]

        def image(values: Tensor) -> Tensor:
            """The event's values as dense images."""
            flat = values.new_zeros(sites.planes * sites.shape[0] * sites.shape[1])
            return flat.index_copy_(0, index, values[chosen]).view(sites.planes, *sites.shape)

        return image(sites.value), None if self.label is None else image(self.label), image(logits.argmax(1))


class SitePooler:
    """Downsamples as `data.dense.Densifier` does, site by site: 2^d x 2^d pixels that hold none give no site."""

    def __init__(self, spec: SparseImagesSpec):
        self.spec = spec

    def __call__(self, images: SparseImages) -> SitePixels:
        """The sites ordered by image, column and row."""
        d = self.spec.downsample
        planes = self.spec.planes
        rows, columns = self.spec.pooled
        image = torch.as_tensor(images.image_index, device=images.row.device).long()
        key = (image * columns + (images.column >> d)) * rows + (images.row >> d)
        key, pixel = torch.unique(key, return_inverse=True)
        charge = images.value.abs() if self.spec.absolute else images.value
        value = torch.zeros(len(key), dtype=torch.float32, device=key.device).index_add_(0, pixel, charge)
        if d:
            value *= 1.0 / 4**d
        if self.spec.log_transform:
            value = symmetric_log(value)
        label = None
        if images.label is not None:
            label = torch.zeros(len(key), dtype=torch.uint8, device=key.device)
            label.scatter_reduce_(0, pixel, images.label, "amax")
        column = key // rows
        row = key % rows
        sites = Sites(column // columns, row, column % columns, value, len(images.counts), planes, (rows, columns))
        return SitePixels(sites, label)


def _counts(cell: Tensor, shape: tuple[int, ...]) -> Tensor:
    return torch.bincount(cell, minlength=math.prod(shape)).view(shape)
