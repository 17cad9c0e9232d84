"""The base class of all networks."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, ClassVar

from torch import Tensor, nn

from airshower.data.batch import Batch
from airshower.data.containers import Container
from airshower.data.spec import Spec
from airshower.data.truth import DIRECTION, POSITION
from airshower.errors import UserError


@dataclass(frozen=True)
class Start:
    """What an output of a network begins as, or is: a fit of a column of this kind, whose 1 is `size` in `unit`."""

    kind: str
    size: float
    unit: str


FITS = MappingProxyType({"direction": Start(DIRECTION, 1.0, "deg"), "core": Start(POSITION, 100.0, "m")})
"""The outputs that fits of showers give, by name of the target."""


def check_follows(config: Any, data: Any, *keys: str) -> None:
    """Raise `UserError` where `data.KEY`, if these data have one, is not `network.KEY`, from which it is taken."""
    for key in keys:
        wanted = getattr(config, key)
        given = getattr(data, key, None)
        if given not in (None, wanted):
            raise UserError(
                f"data.{key}={_as_typed(given)}: but network.{key}={_as_typed(wanted)}; give network.{key} alone, "
                f"which data.{key} follows"
            )


def _as_typed(value: Any) -> str:
    """A value as on the command line."""
    return f"[{','.join(value)}]" if isinstance(value, list) else str(value)


class Network(nn.Module):
    """A network is built from (its typed `Config`, the source's spec, the channels of the task's outputs, keyed by
    name, `FrameworkConfig`).

    `takes` are the containers of a batch that it reads, `tasks` the names of the tasks that train it. `view(spec)`
    returns the function that makes the network's input from a batch on the device; the input is valid until the next
    call. Generators have no view, see `EventGenerator`. `channels_last` says whether that memory layout makes it
    faster, `optimized` whether it has weights that an optimizer trains step by step; see `FittedNetwork`.
    """

    Config: type
    takes: ClassVar[Mapping[str, type[Container]]]
    tasks: ClassVar[tuple[str, ...]]
    channels_last: bool = True
    optimized: ClassVar[bool] = True

    @classmethod
    def check_data(cls, config: Any, data: Any) -> None:
        """Raise `UserError` where data with this config do not suit a network with this `config`."""

    @classmethod
    def starts(cls, config: Any) -> Mapping[str, Start]:
        """Outputs that begin as a fit with this `config`, by name: targets of these names must be of the fit's kind and
        scale, as a task checks."""
        return MappingProxyType({})

    @classmethod
    def view(cls, spec: Spec) -> Callable[[Batch], Any]:
        """See the class. Networks that generate have none: their task makes its own view of batches."""
        raise NotImplementedError


class FittedNetwork(Network):
    """A network without weights to optimise: all that it learns are buffers, set by `fit`. Training is this fit."""

    optimized = False
    channels_last = False

    @property
    def trunk(self) -> nn.Module | None:
        """A trained network over whose outputs this one is fitted; None if there is none. Its weights are those of
        `mode.weights_location`, and the fit is to events that it was not trained on."""
        return None

    def fit(self, examples: Iterable[tuple[Any, Mapping[str, tuple[Tensor, Tensor]]]]) -> None:
        """Learn from all events to train on, batch by batch: the input of `forward`, and for each output what it is to
        be, as losses compare it (int64 classes or [n, channels]), with the weights [n] of the events. The same
        examples and `framework.seed` give the same buffers."""
        raise NotImplementedError
