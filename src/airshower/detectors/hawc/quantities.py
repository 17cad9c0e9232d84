"""The quantities of HAWC's events in addition to hits, and their scaling for networks.

The middles and widths are the means and standard deviations of the gammas of hawc-deep-learning (arcelien et al. 2018),
so that they are the same for all files: a network's output has the same units for all training data.
"""

from collections.abc import Mapping

import numpy as np

from airshower.data.quantity import Quantity
from airshower.detectors.hawc.event_fields import AZIMUTH, ENERGY, PHI, THETA, ZENITH
from airshower.errors import UserError

LEAST_CHARGE = 0.1  # p.e.; hits of less are none
TURN = 2.0 * np.pi

QUANTITIES = {
    quantity.name: quantity
    for quantity in (
        Quantity("rec.logNPE", "log10 p.e.", 2.645, 0.562, step=0.01),
        Quantity("rec.nHit", "", 4.680, 0.801, logarithmic=True, step=1.0),
        Quantity("rec.nTankHit", "", 78.09, 61.45, step=1.0),
        Quantity(ZENITH, "rad", 0.417, 0.209, step=0.0001),
        Quantity(AZIMUTH, "rad", 0.0, 1.806, period=TURN, step=0.0001),
        Quantity("rec.coreX", "m", 65.9, 94.1, step=0.1),
        Quantity("rec.coreY", "m", 253.7, 94.0, step=0.1),
        Quantity("rec.CxPE40", "p.e.", 2.326, 0.999, logarithmic=True, floor=0.01, step=0.01),
        Quantity("rec.PINC", "", 0.0, 1.0, logarithmic=True, floor=0.01, step=0.001),
        Quantity(ENERGY, "GeV", 7.73, 1.71, logarithmic=True),
        Quantity(THETA, "deg", 23.9, 11.6),
        Quantity(PHI, "deg", 180.0, 103.8, period=360.0),
    )
}
PRIMARY = Quantity("primary", "", 0.5, 0.5, step=1.0, names=("gamma", "proton"))  # no field: the class of the file
POINT_FEATURES = {
    quantity.name: quantity
    for quantity in (
        Quantity("charge", "p.e.", 1.0, 1.5, logarithmic=True),
        Quantity("time", "ns", 0.0, 100.0),
        Quantity("central", "", 0.25, 0.433, step=1.0, names=("outer", "central")),
        Quantity("lower", "", 0.5, 0.5, step=1.0, names=("upper", "lower")),
    )
}
PARAMETERS = ("rec.logNPE", "rec.nHit", "rec.nTankHit", ZENITH, AZIMUTH, "rec.coreX", "rec.coreY", "rec.CxPE40")
CONDITIONS = (ENERGY, THETA, PHI)


def chosen(names: list[str], key: str, choices: Mapping[str, Quantity] = QUANTITIES) -> tuple[Quantity, ...]:
    """The quantities of these names. Raises `UserError` naming `key` for an unknown one."""
    for name in names:
        if name not in choices:
            raise UserError(f"{key}: there is no {name}; there are {', '.join(choices)}")
        if names.count(name) > 1:
            raise UserError(f"{key}: has {name} twice")
    return tuple(choices[name] for name in names)


def image_channels(names: list[str], most_charge: float, earliest: float, latest: float) -> tuple[Quantity, ...]:
    """The channels of images: charge from `LEAST_CHARGE` to `most_charge` p.e., logarithmic, time from `earliest` to
    `latest` in ns, scaled to 0 and 1. Raises `UserError` for other names than charge, or charge and time, or none."""
    low, high = np.log(LEAST_CHARGE), np.log(most_charge)
    channels = (
        Quantity("charge", "p.e.", low, high - low, logarithmic=True),
        Quantity("time", "ns", earliest, latest - earliest),
    )
    all_names = [channel.name for channel in channels]
    if names not in ([], all_names[:1], all_names):
        raise UserError(f"data.channels={names}: can be [], [charge] or [charge, time]")
    return channels[: len(names)]


def point_features(names: list[str]) -> tuple[Quantity, ...]:
    """The features of hits as points: charge (p.e.), time (ns), whether the PMT is the larger one in the middle of its
    tank, and whether it is in the lower cell of a double-layer tank. Raises `UserError` for others."""
    return chosen(names, "data.features", POINT_FEATURES)
