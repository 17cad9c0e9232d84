"""Small PixelCNN++s and images for them."""

import numpy as np
import torch
from torch import Tensor

from airshower.config.schema import FrameworkConfig
from airshower.data.quantity import Quantity
from airshower.data.spec import Spec, TableSpec
from airshower.detectors.hawc.image_spec import HawcImagesSpec
from airshower.geometry.tank_array import hawc_array
from airshower.networks.pixelcnn.config import PixelCnnConfig
from airshower.networks.pixelcnn.network import PixelCnn

CHARGE, TIME = Quantity("charge", "p.e.", 0.0, 1.0), Quantity("time", "ns", 0.0, 1.0)
ENERGY, AZIMUTH = Quantity("energy", "GeV", 0.0, 1.0), Quantity("azimuth", "rad", 0.0, 1.0, period=2 * np.pi)


def tank_spec(size: int = 12, channels: int = 2, conditions: tuple[Quantity, ...] = ()) -> Spec:
    """Images of `size` x `size` cells in the middle of HAWC's, or of all 40 x 40; a few cells of small ones are dead,
    also at the ends of rows."""
    array = hawc_array()
    pmt = array.pmt if size == 40 else np.arange(size**2).reshape(size, size)
    if size < 40:
        pmt[1, 3:6] = pmt[4, :2] = pmt[5, -3:] = pmt[7] = -1
    images = HawcImagesSpec((CHARGE, TIME)[:channels], array.position, array.cell, pmt)
    return Spec({"images": images, "parameters": TableSpec(()), "conditions": TableSpec(conditions)})


def network(spec: Spec, **config: object) -> PixelCnn:
    """In evaluation, with weights that are not those of a data-dependent start."""
    torch.manual_seed(3)
    options = {"filters": 4, "resnets": 1, "mixtures": 3, "conditional": False, **config}
    net = PixelCnn(PixelCnnConfig(**options), spec, {}, FrameworkConfig()).eval()
    for place in (net.place_above, net.place):
        torch.nn.init.normal_(place)
    return net


def sparse_images(count: int, spec: Spec, share: float = 0.3, seed: int = 0) -> Tensor:
    """Random ones with hits in so many of the live cells."""
    generator = torch.Generator().manual_seed(seed)
    of_images = spec["images"]
    images = torch.rand(count, len(of_images.channels), *of_images.shape, generator=generator)
    hit = torch.rand(count, 1, *of_images.shape, generator=generator) < share
    return images * (hit & torch.from_numpy(~of_images.dead))


def uniform(count: int, net: PixelCnn, seed: int = 1, dtype: torch.dtype = torch.float32) -> Tensor:
    """Noise for so many images."""
    return torch.rand(count, net.latent, generator=torch.Generator().manual_seed(seed), dtype=dtype)
