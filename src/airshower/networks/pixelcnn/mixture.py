"""Images as integer levels, and the distribution of the levels of a cell: mixtures of discretised logistics.

Source: Salimans et al., PixelCNN++ (2017), section 2.1. A bin's probability is computed as an exact product, without
their threshold: for a > b, s(a) - s(b) = s(a) s(-b) (1 - exp(b - a)), where s is the logistic function.
"""

import torch
from torch import Tensor
from torch.nn import functional

LOG_SCALES = -7.0, 7.0  # from much narrower than a bin to flat; beyond, bins have no probability in float32


def centred(numbers: Tensor, levels: int) -> Tensor:
    """Levels as network inputs, from -1 to 1, in the type of `numbers`."""
    return numbers * (2 / (levels - 1)) - 1


class LogisticMixture:
    """The joint distribution of a cell's channels, with `size` parameters. In each component, the mean of the second
    channel is linear in the value of the first.

    With `zero`, the probability of no hit is a separate parameter, as Lu et al. recommend for sparse images (SARM,
    Phys. Rev. D 103 (2021) 036012), and logistics are over levels from 1 on: no cell has level 0 in only one channel.
    Without `zero`, logistics are over all levels as in the paper. They then give some probability to such cells, which
    generation sets to what `quantise` would give.
    """

    def __init__(self, channels: int, components: int, levels: int, zero: bool):
        self.channels = channels
        self.components = components
        self.levels = levels
        self.zero = zero
        self.lowest = 1 if zero else 0
        self.rows = 1 + 2 * channels + (channels - 1)  # weight, means, logarithms of scales, coefficient
        self.size = self.rows * components + zero
        self.draws = 1 + channels

    def log_probability(self, theta: Tensor, numbers: Tensor) -> Tensor:
        """Of levels [..., channels] under parameters [..., size], nats [...]."""
        if not self.zero:
            return self._of_components(theta, numbers)
        hit = numbers[..., 0] > 0
        log_p = functional.logsigmoid(theta[..., 0])
        of_hits = self._of_components(theta[..., 1:][hit], numbers[hit]) + functional.logsigmoid(-theta[..., 0][hit])
        return log_p.masked_scatter(hit, of_hits)

    def _of_components(self, theta: Tensor, numbers: Tensor) -> Tensor:
        weight, *rest = theta.unflatten(-1, (self.rows, self.components)).unbind(-2)
        values = centred(numbers.to(theta.dtype), self.levels)
        log_p = weight.log_softmax(-1)
        for channel in range(self.channels):
            mean = rest[channel]
            log_scale = rest[self.channels + channel]
            if channel:
                mean = mean + rest[-1].tanh() * values[..., :1]
            log_p = log_p + self._of_bin(mean, log_scale, numbers[..., channel, None], values[..., channel, None])
        return log_p.logsumexp(-1)

    def _of_bin(self, mean: Tensor, log_scale: Tensor, number: Tensor, value: Tensor) -> Tensor:
        """The first and the last bin include the tails."""
        steepness = (-log_scale.clamp(*LOG_SCALES)).exp()
        half = 1 / (self.levels - 1)
        above = steepness * (value + half - mean)
        below = steepness * (value - half - mean)
        to_right = functional.logsigmoid(above)
        to_left = functional.logsigmoid(-below)
        inside = to_right + to_left + (-torch.expm1(-2 * half * steepness)).log()
        return torch.where(number == self.lowest, to_right, torch.where(number == self.levels - 1, to_left, inside))

    def prepare(self, noise: Tensor) -> Tensor:
        """The noise for `draw` from uniform numbers [..., draws]: the first unchanged, the others as logistic
        deviates."""
        return torch.cat([noise[..., :1], noise[..., 1:].logit(torch.finfo(noise.dtype).eps)], -1)

    def draw(self, theta: Tensor, noise: Tensor) -> Tensor:
        """Levels [..., channels], in the type of `theta` [..., size]. `noise` [..., draws] selects the component, or no
        hit, and the deviate of each channel's logistic. The result depends on `theta` and `noise` alone."""
        which = noise[..., :1]
        deviate = noise[..., 1:]
        hit = torch.ones_like(which)
        if self.zero:
            empty = theta[..., :1].sigmoid()
            theta = theta[..., 1:]
            hit = (which >= empty).to(theta.dtype)
            which = (which - empty) / (1 - empty)
        rows = theta.unflatten(-1, (self.rows, self.components))
        component = (
            (which > rows[..., 0, :].softmax(-1).cumsum(-1)).sum(-1, keepdim=True).clamp_max(self.components - 1)
        )
        chosen = rows.gather(-1, component.unsqueeze(-2).expand(*component.shape[:-1], self.rows, 1)).squeeze(-1)
        mean = chosen[..., 1 : 1 + self.channels]
        log_scale = chosen[..., 1 + self.channels : 1 + 2 * self.channels]
        offset = log_scale.clamp(*LOG_SCALES).exp() * deviate
        first = self._nearest(mean[..., :1] + offset[..., :1], self.lowest) * hit
        if self.channels == 1:
            return first
        mean = mean[..., 1:] + chosen[..., -1:].tanh() * centred(first, self.levels)
        return torch.cat([first, self._nearest(mean + offset[..., 1:], 1) * (first > 0)], -1)

    def _nearest(self, values: Tensor, lowest: int) -> Tensor:
        return ((values + 1) * ((self.levels - 1) / 2)).round().clamp(lowest, self.levels - 1)
