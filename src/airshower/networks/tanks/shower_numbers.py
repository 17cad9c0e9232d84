"""Numbers of an event of HAWC's tanks for classical estimators: the files' own fits, and the charge around the core."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from airshower.data.spec import ImagesSpec, Spec
from airshower.errors import UserError
from airshower.geometry.sky import tangent_at_zenith
from airshower.networks.layers.features import physical
from airshower.networks.layers.fronts import axis_distance

HITS, TANKS, CHARGE, COMPACTNESS, PINC = "rec.nHit", "rec.nTankHit", "rec.logNPE", "rec.CxPE40", "rec.PINC"
ZENITH, AZIMUTH = "rec.zenithAngle", "rec.azimuthAngle"
CORE = "rec.coreX", "rec.coreY"
SIZES = (HITS, TANKS, CHARGE, COMPACTNESS, PINC)
NEEDED = (*SIZES, ZENITH, AZIMUTH, *CORE)
LENGTH_UNIT = 100.0  # m
FAILED_ZENITH, FAILED = torch.pi, 0.01  # rad: the zenith angle of events whose direction was not found, within this
TYPICAL_ZENITH = 0.4  # rad, in place of it; the mean of triggered showers
LEAST_CHARGE = 0.01  # p.e. of a PMT on average, below the noise


@dataclass(frozen=True)
class Numbers:
    """Of n events: `direction` [n, 2] of the plane fit in degrees in the plane that touches the sky at the zenith, and
    `core` [n, 2] of the core fit in 100 m from the frame's origin; features for the linear `energy` estimator
    [n, annuli + 3], for the `cuts` on gammas [n, 3] and for forests (`every`) [n, features]."""

    direction: Tensor
    core: Tensor
    energy: Tensor
    cuts: Tensor
    every: Tensor


class ShowerNumbers(nn.Module):
    """Images of charge [n, channels, rows, columns], the table of reconstructed quantities, scaled [n, quantities], and
    the frame's origins (m) [n, 2] -> `Numbers`. Raises `UserError` for a table that lacks a needed quantity.

    Where the plane fit failed, the direction is the zenith, the middle of the field of view, and estimators get a
    typical zenith angle. Annuli are around the fitted axis, perpendicular to it. `edges` (m) are their outer radii; one
    more annulus has all that is beyond.
    """

    position: Tensor
    live: Tensor
    edges: Tensor

    def __init__(self, spec: Spec, edges: Sequence[float]):
        super().__init__()
        images: ImagesSpec = spec["images"]
        self.charge = images.channels[0]
        self.quantities = {quantity.name: quantity for quantity in spec.quantities("parameters")}
        check_names(list(self.quantities))
        live = torch.from_numpy(images.pmt[~images.dead])
        self.register_buffer("live", torch.from_numpy(~images.dead), persistent=False)
        self.register_buffer("position", torch.from_numpy(images.position).float()[live, :2], persistent=False)
        self.register_buffer("edges", torch.tensor([0.0, *edges]), persistent=False)
        annuli = len(edges) + 1
        self.sizes = {"energy": annuli + 3, "cuts": 3, "every": len(SIZES) + 3 * annuli + 5}

    def forward(self, images: Tensor, table: Tensor, origin: Tensor) -> Numbers:
        """See the class."""
        scaled = dict(zip(self.quantities, table.unbind(1), strict=True))
        values = {name: physical(self.quantities[name], scaled[name]) for name in NEEDED}
        failed = (values[ZENITH] - FAILED_ZENITH).abs() <= FAILED
        zenith = values[ZENITH].masked_fill(failed, TYPICAL_ZENITH)
        towards = torch.stack([values[AZIMUTH].cos(), values[AZIMUTH].sin()], 1) * zenith.sin()[:, None]
        towards = towards.masked_fill(failed[:, None], 0.0)
        core = torch.stack([values[name] for name in CORE], 1)
        offset = (core - origin) / LENGTH_UNIT
        cells = images[:, 0, self.live]
        hit = cells > 0
        charge = physical(self.charge, cells) * hit
        light, share, largest = self._annuli(charge, hit, axis_distance(towards, self.position - core[:, None]))
        common = torch.stack([hit_fraction(hit), 1 / zenith.cos().clamp_min(0.1), offset.norm(dim=1)], 1)
        size = values[HITS].clamp_min(1.0).log()
        compactness = size - values[COMPACTNESS].clamp_min(LEAST_CHARGE).log()
        cuts = torch.stack([compactness, scaled[PINC], size], 1)
        sizes = torch.stack([scaled[name] for name in SIZES], 1)
        concentration = (charge.amax(1) / charge.sum(1).clamp_min(LEAST_CHARGE))[:, None]
        every = torch.cat([sizes, compactness[:, None], concentration, common, light, share, largest], 1)
        return Numbers(tangent_at_zenith(towards), offset, torch.cat([light, common], 1), cuts, every)

    def _annuli(self, charge: Tensor, hit: Tensor, distance: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Of each annulus log10 of the mean charge of a PMT (p.e.), the share of PMTs with a hit, and log10 of the
        largest charge, [n, annuli] each; annuli without PMTs are like dark ones."""
        annulus = torch.bucketize(distance, self.edges, right=True) - 1
        columns = []
        for number in range(len(self.edges)):
            inside = annulus == number
            pmts = inside.sum(1).clamp_min(1)
            of_ring = charge * inside
            columns.append(
                torch.stack(
                    [
                        (of_ring.sum(1) / pmts + LEAST_CHARGE).log10(),
                        (hit & inside).sum(1) / pmts,
                        (of_ring.amax(1) + LEAST_CHARGE).log10(),
                    ],
                    1,
                )
            )
        light, share, largest = torch.stack(columns, 2).unbind(1)
        return light, share, largest


def hit_fraction(hit: Tensor) -> Tensor:
    """log10 of the fraction of PMTs that have a hit, bool [n, PMTs] -> [n]; events without hits are as with one."""
    return (hit.sum(1).clamp_min(1) / hit.shape[1]).log10()


def check_names(names: Sequence[str]) -> None:
    """Raise `UserError` where quantities with these names lack a needed one."""
    if missing := [name for name in NEEDED if name not in names]:
        raise UserError(f"data.parameters: classical fits need {', '.join(missing)}, too")
