"""A network for the toy detector."""

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor, nn

from airshower.config.fields import number
from airshower.config.schema import FrameworkConfig
from airshower.data.batch import Batch
from airshower.data.containers import Table
from airshower.data.spec import Spec
from airshower.networks.network import Network


class ToyNetwork(Network):
    """Signals of scintillators [n, 25] -> the outputs that the task asks for, by name [n, channels]."""

    takes = {"signals": Table}  # noqa: RUF012 - containers of a batch
    tasks = ("reconstruction", "median")

    @dataclass
    class Config:
        """`network.*`: every key has a type, a default and a range."""

        width: int = number(32, low=1)

    def __init__(self, config: Config, spec: Spec, outputs: dict[str, int], framework: FrameworkConfig):
        super().__init__()
        signals = len(spec.quantities("signals"))
        self.outputs = outputs
        self.layers = nn.Sequential(
            nn.Linear(signals, config.width),
            nn.SiLU(),
            nn.Linear(config.width, config.width),
            nn.SiLU(),
            nn.Linear(config.width, sum(outputs.values())),
        )

    @classmethod
    def view(cls, spec: Spec) -> Callable[[Batch], Tensor]:
        """What `forward` is given of a batch."""
        return lambda batch: batch["signals"].values

    def forward(self, signals: Tensor) -> dict[str, Tensor]:
        """See the class."""
        parts = self.layers(signals).split(list(self.outputs.values()), 1)
        return dict(zip(self.outputs, parts, strict=True))
