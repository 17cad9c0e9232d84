"""Batch normalization over the batches of all ranks.

torch's SyncBatchNorm works on accelerators only, and fails with an empty batch on a rank in half precision or with
FSDP.
"""

from collections.abc import Callable
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor, nn

Total = Callable[[Tensor], Tensor]
"""The sum of a tensor over ranks, on each rank; collective. It does not change what it is given."""


@runtime_checkable
class Synchronised(Protocol):
    """A layer that can compute its batch statistics over all ranks."""

    def synchronise(self, total: Total) -> None:
        """From now on sum the moments of statistics, and their gradients, with `total`."""
        ...


def synchronise(module: nn.Module) -> None:
    """Let each `Synchronised` layer of `module` sum over ranks. An `nn.SyncBatchNorm` is replaced by a `SyncBatchNorm`,
    in place; weights and statistics stay."""
    for name, child in module.named_children():
        if isinstance(child, nn.SyncBatchNorm):
            child = SyncBatchNorm.of(child)
            setattr(module, name, child)
        if isinstance(child, Synchronised):
            child.synchronise(sum_over_ranks)
        else:
            synchronise(child)


def sum_over_ranks(tensor: Tensor) -> Tensor:
    """The sum over ranks as a new tensor. Collective."""
    total = tensor.clone()
    torch.distributed.all_reduce(total)
    return total


class SyncBatchNorm(nn.modules.batchnorm._BatchNorm):
    """Statistics are over the events and pixels of one micro-batch (Ioffe & Szegedy 2015), or, synchronised, over those
    of all ranks; batches of some ranks may be empty. Weights and statistics have the names of `nn.BatchNorm2d`."""

    running_mean: Tensor
    running_var: Tensor
    num_batches_tracked: Tensor
    momentum: float
    total: Total | None = None

    @classmethod
    def of(cls, twin: nn.SyncBatchNorm) -> "SyncBatchNorm":
        """A layer with the weights and statistics of torch's."""
        norm = cls(twin.num_features, twin.eps, twin.momentum)
        norm.load_state_dict(twin.state_dict())
        return norm.to(twin.weight)

    def synchronise(self, total: Total) -> None:
        """See `Synchronised`."""
        self.total = total

    def _check_input_dim(self, _: Tensor) -> None:
        """Accept any number of dimensions."""

    def forward(self, x: Tensor) -> Tensor:
        """[n, channels, ...] as before. Collective in training, and its gradient, once it is synchronised."""
        if not self.training or self.total is None:
            return super().forward(x)
        others = (0, *range(2, x.ndim))
        shape = (1, -1) + (1,) * (x.ndim - 2)
        wide = x if x.dtype == torch.float64 else x.float()
        numbers = torch.cat([wide.sum(others), wide.new_tensor([x.numel() / x.shape[1]])])
        sums = _Sum.apply(numbers, self.total)
        count = sums[-1].detach().clamp_min(1.0)
        mean = sums[:-1] / count
        centred = wide - mean.view(shape)
        variance = _Sum.apply(centred.square().sum(others), self.total) / count
        with torch.no_grad():
            unbiased = variance * count / (count - 1).clamp_min(1.0)
            self.running_mean.lerp_(mean.to(self.running_mean), self.momentum)
            self.running_var.lerp_(unbiased.to(self.running_var), self.momentum)
            self.num_batches_tracked += 1
        scale = (self.weight * (variance + self.eps).rsqrt()).to(wide)
        return torch.addcmul(self.bias.to(wide).view(shape), centred, scale.view(shape)).to(x.dtype)


class _Sum(torch.autograd.Function):
    """The sum over ranks; its gradient is the sum of the ranks' gradients."""

    @staticmethod
    def forward(ctx: Any, tensor: Tensor, total: Total) -> Tensor:
        ctx.total = total
        return total(tensor)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        return ctx.total(gradient), None
