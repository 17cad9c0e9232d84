"""`data=hawc_crab`: the public lists of events from the direction of the Crab Nebula.

data.hawc-observatory.org, pass 4, one FITS file for each bin of the fraction of channels that were hit. They have
reconstructed quantities of measured events, but no hits.
"""

from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

from airshower.config.fields import number
from airshower.data.containers import Table
from airshower.data.files import FileData, FilesConfig, Paths
from airshower.data.quantity import Quantity
from airshower.data.spec import Spec, TableSpec
from airshower.detectors.hawc.event_list import EventList, is_fits
from airshower.detectors.hawc.events import EventConfig, HawcTable, check_no_copies
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


class HawcCrab(FileData[HawcTable]):
    """`data=hawc_crab`: lists of observed events, of one class."""

    @dataclass
    class Config(EventConfig, FilesConfig):
        """`data.*`."""

        parameters: list[str] = field(default_factory=lambda: list(PARAMETERS))
        validation_fraction: float = number(0.1, low=0.0, high=0.9)

    containers = MappingProxyType({"parameters": Table, "conditions": Table})

    @classmethod
    def recognises(cls, path: Path) -> bool:
        """See `Data`."""
        return is_fits(path)

    def source(self, paths: Paths) -> HawcTable:
        """See `FileData.source`."""
        config = self.config
        spec = Spec(
            {
                "parameters": TableSpec(chosen(config.parameters, "data.parameters", QUANTITIES)),
                "conditions": TableSpec(chosen(config.conditions, "data.conditions", QUANTITIES)),
            },
            ids=("file", "event"),
        )
        return HawcTable(config, {"observed": [EventList(path) for path in paths["file"]]}, spec)

    def check_alike(self, source: HawcTable, aux: HawcTable) -> None:
        """Validation files must be other files; columns are the same by the config."""
        check_no_copies(source, aux)
