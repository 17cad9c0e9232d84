"""The base class of all networks."""

from collections.abc import Callable, Mapping
from typing import Any, ClassVar

from torch import nn

from airshower.data.batch import Batch
from airshower.data.containers import Container
from airshower.data.spec import Spec
from airshower.errors import UserError


def check_channels(config: Any, data: Any) -> None:
    """Raise `UserError` where `data.channels` are not `network.channels`, the channels of images."""
    if data.channels != config.channels:
        raise UserError(
            f"data.channels=[{','.join(data.channels)}]: but network.channels=[{','.join(config.channels)}]; "
            "give network.channels alone, which data.channels follows"
        )


class Network(nn.Module):
    """A network is built from (its typed `Config`, the source's spec, the channels of the task's outputs, keyed by
    name, `FrameworkConfig`).

    `takes` are the containers of a batch that it reads, `tasks` the names of the tasks that train it. `view(spec)`
    returns the function that makes the network's input from a batch on the device; the input is valid until the next
    call. Generators have no view, see `EventGenerator`. `channels_last` says whether that memory layout makes it
    faster.
    """

    Config: type
    takes: ClassVar[Mapping[str, type[Container]]]
    tasks: ClassVar[tuple[str, ...]]
    channels_last: bool = True

    @classmethod
    def check_data(cls, config: Any, data: Any) -> None:
        """Raise `UserError` where data with this config do not suit a network with this `config`."""

    @classmethod
    def view(cls, spec: Spec) -> Callable[[Batch], Any]:
        """See the class. Networks that generate have none: their task makes its own view of batches."""
        raise NotImplementedError
