"""One neutrino interaction: flavour, current, channel and the particles that leave the nucleus.

Free-nucleon kinematics with a removal energy; no Fermi motion, no re-scattering inside the nucleus and no coherent or
two-nucleon reactions. Enough for the topology of an image (which lepton, how many prongs, photons with a gap), not for
a cross-section measurement.
"""

from dataclasses import dataclass

import numpy as np

from airshower.detectors.lartpc.larcv.format import PARTICLE, UNSET_PARTICLE
from airshower.detectors.lartpc.simulation.energy_loss import (
    ELECTRON_MASS,
    MUON_MASS,
    NEUTRAL_PION_MASS,
    NEUTRON_MASS,
    PION_MASS,
    PROTON_MASS,
)
from airshower.detectors.lartpc.simulation.kinematics import decay, invariant_mass, scatter
from airshower.geometry.wire_planes import Geometry

MASS = {
    11: ELECTRON_MASS, 12: 0.0, 13: MUON_MASS, 14: 0.0, 111: NEUTRAL_PION_MASS, 211: PION_MASS,
    2112: NEUTRON_MASS, 2212: PROTON_MASS,
}  # fmt: skip
REMOVAL_ENERGY = 29.5  # MeV, argon; the files carry it as a pseudo-particle 2000000101 of this energy
AXIAL_MASS = 1000.0  # MeV, dipole of the quasi-elastic and resonant form factors (PDG-era world average 1.03 GeV)
DELTA_MASS, DELTA_WIDTH = 1232.0, 117.0  # MeV, PDG
LOWEST_MASS = {"RES": PION_MASS + NEUTRON_MASS + 1.0, "DIS": 2.0 * PION_MASS + NEUTRON_MASS + 2.0}  # MeV, of hadrons
SPILL = 10.0  # us; the files' interaction times lie between 0 and 10 us

# (neutrino or antineutrino, charged or neutral, target, pion) -> nuance code of LArSoft's MCNeutrino.h
CODES = {
    ("nu", "CC", 2212, 211): 1003, ("nu", "CC", 2112, 111): 1004, ("nu", "CC", 2112, 211): 1005,
    ("nu", "NC", 2212, 111): 1006, ("nu", "NC", 2212, 211): 1007,
    ("nu", "NC", 2112, 111): 1008, ("nu", "NC", 2112, -211): 1009,
    ("nubar", "CC", 2112, -211): 1010, ("nubar", "CC", 2212, 111): 1011, ("nubar", "CC", 2212, -211): 1012,
    ("nubar", "NC", 2212, 111): 1013, ("nubar", "NC", 2212, 211): 1014,
    ("nubar", "NC", 2112, 111): 1015, ("nubar", "NC", 2112, -211): 1016,
}  # fmt: skip
QUASI_ELASTIC = {"CC": 1001, "NC": 1002}
DEEP_INELASTIC = {"CC": 1091, "NC": 1092}


@dataclass(frozen=True)
class Interaction:
    """A neutrino (four-vector in MeV, along z) at a point, and its products: (PDG code, four-vector) pairs."""

    pdg: int
    current: str  # CC or NC
    code: int
    energy: float  # MeV
    target: int  # PDG code of the struck nucleon
    daughters: list[tuple[int, np.ndarray]]
    position: np.ndarray  # cm
    time: float  # us


def sample_neutrino_energy(rng: np.random.Generator, size: int) -> np.ndarray:
    """Energies (MeV) of interacting neutrinos, 0.3 to 3 GeV.

    A gamma law with mean 1.3 GeV stands in for the Booster flux (arXiv:0806.1449, figure 29) times a cross section that
    rises with energy; the five events of the public file lie between 0.5 and 1.9 GeV.
    """
    shape, scale = 4.0, 320.0
    energy = rng.gamma(shape, scale, size)
    while (outside := np.flatnonzero((energy < 300.0) | (energy > 3000.0))).size:
        energy[outside] = rng.gamma(shape, scale, outside.size)
    return energy


def _channel(rng: np.random.Generator, energy: float, highest: float) -> str:
    """Quasi-elastic, resonant or deep-inelastic, as far as the highest hadronic mass (MeV) allows.

    The shares move with energy roughly as in Formaggio and Zeller, Rev. Mod. Phys. 84 (2012) 1307, figure 9.
    """
    resonant = 0.45 * np.clip((energy - 400.0) / 800.0, 0.0, 1.0) * (highest > LOWEST_MASS["RES"] + 10.0)
    deep = 0.25 * np.clip((energy - 1400.0) / 1600.0, 0.0, 1.0) * (highest > LOWEST_MASS["DIS"] + 10.0)
    return str(rng.choice(["QE", "RES", "DIS"], p=[1.0 - resonant - deep, resonant, deep]))


def _hadron_mass(rng: np.random.Generator, channel: str, highest: float) -> float:
    """Mass (MeV) of the hadronic system below the limit: the Delta's line, or flat above it for deep-inelastic."""
    lowest = LOWEST_MASS[channel]
    if channel == "DIS":
        return rng.uniform(lowest, highest)
    low, high = (np.arctan((edge - DELTA_MASS) * 2.0 / DELTA_WIDTH) for edge in (lowest, min(highest, 1500.0)))
    return DELTA_MASS + 0.5 * DELTA_WIDTH * np.tan(rng.uniform(low, high))


def _pion_and_nucleon(rng: np.random.Generator, charge: int) -> tuple[int, int]:
    """Pion and nucleon of a Delta of this charge, by the isospin weights 1/3 and 2/3."""
    options = {2: [(211, 2212)], 1: [(211, 2112), (111, 2212)], 0: [(-211, 2212), (111, 2112)], -1: [(-211, 2112)]}
    choices = options[charge]
    return choices[0] if len(choices) == 1 or rng.random() < 1.0 / 3.0 else choices[1]


def _hadrons(rng: np.random.Generator, charge: int, system: np.ndarray, channel: str) -> list[tuple[int, np.ndarray]]:
    """Decay of a hadronic system of this charge: N pi, or for deep-inelastic N pi pi."""
    hadrons = []
    if channel == "DIS":
        options = [code for code, left in ((211, charge - 1), (111, charge), (-211, charge + 1)) if 0 <= left <= 1]
        pion = int(rng.choice(options))
        inner = rng.uniform(LOWEST_MASS["RES"], invariant_mass(system) - MASS[abs(pion)])
        emitted, system = decay(rng, system, MASS[abs(pion)], inner)
        hadrons.append((pion, emitted))
        charge -= {211: 1, 111: 0, -211: -1}[pion]
    pion, nucleon = _pion_and_nucleon(rng, charge)
    one, two = decay(rng, system, MASS[abs(pion)], MASS[nucleon])
    return [*hadrons, (pion, one), (nucleon, two)]


def interact(
    rng: np.random.Generator, geometry: Geometry, nu_e: float, neutral: float, antineutrino: float
) -> Interaction:
    """A neutrino interaction in the active volume, given the fractions of nu_e, neutral currents and antineutrinos."""
    energy = float(sample_neutrino_energy(rng, 1)[0])
    flavour = 12 if rng.random() < nu_e else 14
    sign = -1 if rng.random() < antineutrino else 1
    current = "NC" if rng.random() < neutral else "CC"
    lepton = flavour - 1 if current == "CC" else flavour
    bound = NEUTRON_MASS - REMOVAL_ENERGY
    highest = float(np.sqrt(bound**2 + 2.0 * bound * energy)) - MASS[lepton] - 3.0
    channel = _channel(rng, energy, highest)
    target = 2112 if rng.random() < 22.0 / 40.0 else 2212
    if current == "CC" and channel == "QE":
        target = 2112 if sign > 0 else 2212
    charge = int(target == 2212) + (sign if current == "CC" else 0)

    nucleon = 2212 if charge == 1 else 2112
    mass = MASS[nucleon] if channel == "QE" else _hadron_mass(rng, channel, highest)
    out, system = scatter(rng, energy, MASS[target] - REMOVAL_ENERGY, MASS[lepton], mass, AXIAL_MASS)
    hadrons = [(nucleon, system)] if channel == "QE" else _hadrons(rng, charge, system, channel)
    if channel == "RES":
        code = CODES["nu" if sign > 0 else "nubar", current, target, hadrons[0][0]]
    else:
        code = (QUASI_ELASTIC if channel == "QE" else DEEP_INELASTIC)[current]
    position = rng.random(3) * [2.0 * geometry.half_width, 2.0 * geometry.half_height, geometry.length]
    position -= [geometry.half_width, geometry.half_height, 0.0]
    daughters = [(sign * lepton, out), *hadrons]
    return Interaction(sign * flavour, current, code, energy, target, daughters, position, rng.uniform(0.0, SPILL))


def particle_table(interaction: Interaction) -> np.ndarray:
    """The larcv3 records: the neutrino, then its daughters (GeV, cm, ns)."""
    neutrino = np.array([interaction.energy, 0.0, 0.0, interaction.energy])
    table = np.zeros(1 + len(interaction.daughters), PARTICLE)  # zeros, so that padding bytes are defined
    table[:] = UNSET_PARTICLE
    for row, (pdg, vector) in enumerate([(interaction.pdg, neutrino), *interaction.daughters]):
        table["id"][row] = table["trackid"][row] = row
        table["pdg"][row] = pdg
        table["energy_init"][row] = 1e-3 * vector[0]
        for axis, value in zip(("px", "py", "pz"), vector[1:], strict=True):
            table[axis][row] = 1e-3 * value
    table["process"] = b"primary"
    table["shape"] = 2
    table["parent_trackid"][1:] = 0
    table["parent_pdg"][1:] = interaction.pdg
    table["current_type"][0] = 0 if interaction.current == "CC" else 1
    table["interaction_type"][0] = interaction.code
    for point in ("vtx", "parent_vtx"):
        for axis, value in zip("xyz", interaction.position, strict=True):
            table[point][axis] = value
        table[point]["t"] = 1e3 * interaction.time
    return table
