"""Images as Hillas' ellipses, and showers as where the axes of several ellipses meet."""

from dataclasses import dataclass

import numpy as np
import torch

from airshower.data.containers import TelescopeImages
from airshower.data.spec import CameraImagesSpec
from airshower.data.splits import Selection
from airshower.detectors.cta.image_parameters import SkyPixels, clean, image_parameters
from airshower.geometry.sky import direction_at, unit_vector
from airshower.networks.telescopes.inputs import telescope_kinds

BATCH = 256  # entries that are read at once


@dataclass(frozen=True)
class Cleaning:
    """Tail cuts, and the least charge of an image that is used, in p.e."""

    picture: float = 10.0
    boundary: float = 5.0
    least: float = 50.0


@dataclass(frozen=True, eq=False)
class Ellipses:
    """The images that are used: `entry` int64 [n] (from 0), `kind` int64 [n] of telescope, `position` f8 [n, 3] of the
    telescope in m, to the north, west and up; `ahead`, `centre` and `normal` f8 [n, 3], in the same directions: where
    the telescope points, where the image's centre is, and the normal of the plane through that and the major axis;
    `parameters` f8 [n] by ctapipe's names."""

    entry: np.ndarray
    kind: np.ndarray
    position: np.ndarray
    ahead: np.ndarray
    centre: np.ndarray
    normal: np.ndarray
    parameters: dict[str, np.ndarray]

    def __len__(self) -> int:
        return len(self.entry)

    @property
    def weight(self) -> np.ndarray:
        """How well an axis is known, as ctapipe's HillasReconstructor takes it: intensity times length over width."""
        of = self.parameters
        return of["hillas_intensity"] * of["hillas_length"] / of["hillas_width"]


@dataclass(frozen=True, eq=False)
class Axes:
    """The shower of each entry: `direction` unit vectors f8 [entries, 3] to the north, west and up, and `core` f8
    [entries, 2] in m to the north and west; NaN where fewer than two images are used."""

    direction: np.ndarray
    core: np.ndarray


def find_ellipses(selections: list[Selection], cleaning: Cleaning) -> Ellipses:
    """Of all images of the chosen entries of sources with the same telescopes; entries are counted on over them."""
    array = selections[0].source.spec["images"]
    parts = []
    first = 0
    pieces = [
        (selection.source, selection.entries[at : at + BATCH])
        for selection in selections
        for at in range(0, len(selection.entries), BATCH)
    ]
    for source, entries in pieces:
        cameras = source.read(entries)["images"].cameras
        for number, kind in enumerate(telescope_kinds(array)):
            images = cameras[kind.camera]
            rows = np.flatnonzero(np.isin(images.telescope, kind.telescopes))
            if len(rows):
                sky = SkyPixels(array.cameras[kind.camera], kind.focal_length)
                parts.append(_of_kind(array, sky, images, rows, first, number, cleaning))
        first += len(entries)
    names = list(parts[0].parameters)
    parameters = {name: np.concatenate([part.parameters[name] for part in parts]) for name in names}
    arrays = ("entry", "kind", "position", "ahead", "centre", "normal")
    return Ellipses(
        *(np.concatenate([getattr(part, name) for part in parts]) for name in arrays), parameters=parameters
    )


def _of_kind(
    array: CameraImagesSpec,
    sky: SkyPixels,
    images: TelescopeImages,
    rows: np.ndarray,
    first: int,
    kind: int,
    cleaning: Cleaning,
) -> Ellipses:
    charge = images.charge[rows]
    mask = clean(sky, charge, cleaning.picture, cleaning.boundary)
    found = image_parameters(sky, charge, images.time[rows], mask)
    used = (found["hillas_intensity"] >= cleaning.least) & (found["hillas_width"] > 0)
    rows = rows[used]
    found = {name: value[used].astype(np.float64) for name, value in found.items()}
    psi = np.radians(found["hillas_psi"])
    pointing = torch.from_numpy(images.pointing[rows]).double()
    # great circles are straight lines in the plane of tangents, in which pixels are
    place = np.stack([found["hillas_fov_lat"], found["hillas_fov_lon"]], 1)
    centre, along = (_vector(direction_at(torch.from_numpy(at), pointing)) for at in (place, place + _step(psi)))
    normal = np.cross(centre, along)
    normal /= np.linalg.norm(normal, axis=1, keepdims=True)
    position = array.position[images.telescope[rows]]
    entry = first + images.event[rows]
    return Ellipses(entry, np.full(len(rows), kind), position, _vector(pointing), centre, normal, found)


def find_axes(ellipses: Ellipses, entries: int) -> Axes:
    """Where the planes of an entry's images meet.

    The direction is the mean of the lines in which each two planes meet, each line weighted with the product of the two
    weights and the sine of the angle between the planes (ctapipe's HillasReconstructor; Hofmann et al., Astropart.
    Phys. 12 (1999) 135, algorithm 1). A plane goes through its telescope, so the core c minimises the sum over images
    of weight x (normal . (c - position))^2 on the ground, z = 0.
    """
    direction = np.full((entries, 3), np.nan)
    core = np.full((entries, 2), np.nan)
    order = np.argsort(ellipses.entry, kind="stable")
    used, starts = np.unique(ellipses.entry[order], return_index=True)
    weights = ellipses.weight
    for entry, rows in zip(used, np.split(order, starts[1:]), strict=True):
        if len(rows) < 2:
            continue
        normal = ellipses.normal[rows]
        weight = weights[rows]
        one, other = np.triu_indices(len(rows), 1)
        lines = np.cross(normal[one], normal[other]) * (weight[one] * weight[other])[:, None]
        lines *= np.where(lines @ ellipses.ahead[rows].mean(0) < 0, -1.0, 1.0)[:, None]
        total = lines.sum(0)
        direction[entry] = total / np.linalg.norm(total)
        distance = (normal * ellipses.position[rows]).sum(1)
        root = np.sqrt(weight)
        core[entry] = np.linalg.lstsq(root[:, None] * normal[:, :2], root * distance, rcond=None)[0]
    return Axes(direction, core)


def impact(ellipses: Ellipses, axes: Axes) -> np.ndarray:
    """From each image's telescope to its shower's axis in m, f8 [n]."""
    to = ellipses.position - np.pad(axes.core, ((0, 0), (0, 1)))[ellipses.entry]
    return np.linalg.norm(np.cross(to, axes.direction[ellipses.entry]), axis=1)


def displacement(ellipses: Ellipses, axes: Axes) -> np.ndarray:
    """From each image's centre to its shower's direction in degrees, f8 [n]."""
    across = np.linalg.norm(np.cross(ellipses.centre, axes.direction[ellipses.entry]), axis=1)
    return np.degrees(np.arcsin(across.clip(max=1.0)))


def _step(psi: np.ndarray) -> np.ndarray:
    """A degree along the major axis: altitude and azimuth."""
    return np.stack([np.sin(psi), np.cos(psi)], 1)


def _vector(direction: torch.Tensor) -> np.ndarray:
    """Altitude and azimuth in rad [n, 2] -> to the north, west and up f8 [n, 3]."""
    return unit_vector(direction).numpy()
