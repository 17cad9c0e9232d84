"""What is read of HAWC's events beside their hits, and how networks see it.

The middles and widths are the means and standard deviations of the gammas of hawc-deep-learning (arcelien et al. 2018),
so that they are the same for all files: a network's output is in the same units whatever it was trained on.
"""

from collections.abc import Mapping

import numpy as np

from airshower.data.tanks import Quantity
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
PARAMETERS = ("rec.logNPE", "rec.nHit", "rec.nTankHit", ZENITH, AZIMUTH, "rec.coreX", "rec.coreY", "rec.CxPE40")
CONDITIONS = (ENERGY, THETA, PHI)


def chosen(names: list[str], key: str, known: Mapping[str, Quantity] = QUANTITIES) -> tuple[Quantity, ...]:
    """The quantities of these names. Raises `UserError` naming `key` for one that there is not."""
    for name in names:
        if name not in known:
            raise UserError(f"{key}: there is no {name}; there are {', '.join(known)}")
        if names.count(name) > 1:
            raise UserError(f"{key}: has {name} twice")
    return tuple(known[name] for name in names)


def image_channels(names: list[str], most_charge: float, earliest: float, latest: float) -> tuple[Quantity, ...]:
    """The channels of images: charge from `LEAST_CHARGE` to `most_charge` p.e., logarithmic, time between two times in
    ns, which are 0 and 1 then. Raises `UserError` for other names than charge, or charge and time, or none."""
    low, high = np.log(LEAST_CHARGE), np.log(most_charge)
    channels = (
        Quantity("charge", "p.e.", low, high - low, logarithmic=True),
        Quantity("time", "ns", earliest, latest - earliest),
    )
    known = [channel.name for channel in channels]
    if names not in ([], known[:1], known):
        raise UserError(f"data.channels={names}: can be [], [charge] or [charge, time]")
    return channels[: len(names)]
