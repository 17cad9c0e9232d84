"""One module trained by all ranks: DDP (a copy on each rank) or FSDP (each rank keeps a part of every weight)."""

import contextlib
import inspect
import time
import warnings
from collections.abc import Iterator
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, TypeGuard

import torch
from torch import Tensor, nn
from torch.distributed import GradBucket
from torch.nn.parallel import DistributedDataParallel

from airshower.runtime.batch_norm import synchronise
from airshower.runtime.ranks import Ranks

if TYPE_CHECKING:
    from torch.distributed.fsdp import FSDPModule
    from torch.distributed.tensor import DTensor

_SYNC_BUFFERS = next(  # renamed in torch 2.13
    name
    for name in ("forward_sync_buffers", "broadcast_buffers")
    if name in inspect.signature(DistributedDataParallel).parameters
)


class ParallelModule:
    """`module` is the module to call in training. Gradients of a backward pass through it are sums over ranks, not
    means, as the loss is normalised over all ranks.

    Weights and buffers are the master's at the start. `reduced_at` is the time at which the last
    gradients were passed to the reduction; the rest of the backward pass is communication.
    """

    def __init__(self, module: nn.Module, ranks: Ranks, mode: str):
        self.unwrapped = module
        self.ranks = ranks
        self.reduced_at = 0.0
        self.learned = frozenset(module.state_dict())  # other buffers are constants
        self.module: nn.Module = module
        if ranks.size == 1:
            return
        synchronise(module)
        if mode == "fsdp":
            _shard(module)
        else:
            # DDP can't send a buffer of another memory layout that is the only one of its dtype
            for buffer in module.buffers():
                buffer.data = buffer.data.clone(memory_format=torch.contiguous_format)
            # buffers are averaged after each step (average_buffers) instead of being the master's
            options: dict[str, Any] = {_SYNC_BUFFERS: False}
            self.module = DistributedDataParallel(module, gradient_as_bucket_view=True, **options)
            self.module.register_comm_hook(None, self._sum)

    def accumulating(self) -> AbstractContextManager:
        """In this context, gradients add up on each rank and are not communicated."""
        if isinstance(self.module, DistributedDataParallel):
            return self.module.no_sync()
        if _is_sharded(self.module):
            return _unsynchronised(self.module)
        return contextlib.nullcontext()

    def average_buffers(self, events: int) -> None:
        """Make running statistics the mean over ranks, weighted by the events of each rank. Collective."""
        named = self.unwrapped.named_buffers()
        buffers = [buffer for name, buffer in named if name in self.learned and buffer.is_floating_point()]
        if self.ranks.size == 1 or not buffers:
            return
        flat = torch.cat([buffer.flatten() for buffer in buffers])
        sums = self.ranks.sum(torch.cat([flat * events, flat.new_tensor([events])]))
        mean = sums[:-1] / sums[-1]
        for buffer, value in zip(buffers, mean.split([buffer.numel() for buffer in buffers]), strict=True):
            buffer.copy_(value.view_as(buffer))

    def _sum(self, _: Any, bucket: GradBucket) -> torch.futures.Future[Tensor]:
        work = torch.distributed.all_reduce(bucket.buffer(), async_op=True)
        assert work is not None
        self.reduced_at = time.perf_counter()
        return work.get_future().then(lambda done: done.value()[0])


@contextlib.contextmanager
def _unsynchronised(module: "FSDPModule") -> Iterator[None]:
    module.set_requires_gradient_sync(False)
    try:
        yield
    finally:
        module.set_requires_gradient_sync(True)


def whole(state: Any, keep: bool = True) -> Any:
    """A state with every sharded tensor gathered, so that any number of ranks can read it. Collective.

    Ranks that `keep` the result have it on the CPU; the others take part and free each tensor at once.
    """

    def gathered(tensor: Tensor) -> Tensor | None:
        if not _is_dtensor(tensor):
            return tensor
        full = tensor.full_tensor()
        return full.cpu() if keep else None

    return _mapped(state, gathered)


def load_optimizer(optimizer: torch.optim.Optimizer, state: dict[str, Any]) -> None:
    """Load a whole state into the optimizer of a module that may be sharded."""
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    spread = {
        index: {name: like(parameters[index], value) for name, value in values.items()}
        for index, values in state["state"].items()
    }
    optimizer.load_state_dict({**state, "state": spread})


def like(target: Tensor, value: Any) -> Any:
    """`value`, sharded as `target` is if it has its shape."""
    if not _is_dtensor(target) or not isinstance(value, Tensor) or value.shape != target.shape:
        return value
    from torch.distributed.tensor import distribute_tensor

    return distribute_tensor(value.to(target.device), target.device_mesh, target.placements, src_data_rank=None)


def _shard(module: nn.Module) -> None:
    """Shard each part of the network by itself, so that a rank holds one whole part at a time.

    A part must not change in place what another part returned: its gradient would be lost.
    """
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard  # the import takes a second

    # torch warns about each view that a part returns, as it could be modified in place
    warnings.filterwarnings("ignore", message="FSDP2-wrapped module .* returned a view tensor")
    device = next(module.parameters()).device
    mesh = init_device_mesh(device.type, (torch.distributed.get_world_size(),))
    for parameter in module.parameters():
        parameter.data = parameter.data.contiguous()  # FSDP does not support channels-last
    for tensor in [*module.parameters(), *module.buffers()]:
        torch.distributed.broadcast(tensor.detach(), 0)
    for child in module.children():
        for part in child if isinstance(child, nn.ModuleList) else [child]:
            if any(True for _ in part.parameters()):
                fully_shard(part, mesh=mesh)
    fully_shard(module, mesh=mesh)
    for part in module.modules():
        if _is_sharded(part):
            part.set_gradient_divide_factor(1.0)
            part.set_force_sum_reduction_for_comms(True)  # gloo has no sum with a factor


def _is_sharded(module: nn.Module) -> "TypeGuard[FSDPModule]":
    return hasattr(module, "set_requires_gradient_sync")


def _is_dtensor(tensor: Tensor) -> "TypeGuard[DTensor]":
    return hasattr(tensor, "full_tensor")


def _mapped(node: Any, function: Any) -> Any:
    if isinstance(node, dict):
        return {key: _mapped(value, function) for key, value in node.items()}
    if isinstance(node, list | tuple):
        return type(node)(_mapped(value, function) for value in node)
    return function(node) if isinstance(node, Tensor) else node
