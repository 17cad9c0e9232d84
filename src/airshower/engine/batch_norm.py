"""Batch normalization over the batches of all ranks, on CPUs: torch's own works on accelerators only."""

from typing import Any

import torch
from torch import Tensor, nn


def synchronise_on_cpu(module: nn.Module) -> None:
    """Replace each `nn.SyncBatchNorm` in `module`, in place; weights and statistics stay."""
    for name, child in module.named_children():
        if isinstance(child, nn.SyncBatchNorm):
            setattr(module, name, _CpuSyncBatchNorm(child))
        else:
            synchronise_on_cpu(child)


class _CpuSyncBatchNorm(nn.modules.batchnorm._BatchNorm):
    """Statistics are over the events and pixels of one micro-batch on all ranks (Ioffe & Szegedy 2015); a rank's batch
    may be empty."""

    def __init__(self, twin: nn.SyncBatchNorm):
        super().__init__(twin.num_features, twin.eps, twin.momentum)
        self.load_state_dict(twin.state_dict())
        self.to(twin.weight)

    def _check_input_dim(self, _: Tensor) -> None:
        """Any number of dimensions will do."""

    def forward(self, x: Tensor) -> Tensor:
        """Same shape as `x`. Collective in training."""
        if not self.training:
            return super().forward(x)
        others = (0, *range(2, x.ndim))
        shape = (1, -1) + (1,) * (x.ndim - 2)
        wide = x.double()  # the variance is a difference of large sums
        sums = torch.cat([wide.sum(others), wide.square().sum(others), wide.new_tensor([x.numel() / x.shape[1]])])
        sums = _Sum.apply(sums)
        count = sums[-1].detach().clamp_min(1.0)
        mean, square = (sums[:-1] / count).chunk(2)
        variance = (square - mean.square()).clamp_min(0.0)
        with torch.no_grad():
            unbiased = variance * count / (count - 1).clamp_min(1.0)
            self.running_mean.lerp_(mean.to(self.running_mean), self.momentum)
            self.running_var.lerp_(unbiased.to(self.running_var), self.momentum)
            self.num_batches_tracked += 1
        scale = self.weight.double() * (variance + self.eps).rsqrt()
        offset = self.bias.double() - mean * scale
        return torch.addcmul(offset.to(x).view(shape), x, scale.to(x).view(shape))


class _Sum(torch.autograd.Function):
    """The sum over ranks; its gradient is the sum of the ranks' gradients."""

    @staticmethod
    def forward(ctx: Any, tensor: Tensor) -> Tensor:
        total = tensor.clone()
        torch.distributed.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        total = gradient.clone()
        torch.distributed.all_reduce(total)
        return total
