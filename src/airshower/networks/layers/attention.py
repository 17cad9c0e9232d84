"""Attention among and between sets, padded."""

import torch
from torch import Tensor, nn
from torch.nn import functional


class Attention(nn.Module):
    """Queries [n, q, width] attend to keys [n, k, inputs] -> [n, q, width] (Vaswani et al. 2017, 3.2). One more key, of
    learned numbers, lets a set be empty."""

    def __init__(self, width: int, inputs: int, heads: int):
        super().__init__()
        self.heads = heads
        self.query = nn.Linear(width, width)
        self.key_value = nn.Linear(inputs, 2 * width)
        self.none = nn.Parameter(torch.zeros(1, 1, 2 * width))
        self.out = nn.Linear(width, width)

    def forward(self, x: Tensor, keys: Tensor, mask: Tensor | None = None) -> Tensor:
        """`mask` bool [n, k] is True for keys that exist."""
        n = len(x)
        key_value = torch.cat([self.key_value(keys), self.none.expand(n, 1, -1)], 1)
        key, value = (self._apart(part) for part in key_value.chunk(2, 2))
        if mask is not None:
            mask = functional.pad(mask, (0, 1), value=True)[:, None, None]
        y = functional.scaled_dot_product_attention(self._apart(self.query(x)), key, value, attn_mask=mask)
        return self.out(y.transpose(1, 2).flatten(2))

    def _apart(self, x: Tensor) -> Tensor:
        return x.unflatten(2, (self.heads, -1)).transpose(1, 2)


class TransformerBlock(nn.Module):
    """Attention of a set to itself and a perceptron, each beside the identity, normalised before (Xiong et al.
    2020)."""

    def __init__(self, width: int, heads: int, expansion: int = 2):
        super().__init__()
        self.norms = nn.ModuleList([nn.LayerNorm(width), nn.LayerNorm(width)])
        self.attention = Attention(width, width, heads)
        self.layers = mlp(width, expansion * width, width)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """[n, k, width], same shape as `x`."""
        y = self.norms[0](x)
        x = x + self.attention(y, y, mask)
        return x + self.layers(self.norms[1](x))


def mlp(inputs: int, hidden: int, outputs: int) -> nn.Sequential:
    """Two linear layers with a SiLU between."""
    return nn.Sequential(nn.Linear(inputs, hidden), nn.SiLU(), nn.Linear(hidden, outputs))
