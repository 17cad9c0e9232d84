"""Direction and core from the geometry of a shower. In each telescope's view the axis of the image is a line through
both, so the lines of several telescopes cross there.

Hillas, Cerenkov light images of EAS produced by primary gamma (ICRC 1985), with learned parts: the weights of pixels,
the displacement along an image's axis, and the weight of each image.
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from airshower.geometry.sky import common_pointing, rising, with_pointing
from airshower.networks.layers.normal_equations import solved
from airshower.networks.layers.tilted import on_the_ground
from airshower.networks.telescopes.hexagonal import CameraMap, HexConv2d, wide

LOOKS = 8  # channels from which the weights of pixels are computed
KERNEL = 5  # pixels across the convolution that makes them
DIRT = 8.0  # initial weights of pixels removed by cleaning are lower by this number of e-folds
OF_AXIS = 9  # features of an image in the frame of its axis
OF_POSITION = 3  # features of an image's position relative to the direction
# deg and 100 m, across the axis and along it: initial uncertainties of votes
SPREAD = {"direction": (0.15, 1.5), "core": (0.2, 2.0)}
PRIOR = 0.01  # weight of the prior that direction and core are at 0, 1/deg^2 or 1/(100 m)^2
TINY = 1e-6


class Axes(NamedTuple):
    """The images' centres (deg in the field of view) and unit vectors along and across them [images, n, 2], for n sets
    of pixel weights. `features` [images, n, OF_AXIS] are invariant under rotations of the image. `worth` [images, n] is
    the weight of an image in ctapipe's HillasReconstructor, size times length / width, in 100 p.e."""

    centre: Tensor
    along: Tensor
    across: Tensor
    features: Tensor
    worth: Tensor


class ImageAxes(nn.Module):
    """The moments of images with learned weights of pixels. Initial weights are powers of the charge of the pixels that
    cleaning kept: the charge as for Hillas parameters, its square, its third power and so on."""

    def __init__(self, channels: int, ways: int, hexagonal: bool):
        super().__init__()
        self.look = HexConv2d(channels, LOOKS, KERNEL, hexagonal=hexagonal)
        self.score = nn.Conv2d(LOOKS, ways, 1)
        self.power = nn.Parameter(torch.arange(1.0, ways + 1)[:, None, None])
        self.dirt = nn.Parameter(torch.full((ways, 1, 1), DIRT))
        nn.init.normal_(self.score.weight, std=0.01)
        assert self.score.bias is not None
        nn.init.zeros_(self.score.bias)

    def forward(self, image: CameraMap, clean: Tensor, field: Tensor, size: Tensor) -> Axes:
        """A map [images, channels, rows, columns] of charge (asinh) and maybe time, `clean`: 1 for cells that cleaning
        kept [images, 1, rows, columns], `field`: the cells' field angles, deg [2, rows, columns], and the images' sizes
        [images] in p.e."""
        score = wide(self.score(self.look(image).values.relu()))
        score = score + self.power * wide(image.values[:, :1]) + self.dirt * clean
        weight = score.masked_fill(~image.mask, -torch.inf).flatten(2).softmax(2)
        with torch.autocast(weight.device.type, enabled=False):
            return self._moments(weight, wide(image.values[:, 1:]).flatten(2), field.to(weight).flatten(1), wide(size))

    def _moments(self, weight: Tensor, time: Tensor, field: Tensor, size: Tensor) -> Axes:
        x, y = field
        powers = torch.stack([x, y, x * x, x * y, y * y, x**3, x * x * y, x * y * y, y**3])
        x, y, xx, xy, yy, xxx, xxy, xyy, yyy = (weight @ powers.T).unbind(2)
        cxx = xx - x * x
        cxy = xy - x * y
        cyy = yy - y * y
        turn = 0.5 * torch.atan2(2 * cxy, cxx - cyy + TINY)
        along = torch.stack([turn.cos(), turn.sin()], 2)
        centre = torch.stack([x, y], 2)
        outwards = torch.where((centre * along).sum(2, keepdim=True) < 0, -1.0, 1.0)
        along = along * outwards  # of the axis' two ends, the one further from the middle of the camera
        u, v = along.unbind(2)
        across = torch.stack([-v, u], 2)
        length = (cxx * u * u + 2 * cxy * u * v + cyy * v * v).clamp_min(TINY).sqrt()
        width = (cxx * v * v - 2 * cxy * u * v + cyy * u * u).clamp_min(TINY).sqrt()
        # third central moment along the axis
        a = (centre * along).sum(2)
        b = xx * u * u + 2 * xy * u * v + yy * v * v
        third = xxx * u**3 + 3 * xxy * u * u * v + 3 * xyy * u * v * v + yyy * v**3 - 3 * a * b + 2 * a**3
        skewness = (third / length**3).clamp(-5.0, 5.0)
        if time.shape[1]:
            weighted = weight * time
            covariance = weighted @ field.T - weighted.sum(2, keepdim=True) * centre
            slopes = [(covariance * axis).sum(2) / (length**2 + 0.01) for axis in (along, across)]
        else:
            slopes = [torch.zeros_like(length)] * 2
        brightness = size.clamp_min(1.0).log10()[:, None].expand_as(length)
        shape = [length, width, length.log(), width.log(), skewness, *slopes, a, brightness]
        worth = size.clamp_min(1.0)[:, None] / 100.0 * length / width
        return Axes(centre, along, across, torch.stack(shape, 2), worth)


class Geometry(nn.Module):
    """Direction and core from the votes of all telescopes of an event. A vote is a Gaussian; the result is the maximum
    of their product. Also gives additions to the images' features [images, channels], from the images relative to
    it."""

    votes = ("direction", "core")

    def __init__(self, channels: int, ways: int):
        super().__init__()
        inputs = channels + OF_AXIS
        self.direction = Vote(inputs, *SPREAD["direction"])
        self.core = Vote(inputs + OF_POSITION, *SPREAD["core"])
        self.complete = nn.Linear(channels + ways * (OF_AXIS + OF_POSITION + 2), channels)

    def forward(
        self, features: Tensor, axes: Axes, position: Tensor, frame: Tensor, event: Tensor, entries: int
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Telescopes' positions [images, 3] in 100 m, `frame` [images, 2, 3] the unit vectors towards rising altitude
        and rising azimuth -> additions to the features, and keyed by name direction (deg from the `common_pointing`)
        and core (100 m to the north and west) [entries, 2]."""
        ways = axes.along.shape[1]
        with torch.autocast(frame.device.type, enabled=False):
            frames = with_pointing(wide(frame))
            common = with_pointing(rising(common_pointing(frames[:, 2], event, entries)))
            axes = in_frame(axes, frames, common[event])
        inputs = torch.cat([features[:, None].expand(-1, ways, -1), axes.features], 2)
        direction = self.direction(inputs, axes.centre, axes, event, entries)
        # the image is displaced from the direction as the core is from the telescope
        displaced = axes.centre - direction[event][:, None]
        relative_position = [(displaced * axis).sum(2) for axis in (axes.along, axes.across)]
        relative_position = torch.stack([*relative_position, displaced.square().sum(2).add(TINY).sqrt()], 2)
        tilted = (common[event, :2] * position[:, None]).sum(2)
        core = self.core(
            torch.cat([inputs, relative_position], 2), tilted[:, None].expand(-1, ways, -1), axes, event, entries
        )
        impact = (core[event] - tilted).square().sum(1).add(TINY).sqrt()[:, None, None].expand(-1, ways, 1)
        relative = torch.cat([axes.features, relative_position, impact, (impact + 0.1).log()], 2).flatten(1)
        addition = self.complete(torch.cat([features, relative], 1))
        return addition, {"direction": direction, "core": on_the_ground(core, common)}


class Vote(nn.Module):
    """The vote of an image for a position: displacements along and across its axis from an origin, each with a weight;
    the weight across is in units of the image's `worth`. The weighted least-squares solution of all votes is the
    position."""

    def __init__(self, inputs: int, across: float, along: float, width: int = 64):
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(inputs, width), nn.ReLU(), last := nn.Linear(width, 4))
        nn.init.normal_(last.weight, std=0.01)
        with torch.no_grad():
            last.bias.copy_(torch.tensor([0.0, 0.0, along, across])).log_().mul_(-2.0)[:2].zero_()

    def forward(self, features: Tensor, origin: Tensor, axes: Axes, event: Tensor, entries: int) -> Tensor:
        """Features [images, n, inputs] and the origins [images, n, 2] of votes -> [entries, 2]."""
        with torch.autocast(features.device.type, enabled=False):
            votes = self.layers(wide(features))
            along, across = votes[..., 2:].clamp(-8.0, 12.0).exp().unbind(2)
            weight = torch.stack([along, across * axes.worth], 2)
            matrix = vector = votes.new_zeros(())
            for index, axis in enumerate((axes.along, axes.across)):
                outer = axis[..., :, None] * axis[..., None, :] * weight[..., index, None, None]
                matrix = matrix + outer
                vector = vector + votes[..., index, None] * weight[..., index, None] * axis
            vector = (vector + (matrix @ origin[..., None])[..., 0]).sum(1)
            a, b, _, d = matrix.new_zeros(entries, 4).index_add(0, event, matrix.sum(1).flatten(1)).unbind(1)
            x, y = vector.new_zeros(entries, 2).index_add(0, event, vector).unbind(1)
            return solved(a + PRIOR, b, d + PRIOR, x, y)


def in_frame(axes: Axes, frame: Tensor, common: Tensor) -> Axes:
    """Axes in the field of view of another pointing: frames [images, 3, 3] towards rising altitude, rising azimuth and
    the pointing. Gnomonic projections map great circles to straight lines, so an axis stays a straight line."""
    turn = torch.einsum("ijk,ilk->ijl", common, frame)
    x, y = torch.deg2rad(axes.centre).unbind(2)
    ray = torch.einsum("ijl,inl->inj", turn, torch.stack([x, y, torch.ones_like(x)], 2))
    step = torch.einsum("ijl,inl->inj", turn[..., :2], axes.along)
    centre = torch.rad2deg(ray[..., :2] / ray[..., 2:])
    ahead = ray[..., 2:]
    along = step[..., :2] * ahead - ray[..., :2] * step[..., 2:]
    along = along / along.norm(dim=2, keepdim=True)
    across = torch.stack([-along[..., 1], along[..., 0]], 2)
    return Axes(centre, along, across, axes.features, axes.worth)
