"""Causal layers of PixelCNN++: they depend only on pixels that come before, in the order of rows.

The vertical stream depends on the rows above a pixel, the horizontal one also on the pixels to its left in its row.
Source: van den Oord et al., Conditional Image Generation with PixelCNN Decoders (2016); Salimans et al., PixelCNN++
(2017).
"""

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.parametrize import register_parametrization

from airshower.networks.layers.perceptron import Layers
from airshower.networks.pixelcnn.config import PixelCnnConfig


def concat_elu(x: Tensor) -> Tensor:
    """[n, channels, ...] -> [n, 2 channels, ...] (Shang et al. 2016)."""
    return functional.elu(torch.cat([x, -x], 1))


class LengthAndDirection(nn.Module):
    """Weights [.., outputs, ..] as a length for each output and a direction (Salimans & Kingma 2016). Differs from
    torch's weight_norm: lengths have one axis, so that DDP's buckets have the same memory layout for any weights."""

    def __init__(self, axis: int):
        super().__init__()
        self.others = [other for other in range(4) if other != axis]

    def forward(self, length: Tensor, direction: Tensor) -> Tensor:
        """Lengths [outputs] and directions as weights."""
        norm = torch.linalg.vector_norm(direction, dim=self.others, keepdim=True)
        return direction * (length.view(norm.shape) / norm)

    def right_inverse(self, weight: Tensor) -> tuple[Tensor, Tensor]:
        """The inverse of `forward`."""
        return torch.linalg.vector_norm(weight, dim=self.others), weight


class NormedLayer(nn.Module):
    """A convolution with weight normalization. `gain` is the initial standard deviation of its outputs."""

    def __init__(self, layer: nn.Conv2d | nn.ConvTranspose2d, gain: float = 1.0):
        super().__init__()
        self.layer = layer
        self.gain = gain
        register_parametrization(layer, "weight", LengthAndDirection(1 if layer.transposed else 0))

    @property
    def bias(self) -> Tensor:
        """The bias of the convolution."""
        assert self.layer.bias is not None
        return self.layer.bias

    @torch.no_grad()
    def standardise(self, output: Tensor) -> Tensor:
        """Change lengths and biases such that `output` [n, channels, rows, columns] would have a mean of 0 and `gain`
        as its standard deviation, in each channel. Returns the standardised output."""
        spread, mean = torch.std_mean(output, (0, 2, 3), correction=0)
        scale = self.gain / spread.clamp_min(1e-2)  # a channel that is constant in these images may vary in others
        self.layer.get_parameter("parametrizations.weight.original0").mul_(scale)
        self.bias.sub_(mean).mul_(scale)
        return (output - mean[:, None, None]) * scale[:, None, None]


class CausalConv(NormedLayer):
    """A convolution over `kernel` (rows, columns). The kernel's last row is the row of the output, and `left` of its
    columns are left of the output's column. The input is first shifted down and right by `shift` (rows, columns)."""

    def __init__(
        self, inputs: int, outputs: int, kernel: tuple[int, int], left: int = 0, stride: int = 1, gain: float = 1.0,
        shift: tuple[int, int] = (0, 0),
    ):  # fmt: skip
        super().__init__(nn.Conv2d(inputs, outputs, kernel, stride), gain)
        (rows, columns), (down, across) = kernel, shift
        self.left = left + across
        self.padding = (self.left, columns - 1 - self.left, rows - 1 + down, -down)

    def forward(self, x: Tensor) -> Tensor:
        """[n, inputs, rows, columns] -> [n, outputs, rows / stride, columns / stride]."""
        return self.layer(functional.pad(x, self.padding) if any(self.padding) else x)


class CausalUpsampling(NormedLayer):
    """A transposed convolution that doubles the resolution; a pixel depends on the coarse pixel that contains it."""

    def __init__(self, channels: int, kernel: tuple[int, int]):
        side = (kernel[1] - 1) // 2
        super().__init__(nn.ConvTranspose2d(channels, channels, kernel, 2, (0, side), (0, side)))

    def forward(self, x: Tensor) -> Tensor:
        """[n, channels, rows, columns] -> [n, channels, 2 rows, 2 columns]."""
        return self.layer(x)


class GatedResnet(nn.Module):
    """x + a * sigmoid(b), where a and b are convolutions of x and of the side inputs, maps of `sides` channels in
    total, plus a linear function of the conditions."""

    def __init__(self, config: PixelCnnConfig, kernel: tuple[int, int], sides: int, conditions: int):
        super().__init__()
        filters = config.filters
        left = kernel[1] // 2
        self.first = CausalConv(2 * filters, filters, kernel, left)
        self.side = CausalConv(sides, filters, (1, 1)) if sides else None
        self.second = CausalConv(2 * filters, 2 * filters, kernel, left, gain=0.1)
        self.condition = nn.Linear(conditions, 2 * filters, bias=False) if conditions else None
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, x: Tensor, activated: Tensor, side: list[Tensor], conditions: Tensor | None) -> Tensor:
        """Maps [n, filters, rows, columns]; `activated` is concat_elu(x), `conditions` are [n, conditions]."""
        y = self.first(activated)
        if self.side is not None:
            y = y + self.side(torch.cat(side, 1))
        y = self.second(self.dropout(concat_elu(y)))
        if self.condition is not None:
            y = y + self.condition(conditions)[:, :, None, None]
        return x + functional.glu(y, 1)


class Stream(nn.Module):
    """Gated resnets down to the lowest resolution and up again. Each on the way up has a skip connection from one on
    the way down. In the horizontal stream each also takes the output of the same resnet of the vertical stream.

    `down` and `up` are the resnets by resolution; `coarsen` and `refine` change it.
    """

    def __init__(self, config: PixelCnnConfig, horizontal: bool, conditions: int):
        super().__init__()
        filters = config.filters
        count = config.resnets
        levels = range(config.resolutions)
        kernel, other = ((2, 2), 2 * filters) if horizontal else ((2, 3), 0)

        def resnets(number: int, sides: int) -> "Layers[GatedResnet]":
            return Layers(GatedResnet(config, kernel, sides, conditions) for _ in range(number))

        self.down = Layers(resnets(count, other) for _ in levels)
        self.coarsen = Layers(CausalConv(filters, filters, kernel, kernel[1] // 2, stride=2) for _ in levels[1:])
        # the deepest level goes on from its last output
        self.up = Layers(resnets(count + (level != levels[-1]), other + 2 * filters) for level in levels)
        self.refine = Layers(CausalUpsampling(filters, kernel) for _ in levels[1:])

    def forward(self, x: Tensor, others: list[Tensor], conditions: Tensor | None) -> tuple[Tensor, list[Tensor]]:
        """[n, filters, rows, columns] -> the same, and the output of each resnet, activated [n, 2 filters, ...], in
        the order of computation. `others` are these outputs of the vertical stream, or empty."""
        outputs = []
        skips = []
        deepest = len(self.down) - 1

        def through(resnet: GatedResnet, x: Tensor, activated: Tensor, skip: list[Tensor]) -> tuple[Tensor, Tensor]:
            x = resnet(x, activated, others[len(outputs) : len(outputs) + 1] + skip, conditions)
            outputs.append(concat_elu(x))
            return x, outputs[-1]

        for level, resnets in enumerate(self.down):
            activated = concat_elu(x)
            for resnet in resnets:
                skips.append(activated)
                x, activated = through(resnet, x, activated, [])
            if level < deepest:
                skips.append(activated)
                x = self.coarsen[level](x)
        for level in reversed(range(len(self.up))):
            for resnet in self.up[level]:
                x, activated = through(resnet, x, activated, [skips.pop()])
            if level:
                x = self.refine[level - 1](x)
                activated = concat_elu(x)
        return x, outputs
