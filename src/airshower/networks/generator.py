"""Interfaces of networks that generate events."""

from abc import abstractmethod
from collections.abc import Callable
from typing import Any, ClassVar

from torch import Tensor, nn

from airshower.config.schema import FrameworkConfig
from airshower.data.spec import Spec, halvings
from airshower.errors import UserError
from airshower.networks.layers.features import Quantities
from airshower.networks.network import Network, check_follows

FILLING = 1024  # events at a time that fully use an accelerator
Progress = Callable[[float], None]  # is called with the fraction done
Sampler = Callable[[Tensor, Tensor, Progress], Tensor]  # see `EventGenerator.sampler`


def no_progress(_: float) -> None:
    """No-op progress callback."""


class EventGenerator(Network):
    """A network that generates the contents of a batch's container `generates`.

    `latent` is the latent dimension: random numbers for one event. `given` are its conditioning variables: all of the
    source's, or none.
    """

    generates: ClassVar[str]
    latent: int
    given: Quantities

    @classmethod
    def check_data(cls, config: Any, data: Any) -> None:
        """See `Network`: the data must have the network's image channels, and conditions."""
        if hasattr(config, "channels"):
            check_follows(config, data, "channels")
        if config.conditional and not data.conditions:
            raise UserError(
                "network.conditional: this data has no conditions; use network.conditional=false, or name some in "
                "data.conditions"
            )

    @abstractmethod
    def fit(self, events: Tensor, conditions: Tensor, /) -> None:
        """Set what depends on example events and their conditions, such as scales; called before the first step."""

    @abstractmethod
    def generate(self, noise: Tensor, conditions: Tensor) -> Tensor:
        """Events, as the spec scales them, from uniform noise [n, `latent`] between 0 and 1 and scaled conditions [n,
        quantities]. An event depends only on its own row of both."""

    def at_once(self, memory: int | None) -> int | None:
        """The best number of events at a time with `memory` free bytes on the device (None: a CPU); None if the number
        hardly changes the speed."""
        return None if memory is None else FILLING

    def sampler(self, batch: int) -> Sampler:
        """A function (noise, conditions, progress) that generates at most `batch` events at a time with the present
        weights. Buffers of the first call are reused by the next ones. Slow samplers call `progress`."""
        return lambda noise, conditions, _: self.generate(noise, conditions)


class CriticisedGenerator(EventGenerator):
    """Has a `generator` (normal noise, conditions) -> features and a `critic` (features, conditions) -> score [n]."""

    generator: nn.Module
    critic: nn.Module

    @abstractmethod
    def features(self, events: Tensor, /) -> Tensor:
        """The critic's input for events."""


class FlowGenerator(EventGenerator):
    """Gives the velocity of (states between noise and data, times [n], conditions)."""

    @abstractmethod
    def states(self, events: Tensor, /) -> Tensor:
        """The states [n, `latent`] of events."""


def check_generator(framework: FrameworkConfig) -> None:
    """Raise `UserError` for fsdp, which generators do not support."""
    if framework.distributed_mode == "fsdp":
        raise UserError("framework.distributed_mode=fsdp: not for generators; use framework.distributed_mode=ddp")


def check_parameters(spec: Spec, framework: FrameworkConfig) -> None:
    """`check_generator` for generators of parameters; also raises `UserError` if the data have none."""
    if not spec.quantities("parameters"):
        raise UserError("data.parameters=[]: there is nothing to generate; name parameters")
    check_generator(framework)


def check_images(spec: Spec, framework: FrameworkConfig, halved: int) -> None:
    """`check_generator` for generators of images, whose sides are halved `halved` times."""
    check_generator(framework)
    rows, columns = spec["images"].shape
    if halvings((rows, columns)) < halved:
        raise UserError(f"network: images of {rows} x {columns} can't be halved {halved} times")
