"""From what is known of an event to the outputs: layers that all outputs share, and then one for each."""

from torch import Tensor, nn

from airshower.networks.hexagonal import CameraMap, camera_mean
from airshower.networks.iact_blocks import Layers, levels
from airshower.networks.iact_config import CONVOLUTIONAL, IactNetworkConfig


class Heads(nn.Module):
    """Features [entries, inputs], or maps of so many channels and `cells` -> `outputs` by name, [entries, channels].

    `dense` has a layer of its own before each output; the others share theirs: `alexnet` two dense ones with dropout,
    `mobilenet` three separable convolutions and one of twice the channels, `resnet` two residual blocks, each over the
    maps of the whole array, and then the mean.
    """

    def __init__(self, config: IactNetworkConfig, inputs: int, cells: int, outputs: dict[str, int], hexagonal: bool):
        super().__init__()
        self.names, width, drop = tuple(outputs), config.head_width, nn.Dropout(config.dropout)
        if config.head in CONVOLUTIONAL:
            self.shared, inputs = _convolutions(config, inputs, hexagonal)
            self.shared.extend([Mean(), drop])
        elif config.head == "alexnet":
            dense = [nn.Linear(inputs * cells, width), nn.ReLU(), drop, nn.Linear(width, width), nn.ReLU(), drop]
            self.shared, inputs = nn.Sequential(Flat(), *dense), width
        else:
            self.shared, inputs = nn.Sequential(Flat(), drop), inputs * cells
        own = width if config.head == "dense" else 0
        self.last = nn.ModuleList(_output(inputs, own, channels) for channels in outputs.values())

    def start_from_zero(self, names: tuple[str, ...]) -> None:
        """Outputs that correct what is known otherwise are zero before anything is learned."""
        for name, layers in zip(self.names, self.last, strict=True):
            if name in names:
                last = layers[-1] if isinstance(layers, nn.Sequential) else layers
                assert isinstance(last, nn.Linear)
                nn.init.zeros_(last.weight)
                nn.init.zeros_(last.bias)

    def forward(self, x: Tensor | CameraMap) -> dict[str, Tensor]:
        """See the class."""
        x = self.shared(x)
        return {name: head(x) for name, head in zip(self.names, self.last, strict=True)}


class Flat(nn.Module):
    """Vectors, or maps as vectors."""

    def forward(self, x: Tensor | CameraMap) -> Tensor:
        """[entries, channels, ...] -> [entries, features]."""
        return x.values.flatten(1) if isinstance(x, CameraMap) else x


class Mean(nn.Module):
    """Over the pixels of a map."""

    def forward(self, x: CameraMap) -> Tensor:
        """[entries, channels, rows, columns] -> [entries, channels]."""
        return camera_mean(x)


def _convolutions(config: IactNetworkConfig, inputs: int, hexagonal: bool) -> tuple[nn.Sequential, int]:
    """Layers and their output's channels. A convolution of single pixels first mixes the telescopes' channels."""
    make, width = Layers(config, hexagonal), config.head_width
    mix = make.conv(inputs, width, 1)
    if config.head == "mobilenet":
        separable = levels(make, "mobilenet", [width, 2 * width], [3, 1])
        return nn.Sequential(mix, make.activation(width), *separable), 2 * width
    return nn.Sequential(mix, *levels(make, "resnet", [width], [2]), make.activation(width)), width


def _output(inputs: int, width: int, channels: int) -> nn.Module:
    if not width:
        return nn.Linear(inputs, channels)
    return nn.Sequential(nn.Linear(inputs, width), nn.ReLU(), nn.Linear(width, channels))
