"""Simulated telescope events: geometry, how light depends on energy and distance, gammas beside protons."""

from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest
import yaml

from airshower.config.fields import check
from airshower.detectors.cta.simulation import CtaSimulation, atmosphere, cherenkov, event, simulate_events
from airshower.detectors.cta.simulation.hadrons import simulate_protons, thin
from airshower.detectors.cta.simulation.light import cascade_light
from airshower.detectors.cta.simulation.muons import muon_light
from airshower.detectors.cta.simulation.readout import dark_charges, record
from airshower.detectors.cta.simulation.showers import (
    Muons,
    Primaries,
    Showers,
    Subshowers,
    greisen,
    shower_maximum,
    simulate_gammas,
)
from airshower.detectors.cta.simulation.telescopes import ALTITUDE, LST, Array
from airshower.errors import UserError
from airshower.geometry.image_parameters import SkyPixels, clean, image_parameters
from airshower.geometry.sky import north_west_up, pointing_frame

ZENITH_20 = np.radians(70.0)
POINT_SOURCE = CtaSimulation(proton_fraction=0.0, gamma_cone=0.0, energy_min=0.3, energy_max=3.0, gamma_radius=200.0)
CONF = Path(__file__).parents[3] / "conf"


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(1)


@pytest.fixture(scope="module")
def gammas() -> list[event.SimulatedEvent]:
    return list(simulate_events(POINT_SOURCE, 1, 40))


@pytest.fixture(scope="module")
def protons() -> list[event.SimulatedEvent]:
    config = replace(POINT_SOURCE, proton_fraction=1.0, proton_cone=1.5)
    return list(simulate_events(config, 1, 60))


def along_the_axis(energy: float, core: float = 0.0, name: str = "gamma", showers: int = 1) -> Primaries:
    """Primaries of `energy` GeV along the telescopes' axis, their core `core` m to the west of the middle."""
    same = np.ones(showers)
    cores = np.tile([0.0, core], (showers, 1))
    return Primaries(name, energy * same, ZENITH_20 * same, np.pi * same, cores, ALTITUDE)


def one_telescope(kind=LST) -> Array:
    position = np.array([[0.0, 0.0, ALTITUDE]])
    return Array((kind,), np.zeros(1, int), np.ones(1, int), position, np.zeros(2), ALTITUDE, ZENITH_20, np.pi)


def parameters(config: CtaSimulation, images) -> list[dict[str, float]]:
    """Of each image, with its true size and impact distance; images that cleaning leaves empty are left out."""
    array = config.build_array()
    found = []
    for image in images:
        kind = array.kinds[array.kind[image.telescope]]
        pixels = SkyPixels(kind.geometry, kind.optics.effective_focal_length)
        charge, time = image.charge[None], image.peak_time[None]
        values = image_parameters(pixels, charge, time, clean(pixels, charge))
        values = {name: float(value[0]) for name, value in values.items()}
        if values["morphology_n_pixels"] > 4:
            found.append(values | {"size": image.true_image.sum(), "impact": image.impact_distance})
    return found


def test_depth_and_height_are_inverse():
    height = np.array([0.0, 2156.0, 3999.0, 4001.0, 12_000.0, 39_000.0, 60_000.0])
    np.testing.assert_allclose(atmosphere.height(atmosphere.depth(height)), height, atol=0.5)
    assert atmosphere.depth(0.0) == pytest.approx(1036.1, abs=0.1)
    lower = height[1:-1]
    slope = (atmosphere.depth(lower - 1.0) - atmosphere.depth(lower + 1.0)) / 200.0
    np.testing.assert_allclose(slope, atmosphere.density(lower), rtol=0.02)


def test_electrons_spread_as_hillas_found():
    # J. Phys. G 8 (1982) 1461, eq. 4: the mean square angle of electrons of an energy
    energy = np.array([50.0, 100.0, 300.0, 1000.0])
    angle = np.geomspace(1e-4, 1.0, 400)[:, None]
    density = cherenkov.angular_density(energy, angle) * angle**2
    mean_square = (density * angle**2).sum(0) / density.sum(0)
    v = energy / 1150.0
    hillas = 0.0054 * energy * (1 + v) / (1 + 13 * v + 8.3 * v**2) * (21.0 / energy) ** 2
    np.testing.assert_allclose(np.sqrt(mean_square), np.sqrt(hillas), rtol=0.12)


def test_light_peaks_at_the_cherenkov_angle_and_less_than_all_electrons_radiate():
    tables = cherenkov.emission(2156.0)
    angle = cherenkov._ANGLE_STEP * np.arange(cherenkov._ANGLES)
    row = round(10_000.0 / cherenkov._HEIGHT_STEP)
    at_maximum = tables.density[row, cherenkov._STAGES.index(0.0)]
    cone = np.sqrt(2.0 * atmosphere.refractivity(10_000.0))
    assert 0.6 * cone < angle[at_maximum.argmax()] < 1.2 * cone
    assert 0.2 < (2.0 * np.pi * angle * at_maximum).sum() * cherenkov._ANGLE_STEP < 0.6


def test_greisen_has_its_maximum_where_it_should():
    depth = np.arange(0.0, 30.0, 0.01)
    for energy in (30.0, 1000.0):
        y = np.log(energy / 0.08792)
        profile = greisen(depth, energy)
        assert depth[profile.argmax()] == pytest.approx(y - 0.5, abs=0.02)
        assert profile.max() == pytest.approx(0.31 / np.sqrt(y) * np.exp(y), rel=1e-3)


def test_thinning_keeps_the_energy_of_each_shower_on_average(rng):
    energy, shower = rng.pareto(1.0, 300) + 0.1, np.repeat([0, 1], [200, 100])
    sums, numbers = [], []
    for _ in range(500):
        kept, weight = thin(rng, shower, energy, 3, 20)
        sums.append(np.bincount(shower[kept], energy[kept] * weight, 3))
        numbers.append(len(kept))
    np.testing.assert_allclose(np.mean(sums, 0), np.bincount(shower, energy, 3), rtol=0.03)
    assert 20 < np.mean(numbers) <= 40
    few = thin(rng, np.zeros(20, int), energy[:20], 1, 20)
    np.testing.assert_array_equal(few, [np.arange(20), np.ones(20)])


def test_size_falls_beyond_the_light_pool(rng):
    array, size = one_telescope(), {}
    for core in (50.0, 110.0, 200.0, 300.0):
        primaries = along_the_axis(1000.0, core, showers=60)
        source = cascade_light(primaries, array, simulate_gammas(rng, primaries).subshowers)
        size[core] = source.totals(60).mean()
    assert 0.5 < size[50.0] / size[110.0] < 1.5
    assert size[110.0] > 2.0 * size[200.0] > 3.5 * size[300.0]


def test_light_is_as_much_as_corsika_has(rng):
    """Photons of 300 to 600 nm per m2 and TeV at 130 to 180 m: 63 of gammas of 0.1 to 0.6 TeV, 86 above."""
    array, primaries = one_telescope(), along_the_axis(600.0, 155.0, showers=200)
    source = cascade_light(primaries, array, simulate_gammas(rng, primaries).subshowers)
    assert source.totals(200).mean() / array.collecting[0] / 0.6 == pytest.approx(74.0, rel=0.2)


def test_size_grows_with_energy(rng):
    size = []
    for energy in (100.0, 1000.0):
        primaries = along_the_axis(energy, 100.0, showers=60)
        source = cascade_light(primaries, one_telescope(), simulate_gammas(rng, primaries).subshowers)
        size.append(source.totals(60).mean())
    assert 8.0 < size[1] / size[0] < 20.0


def test_depth_of_maximum_grows_with_the_logarithm_of_energy(rng):
    found = []
    for energy in (100.0, 10_000.0):
        cascades = simulate_gammas(rng, along_the_axis(energy, showers=400)).subshowers
        found.append(shower_maximum(cascades, 400).mean())
    assert found[1] - found[0] == pytest.approx(cherenkov.RADIATION_LENGTH * np.log(100.0), rel=0.1)
    # the official files' 15 gammas: 0.3 +- 0.4 radiation lengths before the maximum of a single electron's cascade
    expected = cherenkov.RADIATION_LENGTH * (np.log(100.0 / 0.08792) - 0.8)
    assert found[0] == pytest.approx(expected, abs=0.4 * cherenkov.RADIATION_LENGTH)
    assert np.isnan(shower_maximum(Subshowers(*(a[:0] for a in vars(cascades).values())), 2)).all()


def test_image_axes_point_to_the_source(gammas):
    misses = []
    for found in (parameters(POINT_SOURCE, some.images) for some in gammas):
        for p in found:
            psi = np.radians(p["hillas_psi"])
            if p["hillas_length"] > 1.5 * p["hillas_width"] and p["hillas_intensity"] > 150.0:
                misses.append(abs(p["hillas_fov_lat"] * np.cos(psi) - p["hillas_fov_lon"] * np.sin(psi)))
    assert len(misses) > 50
    assert np.median(misses) < 0.08
    assert np.quantile(misses, 0.9) < 0.35


def test_images_lie_where_the_core_is_seen():
    """An image lies off the source, towards the core: the shower's light comes from above the core."""
    config, array = POINT_SOURCE, POINT_SOURCE.build_array()
    for some in simulate_events(config, 2, 6):
        for image in some.images:
            if image.impact_distance < 80.0 or image.true_image.sum() < 200:
                continue
            (p,) = parameters(config, [image]) or [None]
            if p is None:
                continue
            core = np.array([some.shower.core_x, some.shower.core_y, ALTITUDE])
            lat, lon, _ = pointing_frame(ZENITH_20, np.pi) @ (core - array.position[image.telescope])
            assert lat * p["hillas_fov_lat"] + lon * p["hillas_fov_lon"] > 0.0


def test_image_axes_meet_at_the_true_direction():
    config = replace(POINT_SOURCE, gamma_offset=0.7)
    errors = []
    for some in simulate_events(config, 3, 40):
        found = [p for p in parameters(config, some.images) if p["hillas_intensity"] > 80]
        if len(found) < 3:
            continue
        psi = np.radians([p["hillas_psi"] for p in found])
        normal = np.stack([-np.sin(psi), np.cos(psi)], 1)
        weight = np.array([p["hillas_intensity"] * (1 - p["hillas_width"] / p["hillas_length"]) for p in found])[
            :, None
        ]
        centre = np.array([(p["hillas_fov_lon"], p["hillas_fov_lat"]) for p in found])
        met = np.linalg.lstsq(weight * normal, weight[:, 0] * (normal * centre).sum(1), rcond=None)[0]
        errors.append(np.hypot(met[0], met[1] - 0.7))
    assert len(errors) > 25
    assert np.median(errors) < 0.1
    assert np.mean(np.array(errors) < 0.2) > 0.75


@pytest.mark.parametrize(("core", "sign"), [(30.0, -1.0), (250.0, 1.0)])
def test_time_gradient_turns_over_with_distance(rng, core, sign):
    """Light from far down is late for a distant telescope; for a near one it is early: it is slower than the shower."""
    array, pixels = one_telescope(), SkyPixels(LST.geometry, LST.optics.effective_focal_length)
    primaries, slopes = along_the_axis(1000.0, core, showers=30), []
    config = replace(POINT_SOURCE, min_telescopes=1)
    for images in event.observe(rng, config, array, primaries, simulate_gammas(rng, primaries)).values():
        for image in images:
            p = image_parameters(pixels, image.charge[None], image.peak_time[None], clean(pixels, image.charge[None]))
            outward = p["hillas_fov_lon"] * np.cos(np.radians(p["hillas_psi"]))  # the core is to the west: -lon
            slopes.append(float((p["timing_slope"] * np.sign(outward)).item()))
    assert sign * np.nanmedian(slopes) > 0.5


def test_protons_are_wider_and_less_regular(gammas, protons):
    width, islands = {}, {}
    for name, events in (("gamma", gammas), ("proton", protons)):
        bright = [p for some in events for p in parameters(POINT_SOURCE, some.images) if p["size"] > 300]
        width[name] = np.median([p["hillas_width"] for p in bright])
        islands[name] = np.mean([p["morphology_n_islands"] for p in bright])
        assert len(bright) > 40
    assert width["proton"] > 1.1 * width["gamma"]
    assert islands["proton"] > islands["gamma"]
    assert sum(len(some.images) for some in protons) / 60 < sum(len(some.images) for some in gammas) / 40


def test_a_muon_through_the_mirror_makes_a_ring(rng):
    array = one_telescope()
    primaries = along_the_axis(1000.0, name="proton")
    light = muon_light(rng, primaries, array, one_muon(primaries))
    radius = np.degrees(np.hypot(light.lat, light.lon))
    assert 200 < len(radius) < 20_000
    assert np.median(radius) == pytest.approx(np.degrees(np.sqrt(2 * atmosphere.refractivity(ALTITUDE))), rel=0.05)
    assert radius.std() < 0.1
    seen = record(rng, LST, np.zeros(1, int), light, 0.24, 20.0)
    assert len(seen.image) == 1
    # all parts of the ring are there
    angle = np.arctan2(light.lon, light.lat)
    assert (np.histogram(angle, 8, (-np.pi, np.pi))[0] > 0.05 * len(angle)).all()


def test_a_shower_of_muons_alone(rng):
    config, primaries = replace(POINT_SOURCE, min_telescopes=1), along_the_axis(300.0, name="proton")
    none = Subshowers(np.zeros(0, int), *(np.zeros((0, *shape)) for shape in ((), (), (3,), (2,), ())))
    showers = Showers(none, one_muon(primaries), np.array([80.0]))
    ((image,),) = event.observe(rng, config, one_telescope(), primaries, showers).values()
    assert image.true_image.sum() > 200


def one_muon(primaries: Primaries) -> Muons:
    """Of 50 GeV, along the first primary's axis, from 6 km above the array."""
    position = primaries.points(np.full(len(primaries), ALTITUDE + 6000.0))
    return Muons(np.zeros(1, int), np.array([50.0]), position[:1], primaries.slope[:1])


def test_showers_of_a_slab_do_not_mix(rng):
    """Light of each shower comes to its own images: only the second one is near the telescope."""
    array, size = one_telescope(), []
    primaries = replace(along_the_axis(1000.0, showers=3), core=np.array([[5000.0, 0.0], [100.0, 0.0], [5000.0, 0.0]]))
    config = replace(POINT_SOURCE, min_telescopes=1)
    for simulate in (simulate_gammas, simulate_protons):
        showers = simulate(rng, primaries)
        size.append(cascade_light(primaries, array, showers.subshowers).totals(3)[:, 0])
        found = event.observe(rng, config, array, primaries, showers)
        assert list(found) == [1]
    assert (np.array(size)[:, [0, 2]] < 1.0).all()
    assert (np.array(size)[:, 1] > 100.0).all()


def test_hadrons_give_their_energy_to_photons_and_muons(rng):
    """A third of a proton's energy or more ends up in photons: some is in muons and neutrinos, some in slow hadrons."""
    cascades = simulate_protons(rng, along_the_axis(3000.0, name="proton", showers=300)).subshowers
    shares = np.bincount(cascades.shower, cascades.weight * cascades.energy, 300) / 3000.0
    assert 0.3 < np.mean(shares) < 0.75
    assert (np.diff(cascades.shower) >= 0).all()


def test_triggers(gammas, protons):
    for some in gammas + protons:
        telescopes = [image.telescope for image in some.images]
        assert len(telescopes) >= 2
        assert telescopes == sorted(set(telescopes))
        assert some.shower.primary_id == {"gamma": 0, "proton": 101}[some.primary]
        assert some.thrown[-1, 0] == pytest.approx(some.shower.energy)
        for image in some.images:
            assert image.n_trigger_pixels > 0
            assert image.charge.dtype == image.peak_time.dtype == np.float32
            assert image.charge.shape == image.peak_time.shape == image.true_image.shape == (1855,)
            assert image.true_image.min() >= 0
            assert np.isfinite(image.charge).all()
    four = replace(POINT_SOURCE, min_telescopes=4)
    assert all(len(some.images) >= 4 for some in simulate_events(four, 1, 5))


def test_dark_pixels_are_like_those_of_the_official_files():
    # LST and MST of the prod6 files: rms 1.20-1.27 p.e., 5 % -1.63, 95 % 2.24-2.35
    dark = dark_charges(0.24 * LST.integration)
    assert abs(dark.mean()) < 0.05
    assert 1.1 < dark.std() < 1.35
    low, high = np.quantile(dark, [0.05, 0.95])
    assert -1.9 < low < -1.4
    assert 2.0 < high < 2.6


def test_events_depend_on_config_and_seed_alone():
    config = CtaSimulation()
    first, again = list(simulate_events(config, 7, 3)), list(simulate_events(config, 7, 40))[:3]
    for one, other in zip(first, again, strict=True):
        assert one.shower == other.shower
        np.testing.assert_array_equal(one.thrown, other.thrown)
        for a, b in zip(one.images, other.images, strict=True):
            assert (a.telescope, a.time, a.impact_distance) == (b.telescope, b.time, b.impact_distance)
            np.testing.assert_array_equal(a.charge, b.charge)
            np.testing.assert_array_equal(a.peak_time, b.peak_time)
            np.testing.assert_array_equal(a.true_image, b.true_image)
    assert first[0].shower != first[1].shower
    assert next(simulate_events(config, 8, 1)).shower != first[0].shower


def test_what_is_thrown_follows_the_configuration(rng):
    config = CtaSimulation(proton_fraction=1.0, proton_index=-2.0, gamma_offset=1.0)
    run = config.run("proton")
    thrown = event.throw(rng, config, "proton", 2000)
    energy = thrown.energy / 1000.0
    assert energy.min() >= run.energy_range[0]
    assert energy.max() <= run.energy_range[1]
    # for E^-2 between a and b, half of the energies are below 2 a b / (a + b)
    a, b = run.energy_range
    assert np.median(energy) == pytest.approx(2.0 * a * b / (a + b), rel=0.1)
    distance = np.hypot(*thrown.core.T)
    assert np.mean(distance**2) == pytest.approx(config.proton_radius**2 / 2.0, rel=0.06)
    middle = north_west_up(*np.radians(run.source))
    away = np.degrees(np.arccos(np.minimum(north_west_up(thrown.alt, thrown.az).T @ middle, 1.0)))
    np.testing.assert_allclose(thrown.towards, north_west_up(thrown.alt, thrown.az).T, atol=1e-12)
    assert away.max() <= config.proton_cone + 1e-6
    assert np.mean(away**2) == pytest.approx(config.proton_cone**2 / 2.0, rel=0.06)
    gamma_like = event.throw(rng, replace(config, gamma_cone=0.0), "gamma", 1)
    assert np.degrees(gamma_like.alt) == pytest.approx(71.0)
    assert np.degrees(gamma_like.az) == pytest.approx(180.0)


def test_mistakes_in_the_configuration():
    with pytest.raises(UserError, match="energy_max"):
        next(simulate_events(CtaSimulation(energy_min=5.0, energy_max=1.0), 0, 1))
    with pytest.raises(UserError, match=r"data\.simulation\.zenith=80"):
        check(CtaSimulation(zenith=80.0), "data.simulation")
    with pytest.raises(UserError, match="telescopes"):
        next(simulate_events(CtaSimulation(lsts=1, msts=0), 0, 1))


def test_the_yaml_has_every_field():
    section = yaml.safe_load((CONF / "data" / "cta_simulated.yaml").read_text())["simulation"]
    assert section == {item.name: item.default for item in fields(CtaSimulation)}
