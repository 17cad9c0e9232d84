"""Showers of single images: how far and on which side of an image its shower is, along the axis of the image.

The direction is at a displacement from the image's centre (Lessard et al., Astropart. Phys. 15 (2001) 1), and the
core from the telescope the other way, as the image is displaced from the direction as the core is from the telescope.
"""

import numpy as np
import torch
from torch import nn

from airshower.geometry.sky import altitude_azimuth, tangent_offset
from airshower.networks.telescopes.ellipses import Crossings, Ellipses, impact
from airshower.networks.telescopes.inputs import LENGTH_UNIT
from airshower.networks.telescopes.kind_trees import KindTrees, TreesConfig, named


class LoneImages(nn.Module):
    """Trees for the `displacement` of the direction from an image (deg), for the `side` it is on, 1 for that away from
    the middle of the camera, and for the `distance` of the telescope from the axis (100 m)."""

    def __init__(self, config: TreesConfig, seed: int, kinds: int):
        super().__init__()
        self.estimators = nn.ModuleDict(
            {
                "displacement": KindTrees(config, seed, kinds),
                "side": KindTrees(config, seed, kinds, classes=2),
                "distance": KindTrees(config, seed, kinds),
            }
        )

    def forward(self, ellipses: Ellipses, features: np.ndarray) -> Crossings:
        """The direction and core that each image [n] says, see `Crossings`; NaN for a kind of telescope that was not
        learned from."""
        values = {}
        for name in self.estimators:
            of_images, known = named(self.estimators, name).of_images(features, ellipses.kind)
            values[name] = torch.where(known[:, None], of_images.double(), torch.nan).cpu().numpy()
        side = np.where(values["side"].argmax(1) == 1, 1.0, -1.0)[:, None]
        to_shower = side * values["displacement"] * ellipses.along
        direction = ellipses.at(ellipses.centre + np.nan_to_num(to_shower))
        direction[~np.isfinite(to_shower[:, 0])] = np.nan
        to_core = ellipses.across_the_sky(-side * ellipses.along) * LENGTH_UNIT * values["distance"]
        place = ellipses.position + to_core
        on_the_ground = place - direction * (place[:, 2] / direction[:, 2])[:, None]
        return Crossings(direction, on_the_ground[:, :2])


def lone_targets(
    ellipses: Ellipses, direction: np.ndarray, core: np.ndarray, weight: np.ndarray
) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """What is learned of each image, with its weight [n], from true directions f8 [entries, 3] and cores f8
    [entries, 2], NaN where they are not known, and the weights [entries] of these."""
    entry = ellipses.entry
    true = altitude_azimuth(torch.from_numpy(np.nan_to_num(direction)))[entry]
    offset = tangent_offset(true, torch.from_numpy(ellipses.pointing)).numpy()
    along = ((offset - ellipses.centre) * ellipses.along).sum(1)
    distance = impact(ellipses, Crossings(direction, core)) / LENGTH_UNIT
    used = {
        "displacement": np.abs(along),
        "side": (along > 0).astype(np.int64),
        "distance": distance,
    }
    known = np.isfinite(direction[entry, 0])
    weights = dict.fromkeys(used, weight[entry] * known) | {"distance": weight[entry] * np.isfinite(distance)}
    return {name: (values, weights[name]) for name, values in used.items()}
