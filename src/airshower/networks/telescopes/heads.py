"""From the features of an event to the outputs: shared layers, then a layer for each output."""

from torch import Tensor, nn

from airshower.networks.telescopes.blocks import Layers, levels
from airshower.networks.telescopes.config import CONVOLUTIONAL, TelescopeNetworkConfig
from airshower.networks.telescopes.hexagonal import CameraMap, camera_mean


class Heads(nn.Module):
    """Features [entries, inputs], or maps of `inputs` channels and `cells` -> `outputs` keyed by name, [entries,
    channels].

    `dense` has a separate hidden layer for each output; the others share their layers. `alexnet` has two dense layers
    with dropout. `mobilenet` has three separable convolutions and one of twice the channels, `resnet` two residual
    blocks, both over the maps of the whole array and followed by the mean over pixels.
    """

    def __init__(
        self, config: TelescopeNetworkConfig, inputs: int, cells: int, outputs: dict[str, int], hexagonal: bool
    ):
        super().__init__()
        self.names = tuple(outputs)
        width = config.head_width
        drop = nn.Dropout(config.dropout)
        if config.head in CONVOLUTIONAL:
            self.shared, inputs = _convolutions(config, inputs, hexagonal)
            self.shared.extend([Mean(), drop])
        elif config.head == "alexnet":
            dense = [nn.Linear(inputs * cells, width), nn.ReLU(), drop, nn.Linear(width, width), nn.ReLU(), drop]
            self.shared = nn.Sequential(Flat(), *dense)
            inputs = width
        else:
            self.shared = nn.Sequential(Flat(), drop)
            inputs = inputs * cells
        hidden = width if config.head == "dense" else 0
        self.last = nn.ModuleList(_output(inputs, hidden, channels) for channels in outputs.values())

    def start_from_zero(self, names: tuple[str, ...]) -> None:
        """Set the weights of these outputs to zero: as corrections of the geometry they are zero before training."""
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
    """Flattens maps to vectors; vectors are unchanged."""

    def forward(self, x: Tensor | CameraMap) -> Tensor:
        """[entries, channels, ...] -> [entries, features]."""
        return x.values.flatten(1) if isinstance(x, CameraMap) else x


class Mean(nn.Module):
    """Mean over the pixels of a map."""

    def forward(self, x: CameraMap) -> Tensor:
        """[entries, channels, rows, columns] -> [entries, channels]."""
        return camera_mean(x)


def _convolutions(config: TelescopeNetworkConfig, inputs: int, hexagonal: bool) -> tuple[nn.Sequential, int]:
    """Layers and their output's channels. A convolution of single pixels first mixes the telescopes' channels."""
    make = Layers(config, hexagonal)
    width = config.head_width
    mix = make.conv(inputs, width, 1)
    if config.head == "mobilenet":
        separable = levels(make, "mobilenet", [width, 2 * width], [3, 1])
        return nn.Sequential(mix, make.activation(width), *separable), 2 * width
    return nn.Sequential(mix, *levels(make, "resnet", [width], [2]), make.activation(width)), width


def _output(inputs: int, width: int, channels: int) -> nn.Module:
    if not width:
        return nn.Linear(inputs, channels)
    return nn.Sequential(nn.Linear(inputs, width), nn.ReLU(), nn.Linear(width, channels))
