"""Options of the networks for Cherenkov telescopes."""

from dataclasses import dataclass, field

from airshower.config.fields import choice, number
from airshower.errors import UserError
from airshower.geometry.mapping import MAPPINGS

SLOTS = ("vector", "feature_map")  # combinations with a slot for each telescope of the array
CONVOLUTIONAL = ("mobilenet", "resnet")  # heads


@dataclass
class TelescopeNetworkConfig:
    """`network.*`."""

    block: str = choice("resnet", "gammaphysnet", "mobilenet", "alexnet")
    filters: list[int] = field(default_factory=lambda: [16, 32, 64])
    blocks: list[int] = field(default_factory=lambda: [1, 1, 1])
    stem_kernel: int = number(5, low=1, high=11)
    stem_stride: int = number(2, low=1, high=2)
    kernel: int = number(3, low=1, high=9)
    downsampling: str = choice("max_pooling", "average_pooling", "convolutional")
    normalization: str = choice("batch", "sync_batch", "group", "none")
    batch_norm_momentum: float = number(0.1, above=0.0, high=1.0)
    mapping: str = choice(*MAPPINGS)
    time: bool = True
    coordinates: bool = True
    pixel_attention: int = number(4, low=0)
    axes: int = number(2, low=0)
    width: int = number(128, low=1)
    combine: str = choice("attention", "set_attention", "mean", "max", "recurrent", *SLOTS)
    attention_heads: int = number(4, low=1)
    order: str = choice("size", "telescope")
    grid: int = number(7, low=1)
    head: str = choice("dense", "alexnet", *CONVOLUTIONAL)
    head_width: int = number(64, low=0)
    dropout: float = number(0.0, low=0.0, high=0.9)


def check(config: TelescopeNetworkConfig) -> None:
    """Raise `UserError` for options that contradict each other."""
    filters = config.filters
    blocks = config.blocks
    if not filters or min(filters) < 1:
        raise UserError(f"network.filters={filters}: needs a number of channels, above 0, for each level")
    if len(blocks) != len(filters):
        raise UserError(f"network.blocks={blocks}: needs as many numbers as network.filters={filters} has levels")
    if min(blocks) < 0 or 0 in blocks[1:]:
        raise UserError(f"network.blocks={blocks}: each level needs a block; only the first may do with the stem, 0")
    for key in ("kernel", "stem_kernel"):
        if getattr(config, key) % 2 == 0:
            raise UserError(f"network.{key}={getattr(config, key)}: must be odd")
    if config.combine == "set_attention" and config.width % config.attention_heads:
        raise UserError(
            f"network.attention_heads={config.attention_heads}: must divide network.width={config.width}, "
            "whose features the heads share"
        )
    if config.head in CONVOLUTIONAL and config.combine != "feature_map":
        raise UserError(
            f"network.head={config.head}: convolves feature maps and network.combine={config.combine} makes none; use "
            "network.combine=feature_map, or network.head=dense or alexnet"
        )
    if config.head != "dense" and not config.head_width:
        raise UserError(f"network.head_width=0: network.head={config.head} needs a width")
