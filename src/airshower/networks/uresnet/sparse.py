"""Operations on sparse images: the layers of `operations`, at sites only, with the same weights.

Missing neighbours of a site count as zero (Graham & van der Maaten 2017, submanifold sparse convolutions). If all
pixels are sites, a layer gives the same as the dense one.
"""

import math
from typing import NamedTuple, Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional

from airshower.data.sites import Sites
from airshower.networks.uresnet.grid import Grid, plane_neighbours
from airshower.networks.uresnet.operations import (
    NEGATIVE_SLOPE,
    Conv,
    Dense2d,
    Dense3d,
    Operations,
    PlaneConv,
    initialised,
)
from airshower.networks.uresnet.sums import gather, interpolate, kernel_matrix, largest, table_conv
from airshower.runtime.batch_norm import SyncBatchNorm

EMPTY = -20.0  # logit of a pixel without a site in dense outputs: a probability of 2e-9


class SparseMap(NamedTuple):
    """`features` [sites, channels] on a grid. (A tuple, so that FSDP finds the tensor in it.)"""

    features: Tensor
    grid: Grid


class SparseBackend(Protocol):
    """Implementation of the convolutions over neighbours."""

    def __call__(self, x: SparseMap, weight: Tensor, bias: Tensor | None = None) -> Tensor:
        """Submanifold convolution with `weight` [outputs, inputs, k, k]: [sites, inputs] -> [sites, outputs]."""
        ...


class Sparse2d:
    """Sparse images, planes folded into the images; see `operations.Operations`.

    `bottleneck`: the deepest layer is computed on the dense image or on sites.
    """

    dense: type[Dense2d] = Dense2d

    def __init__(self, normalization: str, bias: bool, bottleneck: str, backend: SparseBackend, momentum: float = 0.1):
        self.normalization = normalization
        self.bias = bias
        self.backend = backend
        self.momentum = momentum
        self.on_sites = bottleneck == "sparse"
        self.bottom: Operations = self if self.on_sites else self.dense(normalization, bias, momentum)

    def enter(self, sites: Sites) -> SparseMap:
        """A map of one channel."""
        return SparseMap(sites.value[:, None], Grid(sites.key, sites.events * sites.planes, sites.shape))

    def leave(self, x: SparseMap, _: int) -> Tensor:
        """[sites, channels]."""
        return x.features

    def images(self, x: SparseMap, planes: int) -> Tensor:
        """`EMPTY` where there is no site."""
        return to_dense(x, EMPTY).unflatten(0, (-1, planes))

    def event_mean(self, x: SparseMap, planes: int) -> Tensor:
        """Over the sites of each event; zero for one without."""
        return _mean_by(x.features, x.grid.image, x.grid.images)

    def tick_mean(self, x: SparseMap, planes: int) -> SparseMap:
        """Over the sites."""
        grid = x.grid
        rows = grid.shape[0]
        tick = grid.keep(("tick", planes), lambda: grid.image // planes * rows + grid.row)
        mean = _mean_by(x.features, tick, grid.images // planes * rows)
        return SparseMap(mean.to(x.features.dtype).index_select(0, tick), x.grid)

    def to_bottom(self, x: SparseMap) -> SparseMap | Tensor:
        """The input of the deepest layer: a dense map, zero without a site, or `x` with a sparse bottleneck."""
        return x if self.on_sites else to_dense(x)

    def from_bottom(self, y: SparseMap | Tensor, x: SparseMap) -> SparseMap:
        """The output of the deepest layer at the sites of `x`."""
        return y if isinstance(y, SparseMap) else SparseMap(_at_sites(y, x.grid), x.grid)

    def conv(self, inputs: int, outputs: int, kernel: int, stride: int = 1) -> nn.Conv2d:
        """See `Operations`."""
        return initialised(SiteConv(inputs, outputs, kernel, stride, self.bias, self.backend))

    def transposed_conv(self, inputs: int, outputs: int) -> nn.Module:
        """See `Operations`."""
        return initialised(SiteTransposedConv(inputs, outputs, 2, 2, bias=self.bias))

    def norm(self, channels: int) -> nn.Module:
        """Over the sites, as the dense ones are over the pixels."""
        match self.normalization:
            case "none":
                return nn.Identity()
            case "batch":
                return SiteBatchNorm(channels, momentum=self.momentum)
            case "sync_batch":
                return SiteSyncBatchNorm(channels, momentum=self.momentum)
            case "group":
                return SiteGroupNorm(math.gcd(8, channels), channels)
            case "layer":
                return SiteGroupNorm(1, channels)
            case "instance":
                return SiteGroupNorm(channels, channels)
        raise ValueError(self.normalization)

    def activation(self, x: SparseMap) -> SparseMap:
        """See `Operations`."""
        return SparseMap(functional.leaky_relu_(x.features, NEGATIVE_SLOPE), x.grid)

    def add(self, x: SparseMap, y: SparseMap) -> SparseMap:
        """See `Operations`."""
        return SparseMap(x.features + y.features, x.grid)

    def add_(self, x: SparseMap, y: SparseMap) -> SparseMap:
        """See `Operations`."""
        return SparseMap(x.features.add_(y.features), x.grid)

    def pool(self, x: SparseMap) -> SparseMap:
        """The largest over the sites in each 2 x 2 pixels."""
        coarser = x.grid.coarser()
        return SparseMap(largest(x.features, coarser), coarser.grid)

    def upsample(self, x: SparseMap, to: SparseMap) -> SparseMap:
        """Bilinear, over existing sites; see `grid.Interpolation`."""
        return SparseMap(interpolate(x.features, to.grid.interpolation()), to.grid)

    def concat_conv(self, conv: Conv, x: SparseMap, y: SparseMap) -> SparseMap:
        """See `Operations`."""
        weight_x, weight_y = conv.weight.flatten(1).split((x.features.shape[1], y.features.shape[1]), dim=1)
        sum_ = functional.linear(x.features, weight_x, conv.bias) + functional.linear(y.features, weight_y)
        return SparseMap(sum_, x.grid)

    def joined(self, channels: int, planes: int) -> int:
        """See `Operations`."""
        return channels * planes

    def plane_conv(self, inputs: int, outputs: int, planes: int) -> Conv:
        """See `Operations`."""
        return self.conv(inputs, outputs, 1)

    def join_planes(self, x: SparseMap, planes: int) -> SparseMap:
        """The union of the planes' sites; features of planes without the site are zero."""
        if planes == 1:
            return x
        joined = x.grid.joined(planes)
        return SparseMap(gather(x.features, joined.index), joined.grid)

    def split_planes(self, y: SparseMap, x: SparseMap, planes: int) -> SparseMap:
        """See `Operations`."""
        if planes == 1:
            return y
        apart = y.features.unflatten(1, (planes, -1)).flatten(0, 1)
        return SparseMap(apart.index_select(0, x.grid.joined(planes).position), x.grid)


class Sparse3d(Sparse2d):
    """The same with planes as a third dimension."""

    dense = Dense3d

    def joined(self, channels: int, planes: int) -> int:
        """See `Operations`."""
        return channels

    def plane_conv(self, inputs: int, outputs: int, planes: int) -> Conv:
        """Kernel [3, 1, 1] along the planes, or [1, 1, 1] if there is one."""
        return SitePlaneConv(inputs, outputs, planes, self.bias) if planes > 1 else self.conv(inputs, outputs, 1)

    def event_mean(self, x: SparseMap, planes: int) -> Tensor:
        """See `Sparse2d`."""
        return _mean_by(x.features, x.grid.image // planes, x.grid.images // planes)

    def join_planes(self, x: SparseMap, planes: int) -> SparseMap:
        """Planes are neighbours already."""
        return x

    def split_planes(self, y: SparseMap, x: SparseMap, planes: int) -> SparseMap:
        """See `join_planes`."""
        return y


class SiteConv(nn.Conv2d):
    """Convolution of a `SparseMap`: submanifold (odd kernel, stride 1) or to half the resolution (kernel 2, stride
    2). Weights as `nn.Conv2d`."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int, bias: bool, backend: SparseBackend):
        super().__init__(inputs, outputs, kernel, stride, bias=bias)
        self.backend = backend

    def forward(self, x: SparseMap) -> SparseMap:
        """[sites, inputs] -> [sites, outputs]."""
        if self.kernel_size == (1, 1):
            return SparseMap(functional.linear(x.features, self.weight.flatten(1), self.bias), x.grid)
        if self.stride == (2, 2):
            coarser = x.grid.coarser()
            y = table_conv(x.features, kernel_matrix(self.weight), self.bias, coarser.down)
            return SparseMap(y, coarser.grid)
        return SparseMap(self.backend(x, self.weight, self.bias), x.grid)


class SiteTransposedConv(nn.ConvTranspose2d):
    """From a `SparseMap` to the sites at twice its resolution, those of `to`. Weights as `nn.ConvTranspose2d`."""

    def forward(self, x: SparseMap, to: SparseMap) -> SparseMap:
        """[sites, inputs] -> [sites of `to`, outputs]."""
        matrix = kernel_matrix(self.weight.transpose(0, 1))
        return SparseMap(table_conv(x.features, matrix, self.bias, to.grid.coarser().up), to.grid)


class SitePlaneConv(PlaneConv):
    """`operations.PlaneConv` of a `SparseMap`."""

    def forward(self, x: SparseMap) -> SparseMap:
        """[sites, inputs] -> [sites, outputs]."""
        table = x.grid.keep(("planes", self.planes), lambda: plane_neighbours(x.grid, self.planes))
        return SparseMap(table_conv(x.features, self.weight.permute(2, 1, 0), self.bias, table), x.grid)


class _OverSites(nn.Module):
    """Batch normalization of features. With fewer than two sites the running statistics are used."""

    running_mean: Tensor
    running_var: Tensor
    weight: Tensor
    bias: Tensor
    eps: float

    def forward(self, x: SparseMap) -> SparseMap:
        """Same sites."""
        if self.training and len(x.features) < 2:
            statistics = (self.running_mean, self.running_var)
            y = functional.batch_norm(x.features, *statistics, self.weight, self.bias, eps=self.eps)
            return SparseMap(y, x.grid)
        return SparseMap(super().forward(x.features), x.grid)


class SiteBatchNorm(_OverSites, nn.BatchNorm1d):
    """Statistics are over the sites of a micro-batch."""


class SiteSyncBatchNorm(_OverSites, SyncBatchNorm):
    """Statistics are over the sites of a micro-batch on all ranks, after `synchronise`. Then a rank takes part with any
    number of sites."""

    def forward(self, x: SparseMap) -> SparseMap:
        """Same sites."""
        if self.total is None:
            return super().forward(x)
        return SparseMap(SyncBatchNorm.forward(self, x.features), x.grid)


class SiteGroupNorm(nn.GroupNorm):
    """Each image normalised over its sites and the channels of a group."""

    def forward(self, x: SparseMap) -> SparseMap:
        """Same sites."""
        kind = x.features.dtype
        wide = x.features if kind == torch.float64 else x.features.float()  # sums of squares overflow float16
        groups = wide.unflatten(1, (self.num_groups, -1))
        image = x.grid.image
        images = x.grid.images
        width = groups.shape[2]
        count = torch.bincount(image, minlength=images).clamp_min(1)[:, None].to(groups.dtype) * width

        def mean(values: Tensor) -> Tensor:
            """Over the sites of its image and the channels of its group, at each site."""
            sums = values.new_zeros(images, self.num_groups).index_add(0, image, values.sum(2))
            return (sums / count.to(values.dtype)).index_select(0, image)[:, :, None]

        groups = groups - mean(groups)
        groups = groups * (mean(groups.square()) + self.eps).rsqrt()
        return SparseMap(torch.addcmul(self.bias, groups.flatten(1), self.weight).to(kind), x.grid)


def submanifold(x: SparseMap, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """The `SparseBackend` in plain torch: gather and multiply. Of single values all are gathered at once."""
    table = x.grid.neighbours(weight.shape[2])
    if weight.shape[1] == 1:
        return functional.linear(gather(x.features, table.index), weight.flatten(1), bias)
    return table_conv(x.features, kernel_matrix(weight), bias, table)


def to_dense(x: SparseMap, empty: float = 0.0) -> Tensor:
    """[images, channels, rows, columns], `empty` where there is no site."""
    rows, columns = x.grid.shape
    channels = x.features.shape[1]
    flat = x.features.new_full((x.grid.images * columns * rows, channels), empty)
    return flat.index_copy(0, x.grid.key, x.features).view(-1, columns, rows, channels).permute(0, 3, 2, 1).contiguous()


def _mean_by(features: Tensor, group: Tensor, groups: int) -> Tensor:
    count = torch.bincount(group, minlength=groups).clamp_min(1)[:, None]
    wide = features if features.dtype == torch.float64 else features.float()
    return wide.new_zeros(groups, features.shape[1]).index_add(0, group, wide) / count


def _at_sites(dense: Tensor, grid: Grid) -> Tensor:
    return dense.permute(0, 3, 2, 1).flatten(0, 2).index_select(0, grid.key)
