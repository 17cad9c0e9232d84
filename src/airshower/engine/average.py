"""Averages of weights over training."""

import contextlib
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from airshower.engine.parallel import like, whole

WARM_UP = 10  # steps before which less than the asked for is kept of the steps before


class WeightAverage:
    """The mean over steps of a module's trained weights, in which older ones fade by `decay` a step (Polyak & Juditsky
    1992), faster in the beginning, so that the start is soon forgotten. `names` are the weights' in the network."""

    def __init__(self, network: nn.Module, module: nn.Module, decay: float):
        self.decay, self.steps = decay, 0
        known = {id(parameter): name for name, parameter in network.named_parameters()}
        self.weights: list[Tensor] = [parameter for parameter in module.parameters() if parameter.requires_grad]
        self.names = [known[id(parameter)] for parameter in self.weights]
        self.means = [parameter.detach().clone() for parameter in self.weights]

    @torch.no_grad()
    def update(self) -> None:
        """Take in the weights of a further step."""
        self.steps += 1
        kept = min(self.decay, self.steps / (WARM_UP + self.steps))
        torch._foreach_lerp_(self.means, self.weights, 1 - kept)

    def state_dict(self, keep: bool) -> dict[str, Any]:
        """Steps, and the means by name, whole on ranks that `keep` them. Collective."""
        return {"steps": self.steps, "means": whole(dict(zip(self.names, self.means, strict=True)), keep)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from what `state_dict` gave."""
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
