"""Other views of the same events to train on: mirrored chambers, other gains, noise, dead wires, windows."""

import dataclasses
from dataclasses import dataclass

import numpy as np

from airshower.config.fields import number, value
from airshower.data.containers import SparseImages
from airshower.detectors.lartpc.larcv.wires import CLASSES
from airshower.errors import UserError

NEUTRINO = CLASSES.index("neutrino")
EXCHANGED = [1, 0, 2]
"""The wires of planes 0 and 1 are at +60 and -60 degrees to the vertical, those of plane 2 are vertical: with up and
down exchanged, or the ends of the beam, the first two see what the other saw. See `geometry.wire_planes`."""


@dataclass
class AugmentationConfig:
    """`data.augmentation.*`: how events that are trained on are changed, anew in each epoch.

    Of the mirrors, each is applied to half of the events. `mirror_drift` turns time around; the cathode is in the
    middle of the images. `mirror_height` exchanges the planes 0 and 1. `mirror_beam` exchanges them, and turns the
    wires of all planes around, so that neutrinos come from behind. `charge` is the rms of a factor's logarithm, one an
    event, `noise` the rms of what is added to pixels (counts), `dropped_wires` a share. `windowed` is the share of
    events of which only a `window` (ticks, wires; pixels as read) in each plane is seen: it holds a pixel of the
    neutrino, if there is one.
    """

    mirror_drift: bool = False
    mirror_height: bool = False
    mirror_beam: bool = False
    charge: float = number(0.0, low=0.0)
    noise: float = number(0.0, low=0.0)
    dropped_wires: float = number(0.0, low=0.0, high=0.9)
    windowed: float = number(0.0, low=0.0, high=1.0)
    window: list[int] = value([256, 512])


class Augmentation:
    """Changes events of images of `planes` times `shape` (ticks, wires).

    What is done to an event follows from the seed, the epoch and its entry alone.
    """

    def __init__(self, config: AugmentationConfig, planes: int, shape: tuple[int, int], seed: int):
        self.config = config
        self.shape = shape
        self.seed = seed
        self.changes = config != dataclasses.replace(AugmentationConfig(), window=config.window)
        if (config.mirror_height or config.mirror_beam) and planes != len(EXCHANGED):
            raise UserError(
                f"data.augmentation: mirror_height and mirror_beam exchange the planes of {len(EXCHANGED)}, but the "
                f"images have {planes}; use false"
            )
        if len(config.window) != 2 or min(config.window) < 1:
            raise UserError(f"data.augmentation.window={config.window}: must be two sizes in pixels, ticks and wires")

    def images(self, images: SparseImages, entries: np.ndarray, epoch: int) -> SparseImages:
        """The images of these entries, changed; with `window`, pixels outside of it are left out."""
        if not len(entries):
            return images
        ends = np.cumsum(images.counts.reshape(-1)).reshape(images.counts.shape)
        starts = ends - images.counts
        whole = _Plane(images.row, images.column, images.value, images.label)
        parts = []
        counts = np.empty_like(images.counts)
        for event, entry in enumerate(entries.tolist()):
            spans = zip(starts[event], ends[event], strict=True)
            planes = [whole.taken(slice(start, end)) for start, end in spans]
            changed = self._event(planes, epoch, entry)
            counts[event] = [len(plane.row) for plane in changed]
            parts += changed
        fields = [item.name for item in dataclasses.fields(_Plane)]
        joined = {
            name: None if getattr(images, name) is None else np.concatenate([getattr(part, name) for part in parts])
            for name in fields
        }
        return dataclasses.replace(images, counts=counts, **joined)

    def vertices(self, vertices: np.ndarray, entries: np.ndarray, epoch: int) -> np.ndarray:
        """The vertices [events, planes, 2] (row, column) of these entries where `images` has them."""
        changed = vertices.copy()
        size = np.array(self.shape, vertices.dtype)
        for event, entry in enumerate(entries.tolist()):
            _, drift, height, beam = self._drawn(epoch, entry)
            planes = vertices[event, EXCHANGED] if height != beam else vertices[event]
            turned = np.array([drift, beam])
            changed[event] = np.where(turned, size - planes, planes)
        return changed

    def _drawn(self, epoch: int, entry: int) -> tuple[np.random.Generator, bool, bool, bool]:
        """A generator for the event, and which mirrors it gets."""
        rng = np.random.default_rng([self.seed, epoch, entry])
        drift, height, beam = (rng.random(3) < 0.5) & [
            self.config.mirror_drift,
            self.config.mirror_height,
            self.config.mirror_beam,
        ]
        return rng, bool(drift), bool(height), bool(beam)

    def _event(self, planes: list["_Plane"], epoch: int, entry: int) -> list["_Plane"]:
        config = self.config
        rng, drift, height, beam = self._drawn(epoch, entry)
        rows, columns = self.shape
        if height != beam:
            planes = [planes[plane] for plane in EXCHANGED]
        if drift:
            planes = [dataclasses.replace(plane, row=rows - 1 - plane.row) for plane in planes]
        if beam:
            planes = [dataclasses.replace(plane, column=columns - 1 - plane.column) for plane in planes]
        if config.charge:
            factor = np.float32(np.exp(config.charge * rng.standard_normal()))
            planes = [dataclasses.replace(plane, value=plane.value * factor) for plane in planes]
        if config.noise:
            planes = [plane.noisy(rng, config.noise) for plane in planes]
        if config.dropped_wires:
            planes = [plane.taken(rng.random(columns)[plane.column] >= config.dropped_wires) for plane in planes]
        if rng.random() < config.windowed:
            planes = self._windowed(planes, rng)
        return planes

    def _windowed(self, planes: list["_Plane"], rng: np.random.Generator) -> list["_Plane"]:
        """One span of ticks for all planes, and a span of wires for each."""
        (ticks, wires), (rows, columns) = self.config.window, self.shape
        span = _span(np.concatenate([plane.centres().row for plane in planes]), ticks, rows, rng)
        planes = [plane.taken((plane.row >= span.start) & (plane.row < span.stop)) for plane in planes]
        windowed = []
        for plane in planes:
            span = _span(plane.centres().column, wires, columns, rng)
            windowed.append(plane.taken((plane.column >= span.start) & (plane.column < span.stop)))
        return windowed


def _span(pixels: np.ndarray, size: int, full: int, rng: np.random.Generator) -> range:
    """A span of `size` of the `full` length that holds one of the pixels, at a random place in it."""
    pixel = pixels[rng.integers(len(pixels))] if len(pixels) else rng.integers(full)
    start = min(max(int(pixel) - int(rng.integers(size)), 0), max(full - size, 0))
    return range(start, start + size)


@dataclass(frozen=True)
class _Plane:
    """The pixels of one image, see `SparseImages`."""

    row: np.ndarray
    column: np.ndarray
    value: np.ndarray
    label: np.ndarray | None

    def taken(self, index: np.ndarray | slice) -> "_Plane":
        """Some of the pixels."""
        label = None if self.label is None else self.label[index]
        return _Plane(self.row[index], self.column[index], self.value[index], label)

    def noisy(self, rng: np.random.Generator, rms: float) -> "_Plane":
        """With noise on its pixels."""
        noise = rng.standard_normal(len(self.value), np.float32)
        return dataclasses.replace(self, value=self.value + np.float32(rms) * noise)

    def centres(self) -> "_Plane":
        """The pixels of the neutrino, or all if there are none."""
        chosen = np.flatnonzero(self.label == NEUTRINO) if self.label is not None else np.empty(0, np.int64)
        return self.taken(chosen) if len(chosen) else self
