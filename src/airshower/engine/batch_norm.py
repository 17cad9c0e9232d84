"""Batch normalization over the batches of all ranks.

torch's own works on accelerators only, and there not with an empty batch on some rank in half precision or with FSDP.
"""

from typing import Any

import torch
from torch import Tensor, nn

from airshower.networks.hexagonal import SyncCameraBatchNorm
from airshower.networks.sparse import SparseMap


def synchronise(module: nn.Module) -> None:
    """Replace each `nn.SyncBatchNorm` in `module`, in place, and let each `SyncCameraBatchNorm` sum over ranks; weights
    and statistics stay."""
    for name, child in module.named_children():
        if isinstance(child, nn.SyncBatchNorm):
            setattr(module, name, _SyncBatchNorm(child))
        elif isinstance(child, SyncCameraBatchNorm):
            child.total = _summed
        else:
            synchronise(child)


class _SyncBatchNorm(nn.modules.batchnorm._BatchNorm):
    """Statistics are over the events and pixels of one micro-batch on all ranks (Ioffe & Szegedy 2015); a rank's batch
    may be empty."""

    running_mean: Tensor
    running_var: Tensor
    num_batches_tracked: Tensor
    momentum: float

    def __init__(self, twin: nn.SyncBatchNorm):
        super().__init__(twin.num_features, twin.eps, twin.momentum)
        self.load_state_dict(twin.state_dict())
        self.to(twin.weight)

    def _check_input_dim(self, _: Tensor) -> None:
        """Any number of dimensions will do."""

    def forward(self, x: Tensor | SparseMap) -> Tensor | SparseMap:
        """Same shape as `x`. Collective in training."""
        if isinstance(x, SparseMap):
            return SparseMap(self._normalised(x.features), x.grid)
        return self._normalised(x)

    def _normalised(self, x: Tensor) -> Tensor:
        if not self.training:
            return super().forward(x)
        others, shape = (0, *range(2, x.ndim)), (1, -1) + (1,) * (x.ndim - 2)
        wide = x if x.dtype == torch.float64 else x.float()
        sums = _Sum.apply(torch.cat([wide.sum(others), wide.new_tensor([x.numel() / x.shape[1]])]))
        count = sums[-1].detach().clamp_min(1.0)
        mean = sums[:-1] / count
        centred = wide - mean.view(shape)
        variance = _Sum.apply(centred.square().sum(others)) / count
        with torch.no_grad():
            unbiased = variance * count / (count - 1).clamp_min(1.0)
            self.running_mean.lerp_(mean.to(self.running_mean), self.momentum)
            self.running_var.lerp_(unbiased.to(self.running_var), self.momentum)
            self.num_batches_tracked += 1
        scale = (self.weight * (variance + self.eps).rsqrt()).to(wide)
        return torch.addcmul(self.bias.to(wide).view(shape), centred, scale.view(shape)).to(x.dtype)


def _summed(tensor: Tensor) -> Tensor:
    total = tensor.clone()
    torch.distributed.all_reduce(total)
    return total


class _Sum(torch.autograd.Function):
    """The sum over ranks; its gradient is the sum of the ranks' gradients."""

    @staticmethod
    def forward(ctx: Any, tensor: Tensor) -> Tensor:
        return _summed(tensor)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        return _summed(gradient)
