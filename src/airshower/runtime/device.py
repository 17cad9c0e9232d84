"""The device that computes, and the arithmetic it uses."""

import contextlib
import os
from contextlib import AbstractContextManager

import torch
from torch import nn

from airshower.config.schema import FrameworkConfig, RunConfig
from airshower.errors import UserError

_TYPES = {"gpu": ("cuda",), "xpu": ("xpu",), "mps": ("mps",)}


def choose_device(compute_mode: str) -> torch.device:
    """The device that `run.compute_mode` asks for; `auto` takes an accelerator where there is one."""
    found = torch.accelerator.current_accelerator(check_available=True)
    if compute_mode == "cpu" or (compute_mode == "auto" and found is None):
        return torch.device("cpu")
    if compute_mode != "auto" and (found is None or found.type not in _TYPES[compute_mode]):
        there = f"there is {found.type}" if found else "torch sees no accelerator"
        raise UserError(f"run.compute_mode={compute_mode}: not on this machine ({there}); use auto or cpu")
    return torch.device(found.type, torch.accelerator.current_device_index())


def prepare_machine(framework: FrameworkConfig) -> None:
    """Threads and environment variables, before the first computation."""
    os.environ.update(framework.environment_variables)
    if framework.intra_op_parallelism_threads:
        torch.set_num_threads(framework.intra_op_parallelism_threads)
    if framework.inter_op_parallelism_threads:
        with contextlib.suppress(RuntimeError):  # torch takes it only once a process
            torch.set_num_interop_threads(framework.inter_op_parallelism_threads)


class Precision:
    """`run.precision`: float32; bfloat16 (autocast, weights and optimizer stay float32); mixed (float16 autocast with
    loss scaling, for GPUs without fast bfloat16)."""

    def __init__(self, run: RunConfig, device: torch.device):
        self.device, self.name = device, run.precision
        if run.precision == "mixed" and device.type == "cpu":
            raise UserError("run.precision=mixed: float16 needs an accelerator; on a CPU use bfloat16 or float32")
        self.dtype = {"float32": torch.float32, "bfloat16": torch.bfloat16, "mixed": torch.float16}[run.precision]
        self.scaler = torch.amp.GradScaler(device.type, enabled=run.precision == "mixed")

    def autocast(self) -> AbstractContextManager:
        """The context in which the network's forward pass runs."""
        if self.name == "float32":
            return contextlib.nullcontext()
        return torch.autocast(self.device.type, self.dtype)


def synchronize(device: torch.device) -> None:
    """Wait for the device, so that a clock means something."""
    if device.type != "cpu":
        torch.accelerator.synchronize()


def peak_memory(device: torch.device) -> int:
    """Peak bytes used: of the process on a CPU, of the allocator on a GPU."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def place(network: nn.Module, device: torch.device, framework: FrameworkConfig) -> nn.Module:
    """The network on its device, in channels-last memory, compiled if asked for."""
    network = network.to(
        device, memory_format=torch.channels_last if framework.channels_last else torch.preserve_format
    )
    if framework.compile:
        network.compile()  # in place: the names in the checkpoint stay
    return network
