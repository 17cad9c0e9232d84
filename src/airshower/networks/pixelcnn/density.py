"""The likelihood of images pixel by pixel.

Source: Salimans et al., PixelCNN++: Improving the PixelCNN with Discretized Logistic Mixture Likelihood and Other
Modifications (2017). A pixel's distribution depends on the rows above and on the pixels to its left in its row, through
two streams of gated resnets over several resolutions, and on conditions of the event. Unlike a photograph's pixels,
cells differ: a mask of the cells that have a PMT is a further input channel, and a map of learned weights is added at
the start of each stream.
"""

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from airshower.data.spec import ImagesSpec, Spec
from airshower.networks.layers.features import encode, encoded_size
from airshower.networks.layers.levels import quantise
from airshower.networks.pixelcnn.config import PixelCnnConfig
from airshower.networks.pixelcnn.layers import CausalConv, NormedLayer, Stream
from airshower.networks.pixelcnn.mixture import LogisticMixture, centred


class PixelDensity(nn.Module):
    """Images [n, channels, rows, columns] and scaled conditions [n, quantities] -> their log-likelihood, nats [n], over
    the cells that have a PMT. It is the likelihood of the levels that `quantise` gives.

    Without `network.conditional`, conditions are ignored and may be None.
    """

    live: Tensor
    there: Tensor

    def __init__(self, config: PixelCnnConfig, source: Spec):
        super().__init__()
        spec: ImagesSpec = source["images"]
        channels = len(spec.channels)
        filters = config.filters
        self.shape = spec.shape
        self.channels = channels
        self.levels = config.levels
        self.given = source.quantities("conditions") if config.conditional else ()
        self.register_buffer("live", torch.from_numpy(np.flatnonzero(~spec.dead)), persistent=False)
        self.register_buffer("there", torch.from_numpy(~spec.dead), persistent=False)
        self.mixture = LogisticMixture(channels, config.mixtures, config.levels, config.zero)
        self.rows_above = CausalConv(channels + 1, filters, (2, 3), left=1, shift=(1, 0))
        self.row_above = CausalConv(channels + 1, filters, (1, 3), left=1, shift=(1, 0))
        self.left = CausalConv(channels + 1, filters, (2, 1), shift=(0, 1))
        self.place_above, self.place = (nn.Parameter(torch.zeros(filters, *spec.shape)) for _ in range(2))
        conditions = encoded_size(self.given)
        self.vertical = Stream(config, False, conditions)
        self.horizontal = Stream(config, True, conditions)
        self.head = CausalConv(filters, self.mixture.size, (1, 1))

    @property
    def latent(self) -> int:
        """The latent dimension: random numbers for one image."""
        return len(self.live) * self.mixture.draws

    def forward(self, images: Tensor, conditions: Tensor | None = None) -> Tensor:
        """See the class."""
        numbers = quantise(images, self.levels)
        theta = self.distribution(numbers, conditions).flatten(2)[..., self.live].transpose(1, 2)
        numbers = numbers.flatten(2)[..., self.live].transpose(1, 2)
        return self.mixture.log_probability(theta, numbers).sum(1)

    def distribution(self, numbers: Tensor, conditions: Tensor | None = None) -> Tensor:
        """The parameters of the mixture in each cell, [n, size, rows, columns], for levels [n, channels, rows,
        columns]; at least in float32."""
        features = self.features(conditions)
        x = centred(numbers.to(self.head.bias.dtype), self.levels)
        x = torch.cat([x, self.there.to(x.dtype).expand(len(x), 1, -1, -1)], 1)  # 0 also beside images
        _, above = self.vertical(self.rows_above(x) + self.place_above, [], features)
        x, _ = self.horizontal(self.row_above(x) + self.left(x) + self.place, above, features)
        theta = self.head(functional.elu(x))
        return theta.to(torch.promote_types(theta.dtype, torch.float32))

    def features(self, conditions: Tensor | None) -> Tensor | None:
        """Encoded conditions, the input of the resnets, [n, features]; None without `network.conditional`."""
        if not self.given:
            return None
        assert conditions is not None
        return encode(conditions, self.given)

    @torch.no_grad()
    def fit(self, images: Tensor, conditions: Tensor | None = None) -> None:
        """Start from outputs of all layers that have a mean of 0 and a standard deviation of 1 (0.1 before gates) over
        these images: layer by layer, each after its inputs (Salimans & Kingma 2016, section 3). Without
        dropout, so that ranks with the same images have the same weights."""
        images = images.to(self.live.device)
        conditions = None if conditions is None else conditions.to(self.live.device)

        def standardised(layer: Any, _: Any, output: Tensor) -> Tensor:
            return layer.standardise(output)

        hooks = [
            module.register_forward_hook(standardised) for module in self.modules() if isinstance(module, NormedLayer)
        ]
        training = self.training
        self.eval().forward(images, conditions)  # not compiled: hooks are to run
        self.train(training)
        for hook in hooks:
            hook.remove()
