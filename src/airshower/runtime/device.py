"""The device and the precision of computations."""

import contextlib
import os
import platform
from contextlib import AbstractContextManager
from typing import Any

import torch
from torch import nn

from airshower.config.schema import FrameworkConfig, RunConfig
from airshower.errors import UserError
from airshower.runtime.ranks import Ranks

OPEN_FILES = 65_536
USED_SHARE = 0.8  # usable fraction of the free memory
_TYPES = {"gpu": "cuda", "xpu": "xpu", "mps": "mps"}


def choose_device(compute_mode: str, ranks: Ranks) -> torch.device:
    """The device that `run.compute_mode` asks for; `auto` uses an accelerator if there is one.

    Each rank of a host gets a separate accelerator. Collective.
    """
    accelerator = torch.accelerator.current_accelerator(check_available=True)
    available = accelerator.type if accelerator else "cpu"
    wanted = available if compute_mode == "auto" else _TYPES.get(compute_mode, "cpu")
    if wanted not in ("cpu", available):
        reason = f"there is {available}" if accelerator else "torch sees no accelerator"
        raise UserError(f"run.compute_mode={compute_mode}: not on this machine ({reason}); use auto or cpu")
    kinds = ranks.exchange(wanted)
    other = next((rank for rank, kind in enumerate(kinds) if kind != kinds[0]), None)
    if other is not None:
        raise UserError(
            f"run.compute_mode={compute_mode}: rank 0 has {kinds[0]}, rank {other} has {kinds[other]}; "
            "use run.compute_mode=cpu, or hosts of one kind"
        )
    if wanted == "cpu":
        return torch.device("cpu")
    # a batch system may show each rank all devices of the host, or only its own
    device = torch.device(wanted, ranks.local_rank % torch.accelerator.device_count())
    torch.accelerator.set_device_index(device.index)
    if ranks.size > 1:
        _refuse_shared(device, ranks)
    return device


def prepare_machine(framework: FrameworkConfig, ranks: Ranks) -> None:
    """Set limits before the first computation. Threads: as configured, or this rank's part of the available cores. Open
    files: the hard limit of the user, which is often above the default.

    Collective.
    """
    _allow_open_files()
    cores = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else range(os.cpu_count() or 1)
    mine = (platform.node(), sorted(cores))
    # on all ranks, as an environment variable may be set on some of them only
    sharing = ranks.exchange(mine).count(mine)
    threads = framework.intra_op_parallelism_threads
    if not threads and ranks.size > 1 and "OMP_NUM_THREADS" not in os.environ:
        threads = max(1, len(mine[1]) // sharing)
    if threads:
        torch.set_num_threads(threads)
    if framework.inter_op_parallelism_threads:
        with contextlib.suppress(RuntimeError):  # torch allows it only once per process
            torch.set_num_interop_threads(framework.inter_op_parallelism_threads)


def _allow_open_files() -> None:
    with contextlib.suppress(ImportError, OSError, ValueError):  # not on Windows
        import resource

        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        most = OPEN_FILES if hard == resource.RLIM_INFINITY else min(hard, OPEN_FILES)
        if soft != resource.RLIM_INFINITY and soft < most:
            resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))


def _refuse_shared(device: torch.device, ranks: Ranks) -> None:
    """Raise `UserError` if ranks share a device: NCCL does not support this, and it would halve their speed."""
    properties = getattr(torch.get_device_module(device), "get_device_properties", lambda _: None)(device)
    mine = (platform.node(), str(getattr(properties, "uuid", device.index)))
    everyone = ranks.exchange(mine)
    if everyone.count(mine) > 1:
        count = torch.accelerator.device_count()
        raise UserError(
            f"run.compute_mode: {everyone.count(mine)} ranks on {mine[0]} share one of its {count} accelerators; "
            "start one rank for each, or use run.compute_mode=cpu"
        )


class Precision:
    """`run.precision`: float32; bfloat16 (autocast, weights and optimizer stay float32); mixed (float16 autocast with
    loss scaling, for GPUs without fast bfloat16); auto: bfloat16 where the device multiplies it, else float32.

    `name` is what was chosen.
    """

    def __init__(self, run: RunConfig, device: torch.device):
        self.device = device
        automatic = "bfloat16" if _multiplies_bfloat16(device) else "float32"
        self.name = automatic if run.precision == "auto" else run.precision
        if self.name == "mixed" and device.type == "cpu":
            raise UserError("run.precision=mixed: float16 needs an accelerator; on a CPU use bfloat16 or float32")
        self.dtype = {"float32": torch.float32, "bfloat16": torch.bfloat16, "mixed": torch.float16}[self.name]
        self.scaler = torch.amp.GradScaler(device.type, enabled=self.name == "mixed")

    def autocast(self) -> AbstractContextManager:
        """The context in which the network's forward pass runs."""
        if self.name == "float32":
            return contextlib.nullcontext()
        return torch.autocast(self.device.type, self.dtype)


def _multiplies_bfloat16(device: torch.device) -> bool:
    """Whether the device has instructions for products of bfloat16; where it has not, they are slower than float32."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    if device.type == "cpu":
        capabilities = getattr(torch.cpu, "get_capabilities", dict)()
        return any(capabilities.get(name) for name in ("avx512_bf16", "amx_bf16", "bf16"))
    return False


def synchronize(device: torch.device) -> None:
    """Wait for the device, so that times are meaningful."""
    if device.type != "cpu":
        torch.accelerator.synchronize()


def peak_memory(device: torch.device) -> int:
    """Peak bytes used: of the process on a CPU, of the allocator on a GPU."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def free_memory(device: torch.device) -> int | None:
    """Usable bytes of an accelerator's free memory, with a margin for libraries; None for a CPU, or if unknown."""
    if device.type == "cpu":
        return None
    module = torch.get_device_module(device)
    if not hasattr(module, "mem_get_info"):
        return None
    torch.accelerator.empty_cache()
    return int(USED_SHARE * module.mem_get_info(device)[0])


def place(network: nn.Module, device: torch.device, framework: FrameworkConfig) -> nn.Module:
    """The network on its device, in channels-last memory if that is faster for it, compiled if asked for."""
    channels_last = framework.channels_last and getattr(network, "channels_last", True)
    layout: dict[str, Any] = {"memory_format": torch.channels_last if channels_last else torch.preserve_format}
    network = network.to(device, **layout)
    if framework.compile:
        network.compile()  # in place: keeps the names in the checkpoint
    return network
