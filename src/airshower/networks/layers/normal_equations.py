"""Least squares of two numbers: symmetric equations with a matrix of 2 x 2."""

import torch
from torch import Tensor


def solved(xx: Tensor, xy: Tensor, yy: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """Solutions [n, 2] of positive definite equations with the matrix (`xx`, `xy`; `xy`, `yy`) and the right-hand side
    (`x`, `y`), all [n]."""
    return torch.stack([yy * x - xy * y, xx * y - xy * x], 1) / (xx * yy - xy * xy)[:, None]
