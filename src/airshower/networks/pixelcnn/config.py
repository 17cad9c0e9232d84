"""Options of PixelCNN++."""

from dataclasses import dataclass, field

from airshower.config.fields import number
from airshower.config.schema import FrameworkConfig
from airshower.data.spec import Spec, halvings
from airshower.errors import UserError
from airshower.networks.generator import check_images


@dataclass
class PixelCnnConfig:
    """`network.*`; sizes and dropout are by default those of Salimans et al. (2017)."""

    resolutions: int = number(3, low=1)
    resnets: int = number(5, low=1)
    filters: int = number(160, low=1)
    dropout: float = number(0.5, low=0.0, high=0.9)
    mixtures: int = number(10, low=1)
    levels: int = number(256, low=3, high=1024)
    zero: bool = True
    conditional: bool = True
    channels: list[str] = field(default_factory=lambda: ["charge"])


def check(config: PixelCnnConfig, spec: Spec, framework: FrameworkConfig) -> None:
    """Raise `UserError` where this network does not support the source's events."""
    check_images(spec, framework, 0)
    shape = spec["images"].shape
    most = halvings(shape) + 1
    if config.resolutions > most:
        rows, columns = shape
        raise UserError(
            f"network.resolutions={config.resolutions}: images of {rows} x {columns} can be halved {most - 1} times; "
            f"at most {most}"
        )
