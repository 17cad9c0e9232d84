"""What networks that generate events have in common."""

from abc import abstractmethod
from collections.abc import Callable

from torch import Tensor, nn

from airshower.networks.quantities import Quantities

FILLING = 1024  # events at a time that keep an accelerator busy
Tick = Callable[[float], None]  # is told the share that is done
Sampling = Callable[[Tensor, Tensor, Tick], Tensor]


def untold(_: float) -> None:
    """The tick that nobody hears."""


class EventGenerator(nn.Module):
    """A network whose `latent` is how many random numbers an event takes, and `given` the conditions that it looks at,
    all or none."""

    latent: int
    given: Quantities

    @abstractmethod
    def fit(self, events: Tensor, conditions: Tensor, /) -> None:
        """Take from examples of events and their conditions what the network needs to know of all; before the first
        step."""

    @abstractmethod
    def generate(self, noise: Tensor, conditions: Tensor) -> Tensor:
        """Events, parameters or images, as the spec scales them, from uniform noise [n, `latent`] between 0 and 1 and
        scaled conditions [n, quantities]. An event depends on its own row of both alone."""

    def at_once(self, memory: int | None) -> int | None:
        """How many events at a time are best, where so many bytes are free on the device (None: it is a CPU); None
        where it hardly matters."""
        return None if memory is None else FILLING

    def sampler(self, batch: int) -> Sampling:
        """A function (noise, conditions, tick) that generates at most `batch` events at a time with the weights of now.
        It may be used often: what is made for the first batch is kept. `tick` is called where it takes long."""
        return lambda noise, conditions, _: self.generate(noise, conditions)


class CriticisedGenerator(EventGenerator):
    """Has a `generator` (normal noise, conditions) -> features and a `critic` (features, conditions) -> score [n]."""

    generator: nn.Module
    critic: nn.Module

    @abstractmethod
    def features(self, events: Tensor, /) -> Tensor:
        """What the critic sees of events."""


class FlowGenerator(EventGenerator):
    """Gives the velocity of (states between noise and data, times [n], conditions)."""

    @abstractmethod
    def states(self, events: Tensor, /) -> Tensor:
        """What is learned of events [n, `latent`]."""
