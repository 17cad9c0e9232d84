"""Fields of HAWC's event files that are read and written here: names, units and resolutions.

`event.hit.*` are the hits of an event (charge in p.e., time in ns, positions in m), `rec.*` reconstructed quantities
(angles in rad, core in m, charges in p.e.), `SimEvent.*` the truth of simulations (energy in GeV, angles in degrees,
core in m).
"""

import math

from airshower.detectors.hawc.xcdf.format import Field, FieldType

HIT_NUMBERS = "event.nHit"
GRID_ID, CHARGE, TIME = "event.hit.gridId", "event.hit.charge", "event.hit.time"
PMT_POSITION = "event.hit.xPMT", "event.hit.yPMT", "event.hit.zPMT"
ENERGY, THETA, PHI = "SimEvent.energyTrue", "SimEvent.thetaTrue", "SimEvent.phiTrue"
TRUE_CORE = "SimEvent.coreXTrue", "SimEvent.coreYTrue"
ZENITH, AZIMUTH = "rec.zenithAngle", "rec.azimuthAngle"
CORE = "rec.coreX", "rec.coreY"
FAILED_ZENITH = math.pi  # of events whose direction was not found

UNSIGNED, _, FLOAT = FieldType
EVENT_FIELDS = (
    Field(HIT_NUMBERS, UNSIGNED),
    Field("rec.nHit", UNSIGNED),
    Field("rec.nTankHit", UNSIGNED),
    Field(GRID_ID, UNSIGNED, 1, HIT_NUMBERS),
    Field(CHARGE, FLOAT, 0.01, HIT_NUMBERS),
    Field(TIME, FLOAT, 0.1, HIT_NUMBERS),
    *(Field(name, FLOAT, 0.01, HIT_NUMBERS) for name in PMT_POSITION),
    Field("rec.logNPE", FLOAT, 0.01),
    Field(ZENITH, FLOAT, 0.0001),
    Field(AZIMUTH, FLOAT, 0.0001),
    Field("rec.coreX", FLOAT, 0.1),
    Field("rec.coreY", FLOAT, 0.1),
    Field("rec.CxPE40", FLOAT, 0.01),
    Field("rec.PINC", FLOAT, 0.001),
    Field(ENERGY, FLOAT, 0.0),
    Field(THETA, FLOAT, 0.0),
    Field(PHI, FLOAT, 0.0),
    *(Field(name, FLOAT, 0.0) for name in TRUE_CORE),
)
