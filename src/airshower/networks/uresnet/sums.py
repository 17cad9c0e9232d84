"""Products and sums by tables: the arithmetic of all sparse layers that look at other sites."""

from collections.abc import Iterator
from functools import reduce
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional

from airshower.networks.uresnet.grid import Coarser, Interpolation, Table

GATHERED = 2**18  # values gathered at a time on a CPU: 1 MiB, which stays in a core's cache


def kernel_matrix(weight: Tensor) -> Tensor:
    """[outputs, inputs, rows, columns] -> [rows * columns, inputs, outputs]."""
    return weight.permute(2, 3, 1, 0).flatten(0, 1)


def table_conv(features: Tensor, weight: Tensor, bias: Tensor | None, table: Table) -> Tensor:
    """Bias plus the sum over e of features[table.index[:, e]] @ weight[e]: [inputs, channels] -> [outputs, other
    channels]; `weight` [k, channels, other channels]."""
    device = features.device.type
    if bias is None:
        bias = weight.new_zeros(weight.shape[2])
    if torch.is_autocast_enabled(device):
        kind = torch.get_autocast_dtype(device)
        features, weight, bias = features.to(kind), weight.to(kind), bias.to(kind)
    with torch.autocast(device, enabled=False):
        return _TableConv.apply(features, weight, bias, table)


class _TableConv(torch.autograd.Function):
    """Saves its input only, not the gathered features. Both gradients are products of the gathered gradient."""

    @staticmethod
    def forward(ctx: Any, features: Tensor, weight: Tensor, bias: Tensor, table: Table) -> Tensor:
        """See `table_conv`."""
        ctx.save_for_backward(features, weight)
        ctx.back = table.back
        padded = _padded(features)
        matrix = weight.flatten(0, 1)
        result = features.new_empty(len(table.index), matrix.shape[1])
        for rows in _pieces(table.index, features.shape[1]):
            torch.addmm(bias, _taken(padded, table.index[rows]), matrix, out=result[rows])
        return result

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, Tensor | None, None]:
        """Gradients of features, weight and bias."""
        features, weight = ctx.saved_tensors
        padded = _padded(gradient)
        matrix = weight.transpose(1, 2).flatten(0, 1)
        of_features = torch.empty_like(features)
        kind = torch.promote_types(weight.dtype, torch.float32)  # a sum of many terms
        of_weight = torch.zeros_like(matrix, dtype=kind)
        for rows in _pieces(ctx.back, gradient.shape[1]):
            gathered = _taken(padded, ctx.back[rows])
            torch.mm(gathered, matrix, out=of_features[rows])
            of_weight.addmm_(gathered.T.to(kind), features[rows].to(kind))
        of_weight = of_weight.view(weight.transpose(1, 2).shape).transpose(1, 2).to(weight.dtype)
        return of_features, of_weight, gradient.sum(0) if ctx.needs_input_grad[2] else None, None


def interpolate(features: Tensor, near: Interpolation) -> Tensor:
    """[coarse sites, channels] -> [fine sites, channels]."""
    return _Interpolate.apply(features, near)


class _Interpolate(torch.autograd.Function):
    """See `interpolate`."""

    @staticmethod
    def forward(ctx: Any, features: Tensor, near: Interpolation) -> Tensor:
        """Weighted means of coarse sites."""
        ctx.near = near
        return _weighted_sum(features, near.index, near.WEIGHT).div_(near.total)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        """Weighted sums of fine sites."""
        near = ctx.near
        return _weighted_sum(gradient / near.total.to(gradient.dtype), near.back, near.BACK_WEIGHT), None


def _weighted_sum(features: Tensor, index: Tensor, weight: tuple[float, ...]) -> Tensor:
    weights = features.new_tensor(weight).expand(index.shape).contiguous()
    return functional.embedding_bag(index, _padded(features), per_sample_weights=weights, mode="sum")


def largest(features: Tensor, to: Coarser) -> Tensor:
    """The largest of each parent's sites by channel: [sites, channels] -> [parents, channels]."""
    return _Largest.apply(features, to)


class _Largest(torch.autograd.Function):
    """See `largest`; of equal ones the first has the gradient."""

    @staticmethod
    def forward(ctx: Any, features: Tensor, to: Coarser) -> Tensor:
        """The largest and, saved as uint8, the number of the child that it is of."""
        ctx.to = to
        padded = torch.cat([features, features.new_full((1, features.shape[1]), -torch.inf)])
        children = [padded.index_select(0, child) for child in to.children.T]
        values = reduce(torch.maximum, children)
        chosen = torch.zeros_like(values, dtype=torch.uint8)
        smaller = torch.ones_like(values, dtype=torch.bool)
        for child in children[:-1]:
            smaller &= child != values
            chosen += smaller
        ctx.save_for_backward(chosen)
        return values

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        """That of the parent, or zero; a product, as a CPU takes longer to fill by a mask."""
        parent = ctx.to.parent
        is_chosen = ctx.saved_tensors[0].index_select(0, parent) == ctx.to.child[:, None]
        return gradient.index_select(0, parent).mul_(is_chosen.to(gradient.dtype)), None


def gather(features: Tensor, index: Tensor) -> Tensor:
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
