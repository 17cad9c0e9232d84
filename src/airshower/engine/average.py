"""Averages of weights over training."""

import contextlib
from collections.abc import Iterator
from itertools import chain
from typing import Any

import torch
from torch import Tensor, nn

from airshower.engine.parallel import like, whole

WARM_UP = 10  # steps; before, the decay is below the configured one


def averaged(state: dict[str, Any]) -> dict[str, Any]:
    """The weights of a checkpoint's state by name, averages in place of those that have one."""
    weights = dict(state["model"])
    for average in state.get("averages", []):
        weights |= average["means"]
    return weights


class WeightAverage:
    """The exponential moving average of a module's trained weights, and of running statistics that belong to them, with
    `decay` per step (Polyak & Juditsky 1992). The decay is faster in the beginning, to reduce the influence of the
    start. `names` are the weights' names in the network."""

    def __init__(self, network: nn.Module, module: nn.Module, decay: float):
        self.decay = decay
        self.steps = 0
        names = {id(value): name for name, value in chain(network.named_parameters(), network.named_buffers())}
        saved = network.state_dict().keys()
        statistics = (b for b in module.buffers() if b.is_floating_point() and names[id(b)] in saved)
        trained = (parameter for parameter in module.parameters() if parameter.requires_grad)
        self.weights: list[Tensor] = [*trained, *statistics]
        self.names = [names[id(weight)] for weight in self.weights]
        self.means = [weight.detach().clone() for weight in self.weights]

    @torch.no_grad()
    def update(self) -> None:
        """Add the weights of a further step."""
        self.steps += 1
        kept = min(self.decay, self.steps / (WARM_UP + self.steps))
        torch._foreach_lerp_(self.means, self.weights, 1 - kept)

    def state_dict(self, keep: bool) -> dict[str, Any]:
        """Steps, and the means keyed by name, unsharded on ranks that `keep` them. Collective."""
        return {"steps": self.steps, "means": whole(dict(zip(self.names, self.means, strict=True)), keep)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore the output of `state_dict`."""
        self.steps = state["steps"]
        for mean, name in zip(self.means, self.names, strict=True):
            mean.copy_(like(mean, state["means"][name]))

    @contextlib.contextmanager
    def used(self) -> Iterator[None]:
        """In this context the module has the means as its weights."""
        self._swap()
        try:
            yield
        finally:
            self._swap()

    @torch.no_grad()
    def _swap(self) -> None:
        held: list[Tensor] = [weight.detach().clone() for weight in self.weights]
        torch._foreach_copy_(self.weights, self.means)
        torch._foreach_copy_(self.means, held)
