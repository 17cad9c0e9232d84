"""The plane through the middle of the array that is perpendicular to a pointing."""

import torch
from torch import Tensor


def on_the_ground(point: Tensor, frame: Tensor) -> Tensor:
    """Projects points [entries, 2] of the plane perpendicular to the pointing, through the middle of the array, along
    the pointing to the ground: to the north and to the west [entries, 2]. `frame` [entries, 3, 3] has unit vectors
    towards rising altitude, rising azimuth and the pointing."""
    a, b, c, d = frame[:, :2, :2].flatten(1).unbind(1)
    determinant = a * d - b * c
    determinant = determinant + (determinant == 0)  # an entry without images
    x, y = point.unbind(1)
    return torch.stack([d * x - b * y, a * y - c * x], 1) / determinant[:, None]
