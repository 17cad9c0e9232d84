"""Operations on sparse images: the layers of `operations`, at sites only, with the same weights.

A site's neighbours that are not there count as zero (Graham & van der Maaten 2017, submanifold sparse convolutions), so
with all pixels there a layer gives what the dense one gives.
"""

import math
from collections.abc import Iterator
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional

from airshower.data.sites import Sites
from airshower.networks.grid import Grid, Table, plane_neighbours
from airshower.networks.operations import NEGATIVE_SLOPE, Conv, Dense2d, Dense3d, Operations, PlaneConv, initialised

EMPTY = -20.0  # logit of a pixel without a site, where an image is asked for: a probability of 2e-9
GATHERED = 2**18  # values gathered at a time on a CPU: 1 MiB, which stays in a core's cache


class SparseMap(NamedTuple):
    """`features` [sites, channels] on a grid. (A tuple, so that FSDP finds the tensor in it.)"""

    features: Tensor
    grid: Grid


class SparseBackend(Protocol):
    """Who computes the convolutions over neighbours."""

    def __call__(self, x: SparseMap, weight: Tensor) -> Tensor:
        """Submanifold convolution with `weight` [outputs, inputs, k, k]: [sites, inputs] -> [sites, outputs]."""
        ...


class Sparse2d:
    """Sparse images, planes folded into the images; see `operations.Operations`.

    `bottleneck` says whether the deepest layer is computed on the dense image or on sites.
    """

    dense: type[Dense2d] = Dense2d

    def __init__(self, normalization: str, bias: bool, bottleneck: str, backend: SparseBackend):
        self.normalization, self.bias, self.backend = normalization, bias, backend
        self.on_sites = bottleneck == "sparse"
        self.bottom: Operations = self if self.on_sites else self.dense(normalization, bias)

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

    def to_bottom(self, x: SparseMap) -> SparseMap | Tensor:
        """The map as the deepest layer takes it: dense, zero where there is no site, unless that is sparse too."""
        return x if self.on_sites else to_dense(x)

    def from_bottom(self, y: SparseMap | Tensor, x: SparseMap) -> SparseMap:
        """What the deepest layer gives, at the sites of `x`."""
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
                return SiteBatchNorm(channels)
            case "sync_batch":
                return SiteSyncBatchNorm(channels)
            case "group":
                return SiteGroupNorm(math.gcd(8, channels), channels)
            case "layer":
                return SiteGroupNorm(1, channels)
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
        with torch.no_grad():
            children = _gather(x.features, coarser.down.index).unflatten(1, (4, -1))
            missing = (coarser.down.index == len(x.grid))[:, :, None]
            place = children.masked_fill(missing, -torch.inf).max(1).indices if len(children) else children[:, 0].long()
            largest = coarser.down.index.gather(1, place)
        return SparseMap(x.features.gather(0, largest), coarser.grid)

    def upsample(self, x: SparseMap, to: SparseMap) -> SparseMap:
        """Bilinear, over the sites that are there; see `grid.Interpolation`."""
        near = to.grid.interpolation()
        weight = near.weight.to(x.features.dtype)
        y = functional.embedding_bag(near.index, x.features, per_sample_weights=weight, mode="sum")
        return SparseMap(y, to.grid)

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
        """Sites where any plane has one; features of planes that have none there are zero."""
        if planes == 1:
            return x
        joined = x.grid.joined(planes)
        return SparseMap(_gather(x.features, joined.index), joined.grid)

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
            y, grid = table_conv(x.features, kernel_matrix(self.weight), coarser.down), coarser.grid
        else:
            y, grid = self.backend(x, self.weight), x.grid
        return SparseMap(y if self.bias is None else y.add_(self.bias), grid)


class SiteTransposedConv(nn.ConvTranspose2d):
    """From a `SparseMap` to the sites at twice its resolution, those of `to`. Weights as `nn.ConvTranspose2d`."""

    def forward(self, x: SparseMap, to: SparseMap) -> SparseMap:
        """[sites, inputs] -> [sites of `to`, outputs]."""
        y = table_conv(x.features, kernel_matrix(self.weight.transpose(0, 1)), to.grid.coarser().up)
        return SparseMap(y if self.bias is None else y.add_(self.bias), to.grid)


class SitePlaneConv(PlaneConv):
    """`operations.PlaneConv` of a `SparseMap`."""

    def forward(self, x: SparseMap) -> SparseMap:
        """[sites, inputs] -> [sites, outputs]."""
        table = x.grid.keep(("planes", self.planes), lambda: plane_neighbours(x.grid, self.planes))
        y = table_conv(x.features, self.weight.permute(2, 1, 0), table)
        return SparseMap(y if self.bias is None else y.add_(self.bias), x.grid)


class _OverSites(nn.Module):
    """Batch normalization of features. Over fewer than two sites statistics say nothing: the running ones are used."""

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


class SiteSyncBatchNorm(_OverSites, nn.SyncBatchNorm):
    """Statistics are over the sites of a micro-batch on all ranks."""


class SiteGroupNorm(nn.GroupNorm):
    """Each image normalised over its sites and the channels of a group."""

    def forward(self, x: SparseMap) -> SparseMap:
        """Same sites."""
        kind = x.features.dtype
        wide = x.features if kind == torch.float64 else x.features.float()  # sums of squares pass what float16 holds
        groups = wide.unflatten(1, (self.num_groups, -1))
        image, images, width = x.grid.image, x.grid.images, groups.shape[2]
        count = torch.bincount(image, minlength=images).clamp_min(1)[:, None].to(groups.dtype) * width

        def mean(values: Tensor) -> Tensor:
            """Over the sites of its image and the channels of its group, at each site."""
            sums = values.new_zeros(images, self.num_groups).index_add(0, image, values.sum(2))
            return (sums / count.to(values.dtype)).index_select(0, image)[:, :, None]

        groups = groups - mean(groups)
        groups = groups * (mean(groups.square()) + self.eps).rsqrt()
        return SparseMap(torch.addcmul(self.bias, groups.flatten(1), self.weight).to(kind), x.grid)


def submanifold(x: SparseMap, weight: Tensor) -> Tensor:
    """The `SparseBackend` in plain torch: gather and multiply."""
    return table_conv(x.features, kernel_matrix(weight), x.grid.neighbours(weight.shape[2]))


def kernel_matrix(weight: Tensor) -> Tensor:
    """[outputs, inputs, rows, columns] -> [rows * columns, inputs, outputs]."""
    return weight.permute(2, 3, 1, 0).flatten(0, 1)


def table_conv(features: Tensor, weight: Tensor, table: Table) -> Tensor:
    """Sum over e of features[table.index[:, e]] @ weight[e]: [inputs, channels] -> [outputs, other channels]; `weight`
    [k, channels, other channels]."""
    device = features.device.type
    if torch.is_autocast_enabled(device):
        kind = torch.get_autocast_dtype(device)
        features, weight = features.to(kind), weight.to(kind)
    with torch.autocast(device, enabled=False):
        return _TableConv.apply(features, weight, table)


class _TableConv(torch.autograd.Function):
    """Keeps its input only, not what it gathers; the gradient is a convolution by the table's other direction."""

    @staticmethod
    def forward(ctx: Any, features: Tensor, weight: Tensor, table: Table) -> Tensor:
        """See `table_conv`."""
        ctx.save_for_backward(features, weight)
        ctx.table = table
        return _convolve(features, table.index, weight)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        """Gradients of features and weight, where they are asked for."""
        (features, weight), table = ctx.saved_tensors, ctx.table
        of_features = of_weight = None
        if ctx.needs_input_grad[0]:
            turned = weight.flip(0) if table.mirrored else weight
            of_features = _convolve(gradient, table.back, turned.transpose(1, 2))
        if ctx.needs_input_grad[1]:
            kind = torch.promote_types(weight.dtype, torch.float32)  # many pieces are added up
            padded, total = _padded(features), torch.zeros_like(weight, dtype=kind).flatten(0, 1)
            for rows in _pieces(table.index, features.shape[1]):
                total.addmm_(_taken(padded, table.index[rows]).T.to(kind), gradient[rows].to(kind))
            of_weight = total.view_as(weight).to(weight.dtype)
        return of_features, of_weight, None


def _convolve(features: Tensor, index: Tensor, weight: Tensor) -> Tensor:
    padded, matrix = _padded(features), weight.reshape(-1, weight.shape[2])
    result = features.new_empty(len(index), matrix.shape[1])
    for rows in _pieces(index, features.shape[1]):
        torch.mm(_taken(padded, index[rows]), matrix, out=result[rows])
    return result


def _gather(features: Tensor, index: Tensor) -> Tensor:
    """[sites, channels] by [others, k] -> [others, k * channels], zero where there is no site."""
    return _taken(_padded(features), index)


def _padded(features: Tensor) -> Tensor:
    return torch.cat([features, features.new_zeros(1, features.shape[1])])


def _taken(padded: Tensor, index: Tensor) -> Tensor:
    return padded.index_select(0, index.reshape(-1)).view(len(index), index.shape[1] * padded.shape[1])


def _pieces(index: Tensor, channels: int) -> Iterator[slice]:
    """Spans of sites to convolve one after the other."""
    step = max(64, GATHERED // (index.shape[1] * channels)) if index.device.type == "cpu" else max(1, len(index))
    return (slice(start, start + step) for start in range(0, len(index), step))


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
