"""The networks' input of Cherenkov telescopes' images, independent of the options of a network."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from airshower.data.batch import Batch
from airshower.data.containers import TelescopeImages, image_size
from airshower.data.spec import CameraImagesSpec
from airshower.geometry.sky import rising, unit_vector

TIME_UNIT = 10.0  # ns
LENGTH_UNIT = 100.0  # m


@dataclass(frozen=True, eq=False)
class TelescopeKind:
    """Telescopes of one type with the same camera and optics. `telescopes` int64 are their rows in the spec, `camera`
    the row in its cameras, the focal length (m) is their mean."""

    camera: int
    telescopes: np.ndarray
    focal_length: float


def telescope_kinds(spec: CameraImagesSpec) -> list[TelescopeKind]:
    """Telescopes of one type with one camera and one focal length (to 10 cm), kind by kind: with another
    focal length the pixels of the same camera have other field angles."""
    keys = list(zip(spec.camera.tolist(), spec.telescope_types, spec.focal_length.round(1).tolist(), strict=True))
    rows = {key: np.flatnonzero([other == key for other in keys]) for key in dict.fromkeys(keys)}
    return [TelescopeKind(key[0], of, float(spec.focal_length[of].mean())) for key, of in rows.items()]


class CameraInput(NamedTuple):
    """The images of one kind of telescope. `pixels` float32 [images, 2, pixels]: asinh of the charge in p.e., which is
    linear in the noise and logarithmic above, and the peak's time relative to the image's in 10 ns; 0 where a pixel has
    none. `clean` float32 [images, 1, pixels]: 1 for pixels that cleaning kept, 0 for others, and 0 for all where files
    have no cleaning mask. `event` int64 [images], `row` int64 [images], the telescope's row in the spec. `telescope`
    float32 [images, 6]: its position (100 m) from the middle of the array (stereo) or from itself (mono), and the unit
    vector of its pointing. `frame` float32 [images, 2, 3]: unit vectors (north, west, up) towards rising altitude and
    rising azimuth. `size` float32 [images]: the charge in p.e., of the pixels that cleaning kept, or of all without a
    mask."""

    pixels: Tensor
    clean: Tensor
    event: Tensor
    row: Tensor
    telescope: Tensor
    frame: Tensor
    size: Tensor


class ArrayInput(NamedTuple):
    """A batch of `entries`: an item for each of `telescope_kinds`."""

    kinds: tuple[CameraInput, ...]
    entries: int


class ArrayView:
    """Makes the `ArrayInput` of a batch from its container `images`."""

    def __init__(self, spec: CameraImagesSpec):
        position = torch.from_numpy(spec.position).float()
        self.position = (position - (position.mean(0) if spec.mode == "stereo" else position)) / LENGTH_UNIT
        self.kinds = telescope_kinds(spec)
        self.kind = torch.zeros(len(position), dtype=torch.int64)  # of each telescope
        for number, kind in enumerate(self.kinds):
            self.kind[kind.telescopes] = number

    def __call__(self, batch: Batch) -> ArrayInput:
        """The images of a batch on the device."""
        images = batch["images"].cameras
        device = images[0].charge.device
        self.position, self.kind = self.position.to(device), self.kind.to(device)
        kinds = (
            self._kind(self._of(images[kind.camera], number, kind.camera)) for number, kind in enumerate(self.kinds)
        )
        return ArrayInput(tuple(kinds), len(batch))

    def _of(self, images: TelescopeImages, number: int, camera: int) -> TelescopeImages:
        """Those of one kind of telescope, where several have the camera."""
        if sum(kind.camera == camera for kind in self.kinds) == 1:
            return images
        rows = (self.kind[images.telescope] == number).nonzero()[:, 0]
        return TelescopeImages(*(None if array is None else array[rows] for array in vars(images).values()))

    def _kind(self, images: TelescopeImages) -> CameraInput:
        charge = torch.nan_to_num(images.charge, posinf=0.0, neginf=0.0)
        time = images.time
        has_time = time.isfinite()
        # the squared charge as weight: the many noise pixels have little of it
        weight = charge.clamp_min(0.0).square() * has_time
        time = torch.where(has_time, time, 0.0)
        middle = (time * weight).sum(1, keepdim=True) / weight.sum(1, keepdim=True).clamp_min(1e-12)
        pixels = torch.stack([charge.asinh(), (time - middle) * has_time / TIME_UNIT], 1)
        telescope = torch.cat([self.position[images.telescope], unit_vector(images.pointing)], 1)
        clean = torch.zeros_like(charge) if images.clean is None else images.clean.float()
        size = image_size(charge, images.clean)
        frame = rising(images.pointing)
        return CameraInput(pixels, clean[:, None], images.event, images.telescope, telescope, frame, size)
