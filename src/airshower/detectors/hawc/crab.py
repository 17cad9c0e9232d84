"""`data=hawc_crab`: the public lists of events from the direction of the Crab Nebula.

data.hawc-observatory.org, pass 4, one FITS file for each bin of the share of channels that were hit. They have what was
reconstructed of real events, but no hits.
"""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from omegaconf import MISSING

from airshower.config.fields import number
from airshower.data.source import Splits
from airshower.data.splits import matching_files, split_by_shower
from airshower.data.tanks import Quantity, TankSpec
from airshower.detectors.hawc.array import hawc_array
from airshower.detectors.hawc.event_list import EventList
from airshower.detectors.hawc.events import EventConfig, TankEvents
from airshower.detectors.hawc.quantities import TURN, chosen

# middles and widths are the means and standard deviations of the 18 958 events of bins 5 to 7
QUANTITIES = {
    quantity.name: quantity
    for quantity in (
        Quantity("logNPE", "log10 p.e.", 3.823, 0.269, step=0.01),
        Quantity("nHit", "", 6.159, 0.167, logarithmic=True, step=1.0),
        Quantity("nHitSP10", "", 6.024, 0.175, logarithmic=True, step=1.0),
        Quantity("nHitSP20", "", 6.093, 0.172, logarithmic=True, step=1.0),
        Quantity("zenithAngle", "rad", 0.277, 0.170, step=0.0001),
        Quantity("azimuthAngle", "rad", 0.0, 1.806, period=TURN, step=0.0001),
        Quantity("dec", "rad", 0.384, 0.040, step=0.0001),
        Quantity("ra", "rad", 1.466, 0.043, period=TURN, step=0.0001),
        Quantity("coreX", "m", 37.3, 43.0, step=0.1),
        Quantity("coreY", "m", 244.7, 35.4, step=0.1),
        Quantity("CxPE40", "p.e.", 3.045, 0.367, logarithmic=True, floor=0.01, step=0.01),
        Quantity("PINC", "", 1.690, 0.133, step=0.01),
        Quantity("LDFChi2", "", 0.909, 0.159, logarithmic=True, step=0.01),
        Quantity("logGPV2", "log10 GeV", 3.761, 0.279, step=0.001),
        Quantity("logNNEnergyV2", "log10 GeV", 3.813, 0.230, step=0.001),
    )
}
PARAMETERS = ("logNPE", "nHit", "zenithAngle", "azimuthAngle", "coreX", "coreY", "CxPE40")


class HawcCrab:
    """`data=hawc_crab`: validation and test are fractions of the events; inference runs over the test, or over
    everything."""

    kind = TankEvents.kind

    @dataclass
    class Config(EventConfig):
        """`data.*`."""

        files: Any = MISSING
        parameters: list[str] = field(default_factory=lambda: list(PARAMETERS))
        validation_fraction: float = number(0.1, low=0.0, high=0.9)
        test_fraction: float = number(0.0, low=0.0, high=0.9)

    def __init__(self, config: Config, seed: int):
        self.config, self.seed = config, seed

    def open(self) -> Splits:
        """Reads the lists, selects, and splits by event. Raises `UserError` if a split would be empty."""
        config = self.config
        spec = TankSpec(
            channels=(),
            time="absolute",
            parameters=chosen(config.parameters, "data.parameters", QUANTITIES),
            conditions=chosen(config.conditions, "data.conditions", QUANTITIES),
            position=hawc_array().position,
            cell=hawc_array().cell,
            pmt=hawc_array().pmt,
            classes=("observed",),
        )
        paths = matching_files(config.data_directory, config.files, "data.files")
        source = TankEvents(config, {"observed": [EventList(path) for path in paths]}, spec)
        events = np.arange(len(source))
        return split_by_shower(source, events, config.validation_fraction, config.test_fraction, self.seed)
