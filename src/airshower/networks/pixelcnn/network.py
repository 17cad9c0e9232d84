"""PixelCNN++: the likelihood of images of tanks cell by cell, and new images drawn from it."""

from types import MappingProxyType

from torch import Tensor

from airshower.config.schema import FrameworkConfig
from airshower.data.containers import Images, Table
from airshower.data.spec import Spec
from airshower.networks.generator import EventGenerator
from airshower.networks.pixelcnn.config import PixelCnnConfig, check
from airshower.networks.pixelcnn.density import PixelDensity
from airshower.networks.pixelcnn.sampler import Sampler, largest_batch

CPU_BATCH = 256  # images at a time; larger batches are no faster per image on a CPU


class PixelCnn(PixelDensity, EventGenerator):
    """See `PixelDensity`; it also generates images."""

    Config = PixelCnnConfig
    takes = MappingProxyType({"images": Images, "conditions": Table})
    tasks = ("likelihood",)
    generates = "images"

    def __init__(self, config: PixelCnnConfig, spec: Spec, outputs: dict[str, int], framework: FrameworkConfig):
        check(config, spec, framework)
        super().__init__(config, spec)

    def generate(self, noise: Tensor, conditions: Tensor | None = None) -> Tensor:
        """See `EventGenerator`. Several batches are faster with one `sampler`."""
        return Sampler(self, max(1, len(noise)))(noise, conditions)

    def at_once(self, memory: int | None) -> int:
        """See `EventGenerator`."""
        return CPU_BATCH if memory is None else largest_batch(self, memory)

    def sampler(self, batch: int) -> Sampler:
        """See `EventGenerator`."""
        return Sampler(self, batch, graphs=True)
