"""Random numbers: seeded once, saved and restored exactly."""

import random
from contextlib import AbstractContextManager
from typing import Any

import numpy as np
import torch


def seed_everything(seed: int, rank: int, deterministic: bool) -> None:
    """Seed Python, numpy and torch; `deterministic` also refuses torch's nondeterministic kernels."""
    random.seed(seed + rank)
    np.random.seed(seed + rank)  # noqa: NPY002  (for libraries that still use the global state)
    torch.manual_seed(seed + rank)
    # the call imports the compiler, which takes seconds
    if deterministic or torch.are_deterministic_algorithms_enabled():
        torch.use_deterministic_algorithms(deterministic)
    torch.backends.cudnn.benchmark = not deterministic


def reseed(seed: int, rank: int, step: int) -> None:
    """Seed a rank without a saved state, as there were fewer ranks when the run stopped at `step`."""
    torch.manual_seed(int(np.random.SeedSequence([seed, rank, step]).generate_state(1, np.uint64)[0]))


def random_state(device: torch.device) -> dict[str, Any]:
    """The state of torch's generators, the only ones used in training steps."""
    state = {"cpu": torch.get_rng_state()}
    if device.type != "cpu":
        state["device"] = torch.get_device_module(device).get_rng_state()
    return state


def restore_random_state(state: dict[str, Any], device: torch.device) -> None:
    """Restore the output of `random_state`."""
    torch.set_rng_state(state["cpu"])
    if device.type != "cpu" and "device" in state:
        torch.get_device_module(device).set_rng_state(state["device"])


def set_aside(device: torch.device) -> AbstractContextManager:
    """Restore the state of the random generators at the end of the context."""
    if device.type == "cpu":
        return torch.random.fork_rng(devices=[])
    return torch.random.fork_rng(devices=[device.index or 0], device_type=device.type)
