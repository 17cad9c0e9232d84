"""Combines the telescopes of an event: as a set, as a sequence, or with a fixed slot for each telescope.

Only telescopes with an image are used. A batch has no others, and padding is masked.
"""

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn

from airshower.networks.telescopes.config import TelescopeNetworkConfig
from airshower.networks.telescopes.hexagonal import CameraMap

GROUPS = 8  # of channels that share a score, at most
AUXILIARY = 6  # features of a telescope in addition to its image, see `CameraInput`


class Telescopes(NamedTuple):
    """All images of a batch of `entries`, grouped by telescope kind. `features` [images, channels, ...]; `event` and
    `row` int64 [images], the row in the spec's telescopes; `auxiliary` float32 [images, 6]; `size` [images] in p.e."""

    features: Tensor
    event: Tensor
    row: Tensor
    auxiliary: Tensor
    size: Tensor
    entries: int


class Pooled(nn.Module):
    """Features (none negative) [images, channels] -> [entries, channels + 1]: their mean, the maximum of each channel,
    or means weighted by learned scores in groups of channels; and the logarithm of their number. Zero for an entry
    without images.

    Zaheer et al., Deep Sets (2017); Ilse et al., Attention-based Deep Multiple Instance Learning (2018)."""

    def __init__(self, channels: int, how: str):
        super().__init__()
        self.how = how
        self.outputs = channels + 1
        self.score = nn.Linear(channels, math.gcd(channels, GROUPS)) if how == "attention" else None

    def forward(self, telescopes: Telescopes) -> Tensor:
        """See the class."""
        x = telescopes.features
        event = telescopes.event
        entries = telescopes.entries
        count = torch.bincount(event, minlength=entries).to(x.dtype)[:, None]
        if self.how == "max":
            together = x.new_zeros(entries, x.shape[1]).scatter_reduce(0, event[:, None].expand_as(x), x, "amax")
        elif self.score is None:
            together = x.new_zeros(entries, x.shape[1]).index_add(0, event, x) / count.clamp_min(1)
        else:
            weight = event_softmax(self.score(x).float(), event, entries).to(x.dtype)
            weighted = (x.unflatten(1, (weight.shape[1], -1)) * weight[:, :, None]).flatten(1)
            together = x.new_zeros(entries, x.shape[1]).index_add(0, event, weighted)
        return torch.cat([together, count.clamp_min(1).log()], 1)


class SetAttention(nn.Module):
    """Self-attention between telescopes, then attention of one learned query to all of them: [images, channels] ->
    [entries, channels + 1]. The last is the logarithm of the number of telescopes. The blocks SAB and PMA of Lee et
    al., Set Transformer (2019)."""

    def __init__(self, channels: int, heads: int):
        super().__init__()
        self.outputs = channels + 1
        self.among = AttentionBlock(channels, heads)
        self.over = AttentionBlock(channels, heads)
        self.query = nn.Parameter(nn.init.xavier_uniform_(torch.empty(1, 1, channels)))

    def forward(self, telescopes: Telescopes) -> Tensor:
        """See the class."""
        # attention needs at least one entry with a key each: zeros, whose result is removed below
        x, count = padded(telescopes.features, telescopes.event, max(1, telescopes.entries))
        missing = torch.arange(x.shape[1], device=x.device) >= count.clamp_min(1)[:, None]
        x = self.over(self.query.expand(len(x), -1, -1), self.among(x, x, missing), missing)[:, 0]
        x = torch.cat([x * (count > 0)[:, None], count.clamp_min(1).to(x.dtype).log()[:, None]], 1)
        return x[: telescopes.entries]


class AttentionBlock(nn.Module):
    """Attention of queries `x` [entries, n, channels] to keys `y` [entries, m, channels] that are not `missing` bool
    [entries, m], and a feed-forward layer: the block MAB of Lee et al., Set Transformer (2019)."""

    def __init__(self, channels: int, heads: int):
        super().__init__()
        self.attention = nn.MultiheadAttention(channels, heads, batch_first=True)
        self.layer = nn.Linear(channels, channels)
        self.norm1 = nn.LayerNorm(channels)
        self.norm2 = nn.LayerNorm(channels)

    def forward(self, x: Tensor, y: Tensor, missing: Tensor) -> Tensor:
        """[entries, n, channels]."""
        x = self.norm1(x + self.attention(x, y, y, key_padding_mask=missing, need_weights=False)[0])
        return self.norm2(x + self.layer(x).relu())


class Recurrent(nn.Module):
    """An LSTM over an event's telescopes, the brightest image first (`order` size) or as the array lists them
    (telescope): [images, channels] -> [entries, channels], its output after the last; zero for an entry without images.
    The CNN-RNN of Shilon et al., Astroparticle Physics 105 (2019) 44."""

    def __init__(self, channels: int, order: str):
        super().__init__()
        self.order = order
        self.outputs = channels
        self.lstm = nn.LSTM(channels, channels, batch_first=True)

    def forward(self, telescopes: Telescopes) -> Tensor:
        """See the class."""
        first = -telescopes.size if self.order == "size" else telescopes.row
        order = first.argsort(stable=True)
        x, count = padded(telescopes.features[order], telescopes.event[order], telescopes.entries)
        # outputs do not depend on later inputs, so padding does not change the output of the last telescope
        outputs = self.lstm(x)[0]
        last = (count - 1).clamp_min(0)
        return outputs[torch.arange(len(x), device=x.device), last] * (count > 0)[:, None]


class VectorSlots(nn.Module):
    """[images, channels] -> [entries, telescopes * (channels + 7)]: for each telescope of the array its features, its
    auxiliary features and 1; zeros if it has no image."""

    def __init__(self, channels: int, telescopes: int):
        super().__init__()
        self.telescopes = telescopes
        self.outputs = telescopes * (channels + AUXILIARY + 1)

    def forward(self, telescopes: Telescopes) -> Tensor:
        """See the class."""
        x = telescopes.features
        ones = telescopes.size.new_ones(len(telescopes.size), 1)
        return in_slots(telescopes, torch.cat([x, telescopes.auxiliary, ones], 1), self.telescopes)


class FeatureMapSlots(nn.Module):
    """As `VectorSlots` for maps [images, channels, rows, columns]; auxiliary features are constant channels."""

    def __init__(self, channels: int, telescopes: int):
        super().__init__()
        self.telescopes = telescopes
        self.outputs = telescopes * (channels + AUXILIARY + 1)

    def forward(self, telescopes: Telescopes, mask: Tensor) -> CameraMap:
        """A map [entries, telescopes * (channels + 7), rows, columns]."""
        x = telescopes.features
        ones = telescopes.size.new_ones(len(telescopes.size), 1)
        beside = torch.cat([telescopes.auxiliary, ones], 1)[:, :, None, None] * mask
        return CameraMap(in_slots(telescopes, torch.cat([x, beside], 1), self.telescopes), mask)


def in_slots(telescopes: Telescopes, values: Tensor, slots: int) -> Tensor:
    """[images, channels, ...] -> [entries, slots * channels, ...]."""
    empty = values.new_zeros(telescopes.entries * slots, *values.shape[1:])
    filled = empty.index_copy(0, telescopes.event * slots + telescopes.row, values)
    return filled.view(telescopes.entries, slots * values.shape[1], *values.shape[2:])


def padded(x: Tensor, event: Tensor, entries: int) -> tuple[Tensor, Tensor]:
    """The rows [images, channels] of each event, in their order, padded with zeros to [entries, n, channels] with n at
    least 1; and their number int64 [entries]."""
    order = event.argsort(stable=True)
    count = torch.bincount(event, minlength=entries)
    column = torch.arange(len(x), device=x.device) - (count.cumsum(0) - count)[event[order]]
    most = max(1, int(count.max())) if entries else 1
    return x.new_zeros(entries, most, x.shape[1]).index_put((event[order], column), x[order]), count


def event_softmax(score: Tensor, event: Tensor, entries: int) -> Tensor:
    """Softmax of scores [images, heads] over the images of each event."""
    index = event[:, None].expand_as(score)
    largest = score.new_full((entries, score.shape[1]), -torch.inf).scatter_reduce(0, index, score.detach(), "amax")
    weight = (score - largest[event]).exp()
    return weight / weight.new_zeros(largest.shape).index_add(0, event, weight)[event]


def combination(
    config: TelescopeNetworkConfig, channels: int, telescopes: int
) -> SetAttention | Recurrent | VectorSlots | FeatureMapSlots | Pooled:
    """The combination that the config names, for an array of `telescopes` with `channels` features each."""
    match config.combine:
        case "set_attention":
            return SetAttention(channels, config.attention_heads)
        case "recurrent":
            return Recurrent(channels, config.order)
        case "vector":
            return VectorSlots(channels, telescopes)
        case "feature_map":
            return FeatureMapSlots(channels, telescopes)
    return Pooled(channels, config.combine)
