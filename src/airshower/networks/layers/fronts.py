"""Shower fronts and cores from points with charge and time: the classical fits, with weights that a network gives.

Events are padded: positions are [n, most, 2] in m, times in ns and weights [n, most], 0 where there is no point.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from airshower.geometry.shower_front import CURVATURE, LIGHT_SPEED, NEAR_PLANE

STEEPEST = 0.95  # largest horizontal part of a unit vector: showers come from above
PLANE_STEPS = 3  # iterations of the fit; each drops hits far from the front
CAP = 100.0  # p.e., above which the weight of a hit is constant


def weighted_mean(position: Tensor, weight: Tensor) -> Tensor:
    """Weighted means of positions [n, 2]; 0 of events without weight."""
    total = weight.sum(1, keepdim=True).clamp_min(1e-6)
    return (position * weight[..., None]).sum(1) / total


def fit_planes(position: Tensor, time: Tensor, weight: Tensor) -> Tensor:
    """The planes through times by weighted least squares: time at the origin (ns) and the horizontal part of the unit
    vector towards the source [n, 3]."""
    design = torch.cat([torch.ones_like(position[..., :1]), -position / LIGHT_SPEED], 2)
    weight = weight / weight.sum(1, keepdim=True).clamp_min(1e-6)
    weighted = design * weight[..., None]
    normal = weighted.transpose(1, 2) @ design
    right = (weighted * time[..., None]).sum(1)
    ridge = torch.diag(normal.new_tensor([1e-6, 1.0, 1.0]))  # ns2: regularises events of few hits towards the vertical
    solution = torch.linalg.solve(normal + ridge, right)
    steep = solution[:, 1:].norm(dim=1, keepdim=True)
    return torch.cat([solution[:, :1], solution[:, 1:] * (STEEPEST / steep.clamp_min(STEEPEST))], 1)


def plane_times(plane: Tensor, position: Tensor) -> Tensor:
    """When planes pass the positions [n, most], ns."""
    return plane[:, :1] - (position @ plane[:, 1:, None])[..., 0] / LIGHT_SPEED


def axis_distance(towards: Tensor, offset: Tensor) -> Tensor:
    """Distances [n, most] in m, at least 1, of points at `offset` [n, most, 2] from the core to the shower's axis;
    `towards` [n, 2] is the horizontal part of the unit vector along it."""
    along = (offset @ towards[..., None])[..., 0]
    return (offset.square().sum(2) - along.square()).clamp_min(1.0).sqrt()


class Fit(NamedTuple):
    """Planes [n, 3], cores [n, 2] in m, and of each hit [n, most] the time corrected for the front's curvature (ns),
    its delay behind the plane (ns), and its weight, 0 far from the front."""

    plane: Tensor
    core: Tensor
    flat: Tensor
    late: Tensor
    weight: Tensor


def first_fit(position: Tensor, charge: Tensor, time: Tensor) -> Fit:
    """The core is the middle of the charge, the plane goes through the times of hits near the front."""
    bright = charge.clamp_max(CAP).sqrt()  # noise hits have single photoelectrons
    core = weighted_mean(position, charge)
    flat = time - CURVATURE * (position - core[:, None]).norm(dim=2)
    plane = late = flat
    near = bright
    for _ in range(PLANE_STEPS):
        plane = fit_planes(position, flat, near)
        late = flat - plane_times(plane, position)
        near = bright * ((late > -NEAR_PLANE[0]) & (late < NEAR_PLANE[1]))
    return Fit(plane, core, flat, late, near)
