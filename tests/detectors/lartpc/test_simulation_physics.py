"""The simulation's ingredients against numbers a physicist knows."""

import numpy as np
import pytest
from scipy.special import ndtr

from airshower.detectors.lartpc.simulation import cosmics, neutrino, response, showers, tracks
from airshower.detectors.lartpc.simulation.deposits import NEUTRINO, Quanta, Tracks, deflected, isotropic
from airshower.detectors.lartpc.simulation.energy_loss import (
    DELTA_CUT,
    DENSITY,
    LANDAU_MODE,
    MUON_MASS,
    PROTON_MASS,
    RADIATION_LENGTH,
    bethe,
    csda_range,
    kinetic_after,
    most_probable_loss,
    sample_landau,
    sample_soft_loss,
)
from airshower.detectors.lartpc.simulation.readout import Clouds, recombination
from airshower.detectors.lartpc.simulation.response import PHASES, taps
from airshower.geometry.wire_planes import Geometry

MINIMUM = np.array([1.0 + 266.0 / MUON_MASS])  # gamma of a minimum-ionising muon
MUON = np.array([MUON_MASS])


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(7)


def along_z(size: int, energy: float) -> Quanta:
    """Quanta at the centre of `boundless`, going along z."""
    position = np.tile([1.0, 0.0, 1.0e4], (size, 1))
    direction = np.tile([0.0, 0.0, 1.0], (size, 1))
    return Quanta(position, direction, np.full(size, energy), np.zeros(size), np.full(size, NEUTRINO, np.uint8))


def boundless() -> Geometry:
    """Argon enough to contain everything."""
    return Geometry(half_width=1.0e4, half_height=1.0e4, length=2.0e4)


def test_mip_loses_2_1_mev_per_cm_on_average(rng):
    n = 40_000
    gamma, mass = np.repeat(MINIMUM, n), np.repeat(MUON, n)
    assert bethe(MINIMUM, MUON)[0] == pytest.approx(2.105, abs=0.02)  # PDG: 1.508 MeV cm2/g times 1.396 g/cm3
    loss = sample_soft_loss(rng, gamma, mass, 0.1)
    assert loss.mean() / 0.1 == pytest.approx(bethe(MINIMUM, MUON, DELTA_CUT)[0], rel=0.03)
    deltas = tracks.knock_on_electrons(rng, gamma, mass, 0.1)[1]
    assert (loss.sum() + deltas.sum()) / (0.1 * n) == pytest.approx(2.105, rel=0.04)


def test_most_probable_loss_of_a_mip_is_1_7_mev_per_cm(rng):
    assert most_probable_loss(MINIMUM, 1.0)[0] == pytest.approx(1.73, abs=0.03)
    n = 200_000
    loss = sample_soft_loss(rng, np.repeat(MINIMUM, n), np.repeat(MUON, n), 0.1).reshape(-1, 10).sum(axis=1)
    counts, edges = np.histogram(loss, np.arange(1.2, 2.6, 0.05))
    assert edges[counts.argmax()] == pytest.approx(1.7, abs=0.11)


def test_landau_mode_and_quantiles(rng):
    sample = sample_landau(rng, 400_000)
    counts, edges = np.histogram(sample, np.arange(-1.2, 0.8, 0.1))
    slope = np.polyder(np.polyfit(edges[:-1] + 0.05, counts, 3))
    mode = min(np.roots(slope).real, key=abs)
    assert mode == pytest.approx(LANDAU_MODE, abs=0.12)
    assert np.median(sample) == pytest.approx(1.3558, abs=0.03)  # CERNLIB G110 (RANLAN)
    assert (sample > 100.0).mean() == pytest.approx(0.01, rel=0.15)  # the tail goes as 1/lambda


def test_muon_and_proton_ranges():
    """Groom et al. 2001, table of liquid argon: 100 MeV 42.6 g/cm2, 1 GeV 617 g/cm2; PSTAR: proton of 100 MeV 10.8."""
    muon = csda_range(np.array([100.0, 1000.0]), np.repeat(MUON, 2)) * DENSITY
    np.testing.assert_allclose(muon, [42.6, 617.0], rtol=0.02)
    proton = csda_range(np.array([100.0]), np.array([PROTON_MASS])) * DENSITY
    np.testing.assert_allclose(proton, [10.8], rtol=0.03)
    np.testing.assert_allclose(kinetic_after(proton / DENSITY, np.array([PROTON_MASS])), [100.0], rtol=1e-3)


def test_recombination_of_a_mip():
    assert recombination(np.array([2.1]))[0] == pytest.approx(0.70, abs=0.02)
    assert np.all(np.diff(recombination(np.linspace(1.5, 30.0, 50))) < 0.0)


def test_michel_spectrum(rng):
    energy = tracks.sample_michel(rng, 50_000)
    assert 52.0 < energy.max() <= 52.83
    assert energy.mean() == pytest.approx(0.7 * 52.83, rel=0.01)


def test_zenith_angles_follow_cos_squared(rng):
    cosine = cosmics.sample_zenith(rng, 100_000)
    counts, edges = np.histogram(cosine, 10, (0.0, 1.0))
    expected = np.diff(edges**3) * cosine.size
    assert np.abs(counts - expected).max() < 4.5 * np.sqrt(expected.max())


def test_surface_muons_have_a_few_gev(rng):
    energy = cosmics.sample_energy(rng, cosmics.sample_zenith(rng, 20_000))
    assert 3_000.0 < energy.mean() < 10_000.0  # PDG: about 4 GeV at the ground
    assert energy.min() > MUON_MASS


def test_impact_points_are_uniform_on_a_disc(rng):
    """Half of the points lie within 0.5**0.5; second moments are 1/4 along both axes and 0 along the normal."""
    for normal in ([0.0, -1.0, 0.0], [0.6, -0.8, 0.0], [0.48, -0.6, 0.64], [1.0, 0.0, 0.0]):
        normals = np.tile(normal, (40_000, 1))
        points = cosmics.uniform_on_disc(rng, normals)
        assert np.abs((points * normals).sum(1)).max() < 1e-12
        radius = np.linalg.norm(points, axis=1)
        assert radius.max() <= 1.0
        assert (radius < 0.5**0.5).mean() == pytest.approx(0.5, abs=0.01)
        moments = 0.25 * (np.eye(3) - np.outer(normal, normal))
        np.testing.assert_allclose(points.T @ points / len(points), moments, atol=0.005)


def test_paths_of_cosmic_muons_follow_the_closed_form(rng):
    """The mean path through a convex body is its volume over its mean projected area. For a cos^2 flux the mean of
    |cos| is 3/4 along the vertical and 3/8 along each horizontal axis."""
    geometry = Geometry()
    width, height, length = 2 * geometry.half_width, 2 * geometry.half_height, geometry.length
    sides = [height * length, width * length, width * height]  # seen along x, y, z
    area = np.dot([3 / 8, 3 / 4, 3 / 8], sides)
    muons = cosmics.cosmic_muons(rng, geometry, 20_000.0)
    paths = geometry.chord(muons.position, muons.direction)[1]
    error = paths.std() / len(paths) ** 0.5
    assert paths.mean() == pytest.approx(width * height * length / area, abs=4 * error)  # 280.7 cm
    # muons per zenith angle follow the projected area: moments of |cos| weighted with it, by integration
    cosine = (np.arange(2000) + 0.5) / 2000
    seen = cosine * sides[1] + np.sqrt(1 - cosine**2) * 2 / np.pi * (sides[0] + sides[2])
    weight = cosine**2 * seen
    for low, high in ((0.0, 0.3), (0.3, 0.6), (0.6, 0.9), (0.9, 1.0)):
        inside = (cosine >= low) & (cosine < high)
        share = weight[inside].sum() / weight.sum()
        down = -muons.direction[:, 1]
        assert ((down >= low) & (down < high)).mean() == pytest.approx(share, abs=4 * (share / len(down)) ** 0.5)


def test_cosmic_muons_start_on_the_surface_and_point_inwards(rng):
    geometry = Geometry()
    muons = cosmics.cosmic_muons(rng, geometry, 200.0)
    assert 130 < len(muons) < 270
    assert geometry.contains(muons.position + 1e-6 * muons.direction).mean() > 0.99
    assert not geometry.contains(muons.position - 1e-3 * muons.direction).any()
    assert np.all(muons.direction[:, 1] < 0.0)


def test_photons_convert_after_nine_sevenths_of_a_radiation_length(rng):
    made, left = showers.interact_photons(rng, along_z(20_000, 5000.0))
    depth = made.position[: len(made) // 3, 2] - 1.0e4
    assert depth.mean() == pytest.approx(9.0 / 7.0 * RADIATION_LENGTH, rel=0.04)
    assert np.all(left.energy > 0.0)


def test_pair_production_conserves_energy(rng):
    photons = along_z(500, 800.0)
    made, left = showers.interact_photons(rng, photons)
    assert made.energy.sum() + left.energy.sum() == pytest.approx(photons.energy.sum())


def test_electron_shower_has_the_length_and_energy_of_its_primary(rng):
    shower = showers.cascade(rng, boundless(), along_z(6, 1000.0), Quanta.none())
    assert shower.energy.sum() == pytest.approx(6000.0, rel=0.03)
    depth = (shower.position[:, 2] - 1.0e4) / RADIATION_LENGTH
    mean = np.average(depth, weights=shower.energy)
    # PDG section 34.5: maximum at ln(1000 / 32.8) - 0.5 = 2.9, mean about two radiation lengths later
    assert 3.3 < mean < 5.8
    radius = np.hypot(shower.position[:, 0] - 1.0, shower.position[:, 1])
    near = shower.energy[radius < 9.04].sum() / shower.energy.sum()  # one Moliere radius holds 90 %
    assert 0.75 < near < 0.97


def test_a_muon_that_stops_leaves_its_energy_and_a_michel_electron(rng):
    n = 200
    start = np.tile([-100.0, 0.0, 250.0], (n, 1))
    down = np.tile([0.0, -1.0, 0.0], (n, 1))
    label = np.full(n, NEUTRINO, np.uint8)
    muons = Tracks(start, down, np.full(n, 200.0), np.full(n, -13), np.full(n, 4.0), label)
    deposits, electrons, photons, debris = tracks.transport(rng, Geometry(), muons)
    michel = electrons[electrons.time > 4.0]
    assert len(michel) == n
    assert len(debris) == 0
    total = deposits.energy.sum() + electrons.energy.sum() - michel.energy.sum() + photons.energy.sum()
    assert total / n == pytest.approx(200.0, rel=0.03)
    end = michel.position[:, 1].mean()
    assert -end == pytest.approx(csda_range(np.array([200.0]), MUON)[0], rel=0.03)
    # the Bragg peak: the last centimetre is denser than the first
    depth = -deposits.position[:, 1]
    assert deposits.density[depth > -end - 1.0].mean() > 2.0 * deposits.density[depth < 1.0].mean()


def test_interactions_conserve_energy_momentum_and_charge(rng):
    charge = {211: 1, 2212: 1, 2112: 0, 111: 0, 13: -1, 11: -1, 12: 0, 14: 0}
    codes = set()
    for _ in range(400):
        event = neutrino.interact(rng, Geometry(), 0.5, 0.3, 0.2)
        codes.add(event.code)
        total = sum(vector for _, vector in event.daughters)
        bound = neutrino.MASS[event.target] - neutrino.REMOVAL_ENERGY
        np.testing.assert_allclose(total, [event.energy + bound, 0.0, 0.0, event.energy], atol=1e-6)
        sum_of_charges = sum(np.sign(pdg) * charge[abs(pdg)] for pdg, _ in event.daughters)
        assert sum_of_charges == (event.target == 2212)
        assert (abs(event.daughters[0][0]) in (11, 13)) == (event.current == "CC")
        for pdg, vector in event.daughters:
            mass2 = vector[0] ** 2 - vector[1:] @ vector[1:]
            assert mass2 == pytest.approx(neutrino.MASS[abs(pdg)] ** 2, abs=5.0)
    assert {1001, 1002, 1003, 1004, 1091} <= codes


def test_deflection_keeps_the_angle(rng):
    start, cosine = isotropic(rng, 500), rng.uniform(-1.0, 1.0, 500)
    turned = deflected(start, cosine, rng.uniform(0.0, 6.28, 500))
    np.testing.assert_allclose(np.einsum("ij,ij->i", start, turned), cosine, atol=1e-9)


def test_photons_below_100_kev_are_absorbed(rng):
    """NIST XCOM, total of argon without coherent scattering: 0.64 cm2/g at 50 keV, 0.116 at 200 keV."""
    energy = np.array([0.05, 0.2])
    total = showers.photoelectric_coefficient(energy) + showers.compton_coefficient(energy)
    np.testing.assert_allclose(total / DENSITY, [0.64, 0.116], rtol=0.05)
    made, left = showers.interact_photons(rng, along_z(2000, 0.04))
    assert (made.energy == 0.04).mean() > 0.8
    assert made.energy.sum() + left.energy.sum() == pytest.approx(2000 * 0.04)


@pytest.mark.parametrize("plane", [0, 1, 2])
@pytest.mark.parametrize("row", [2.0, 5.0])
def test_pulse_keeps_the_charge_and_mirrors(plane, row):
    shares = taps(plane, row)
    np.testing.assert_allclose(shares.sum(axis=1), np.ones(PHASES))
    np.testing.assert_allclose(shares, shares[::-1, ::-1], atol=1e-12)


def test_pulses_have_lobes_and_are_narrower_in_the_collection_plane():
    induction, collection = (taps(plane, 2.0)[1] for plane in (1, 2))  # of charges a quarter us before a row's middle
    middle = len(collection) // 2
    assert 0.6 < induction[middle] < collection[middle] < 0.8
    assert max(induction[middle - 2], collection[middle - 2]) < -0.02
    assert 0.01 < collection[middle - 3] < 0.05  # the pixels of 5 to 6 counts beside tracks


def test_a_gaussian_filter_makes_a_gaussian_pulse(monkeypatch):
    monkeypatch.setattr(response, "FILTERS", ((0.15, 2.0),))
    time = np.linspace(-4.0, 4.0, 33)
    np.testing.assert_allclose(response.running_pulse(time, 0), ndtr(2.0 * np.pi * 0.15 * time), atol=1e-3)


def test_clouds_share_charge_among_wires():
    geometry = Geometry()
    z = 250.0 + 0.3 * np.array([0.5, 0.98])  # in the middle and near the end of wire 1024
    width = np.full(2, 0.1)
    clouds = Clouds(np.zeros(2), z, width, np.zeros(2), np.array([10.0, 20.0]), np.zeros(2, np.uint8))
    cloud, column, charge = clouds.on_wires(geometry, 2, 2048)
    np.testing.assert_allclose(np.bincount(cloud, charge), [10.0, 20.0])
    assert set(column[cloud == 0]) == {1023, 1024, 1025}
    near_edge = dict(zip(column[cloud == 1], charge[cloud == 1], strict=True))
    assert near_edge[1025] == pytest.approx(20.0 * 0.476, abs=0.1)
    assert near_edge[1024] == pytest.approx(20.0 - near_edge[1025], abs=0.1)
