"""Simulated events: their form, their reproducibility and how they compare with the public SBND events."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from airshower.detectors.lartpc.larcv.format import PARTICLE
from airshower.detectors.lartpc.larcv.wires import Products, WireFile
from airshower.detectors.lartpc.simulation import LartpcSimulation, simulate_event
from airshower.detectors.lartpc.simulation.event import Randomisation, randomised
from airshower.geometry.wire_planes import Geometry

SMALL = [256, 160]

# (x, y, z) cm of the neutrino and its (wire, tick) in planes 0, 1, 2: the five events of cosmic_tagging_light.h5
REAL_VERTICES = [
    ((0.88, -43.83, 472.89), ((1522, 640), (1269, 641), (1766, 640))),
    ((-59.37, 132.30, 250.18), ((642, 449), (1406, 450), (1024, 450))),
    ((-45.81, -157.75, 252.35), ((1483, 492), (573, 493), (1031, 494))),
    ((155.26, 84.99, 77.66), ((491, 1134), (982, 1135), (449, 1134))),
    ((123.27, 171.50, 397.79), ((775, 1032), (1765, 1033), (1516, 1031))),
]


@pytest.fixture(scope="module")
def events():
    """A few full-size events."""
    return [simulate_event(LartpcSimulation(), 11, entry) for entry in range(24)]


def same(one, other) -> bool:
    """True if two events are equal in every array."""
    planes = all(
        np.array_equal(getattr(a, name), getattr(b, name))
        for a, b in zip(one.planes, other.planes, strict=True)
        for name in ("ids", "values", "labels")
    )
    return planes and one.particles.tobytes() == other.particles.tobytes() and np.array_equal(one.vertex, other.vertex)


def test_planes_are_sparse_images(events):
    for event in events:
        assert len(event.planes) == 3
        for plane in event.planes:
            assert (plane.ids.dtype, plane.values.dtype, plane.labels.dtype) == (np.uint64, np.float32, np.uint8)
            assert len(plane.ids) == len(plane.values) == len(plane.labels) > 0
            assert np.all(np.diff(plane.ids.astype(np.int64)) > 0)
            assert plane.ids[-1] < 2048 * 1280
            assert plane.values.min() >= 5.0
            assert np.isfinite(plane.values).all()
            assert set(np.unique(plane.labels)) <= {0, 1, 2}


def test_same_arguments_same_event_whatever_was_made_before(events):
    config = LartpcSimulation()
    assert same(simulate_event(config, 11, 3), events[3])
    assert not same(simulate_event(config, 12, 3), events[3])
    assert not same(events[3], events[4])


def test_particles_start_with_the_neutrino(events):
    for event in events:
        table = event.particles
        assert table.dtype == PARTICLE
        assert abs(table["pdg"][0]) in (12, 14)
        assert table["current_type"][0] in (0, 1)
        assert 1001 <= table["interaction_type"][0] <= 1092
        assert 0.3 <= table["energy_init"][0] <= 3.0
        assert table["energy_init"][1:].sum() < table["energy_init"][0] + 0.94
        assert table["pz"][1:].sum() == pytest.approx(table["energy_init"][0], abs=1e-6)
        assert (table["current_type"][0] == 0) == (abs(table["pdg"][1]) in (11, 13))
        assert np.unique(table["vtx"]).size == 1


def test_vertex_has_the_same_time_in_all_planes(events):
    geometry = Geometry()
    for event in events:
        assert np.unique(event.vertex[:, 1]).size == 1
        vertex = event.particles["vtx"][0]
        assert geometry.rows(vertex["x"], geometry.time_zero) == pytest.approx(event.vertex[0, 1], abs=1.0)


def test_neutrino_pixels_lie_at_the_vertex(events):
    for event in events:
        if event.particles["current_type"][0]:
            continue
        for plane, (wire, tick) in zip(event.planes, event.vertex, strict=True):
            ids = plane.ids[plane.labels == 2].astype(np.int64)
            if len(ids):
                assert np.hypot(ids // 1280 - wire, ids % 1280 - tick).min() < 12.0


@pytest.mark.parametrize(("position", "pixels"), REAL_VERTICES)
def test_geometry_maps_real_vertices(position, pixels):
    mapped = Geometry().vertex_pixels(np.array(position), [2048, 1280])
    assert np.abs(mapped - np.array(pixels)).max(axis=0).tolist() <= [1, 3]


def test_a_point_outside_has_no_pixel():
    assert np.all(Geometry().vertex_pixels(np.array([0.0, 250.0, 100.0]), [2048, 1280]) == -1)


def test_window_joins_the_drift_volumes_at_the_cathode():
    geometry = Geometry()
    x = np.array([-199.9, -0.1, 0.1, 199.9])
    np.testing.assert_allclose(geometry.rows(x, geometry.time_zero), [0.32, 639.68, 640.32, 1279.68])
    late = geometry.rows(x, geometry.time_zero + 100.0) - geometry.rows(x, geometry.time_zero)
    np.testing.assert_allclose(late, [50.0, 50.0, -50.0, -50.0])
    assert geometry.in_window(x, geometry.time_zero + 100.0).tolist() == [True, False, False, True]


def test_occupancy_and_class_shares_are_those_of_the_real_events(events):
    """The five real events: occupancy 0.87, 0.87, 0.37 %; cosmic 0.29, 0.27, 0.24 %; neutrino 0.05, 0.06, 0.07 %."""
    per_cent = 100.0 / (2048 * 1280 * len(events))
    bands = {"occupied": ((0.65, 1.1), (0.65, 1.1), (0.24, 0.5)), 1: ((0.18, 0.4),) * 3, 2: ((0.015, 0.09),) * 3}
    for plane in range(3):
        labels = np.concatenate([event.planes[plane].labels for event in events])
        for what, limits in bands.items():
            share = per_cent * (len(labels) if what == "occupied" else np.count_nonzero(labels == what))
            low, high = limits[plane]
            assert low < share < high, (plane, what, share)


def test_values_are_those_of_the_real_events(events):
    """The five real events: median 9, 99 % at 169, cosmic median 38 to 50 counts."""
    values = np.concatenate([plane.values for event in events for plane in event.planes])
    labels = np.concatenate([plane.labels for event in events for plane in event.planes])
    median, high = np.quantile(values, [0.5, 0.99])
    assert 6.0 < median < 14.0
    assert 120.0 < high < 220.0
    assert np.sort(values)[-10] < 5000.0  # a muon along a wire may put all its charge into one pixel
    assert 28.0 < np.median(values[labels == 1]) < 55.0
    assert np.median(values[labels == 0]) < 8.0


def test_noise_is_in_the_layer_and_volume_where_the_real_events_have_it(events):
    shares = np.zeros((3, 2))
    for event in events:
        for number, plane in enumerate(event.planes):
            tick = plane.ids[plane.labels == 0].astype(np.int64) % 1280
            shares[number] += np.bincount(tick >= 640, minlength=2)
    assert shares[0, 1] > 5.0 * shares[0, 0]
    assert shares[1, 0] > 5.0 * shares[1, 1]


def test_wires_end_where_the_detector_does(events):
    for event in events:
        for plane, (low, high) in zip(event.planes, ((29, 2018), (29, 2018), (189, 1858)), strict=True):
            wire = plane.ids.astype(np.int64) // 1280
            assert low <= wire.min() <= wire.max() <= high


def test_no_cosmics_no_cosmic_label():
    event = simulate_event(LartpcSimulation(image_size=SMALL, cosmic_rate=0.0), 1, 0)
    assert not any((plane.labels == 1).any() for plane in event.planes)
    assert any((plane.labels == 2).any() for plane in event.planes)


def test_no_neutrino_no_neutrino_label():
    event = simulate_event(LartpcSimulation(image_size=SMALL, neutrino_fraction=0.0), 1, 0)
    assert not any((plane.labels == 2).any() for plane in event.planes)
    assert len(event.particles) == 0
    assert event.particles.dtype == PARTICLE
    assert np.all(event.vertex == -1)


def nothing_but(argon39: float = 0.0, photons: float = 0.0) -> LartpcSimulation:
    """Events without muons, neutrino and noise."""
    quiet = LartpcSimulation(image_size=SMALL, cosmic_rate=0.0, neutrino_fraction=0.0, noise=0.0)
    return replace(quiet, argon39=argon39, photons=photons)


@pytest.mark.parametrize("option", [{"argon39": 1.0}, {"photons": 30.0}])
def test_radioactivity_leaves_unlabelled_spots(option):
    event = simulate_event(nothing_but(**option), 1, 0)
    for plane in event.planes:
        assert not plane.labels.any()
        assert 0 < len(plane.ids) < 600
    assert not any(len(plane.ids) for plane in simulate_event(nothing_but(), 1, 0).planes)


@pytest.mark.parametrize("size", [[64, 40], [512, 320], [1024, 640]])
def test_coarser_images_show_the_same_detector(size):
    config = LartpcSimulation(noise=0.0, threshold=1.0)
    coarse = simulate_event(LartpcSimulation(image_size=size, noise=0.0, threshold=1.0), 2, 5)
    full = simulate_event(config, 2, 5)
    assert coarse.particles.tobytes() == full.particles.tobytes()
    scale = 2048 // size[0]
    assert np.array_equal(coarse.vertex, full.vertex // scale)
    for plane, fine in zip(coarse.planes, full.planes, strict=True):
        assert plane.ids[-1] < size[0] * size[1]
        assert plane.values.sum() == pytest.approx(fine.values.sum(), rel=0.05)


def test_lifetime_and_threshold_take_charge_away():
    def total(**options) -> float:
        return sum(plane.values.sum() for plane in simulate_event(LartpcSimulation(noise=0.0, **options), 4, 1).planes)

    assert total(electron_lifetime=500.0) < 0.8 * total()
    assert total(threshold=30.0) < total()
    assert total(electrons_per_count=530.0) < 0.6 * total()


def faint_and_bright(planes) -> tuple[float, float]:
    """Share of labelled pixels below 8 counts, and unlabelled pixels above 30 counts for each labelled one."""
    values, labels = (np.concatenate([getattr(plane, name) for plane in planes]) for name in ("values", "labels"))
    labelled = labels > 0
    return float((values[labelled] < 8.0).mean()), np.count_nonzero(values[~labelled] > 30.0) / labelled.sum()


def test_edges_of_tracks_are_those_of_the_real_events(events, sbnd_file):
    """Wires beside a track get little of its charge but its label, rows beside it much of its pulse but no label."""
    file = WireFile(sbnd_file, Products("sbndwire", "sbnd_cosmicseg", "sbndneutrino"))
    pixels = [file.read(entry) for entry in range(len(file))]
    real = faint_and_bright([SimpleNamespace(values=event.value, labels=event.label) for event in pixels])
    made = faint_and_bright([plane for event in events for plane in event.planes])
    assert made[0] == pytest.approx(real[0], rel=0.3)  # 0.044 in the file
    assert 0.5 < made[1] / real[1] < 1.5  # 0.028; it follows the directions of the few real tracks


def test_bright_unlabelled_pixels_lie_beside_tracks_in_time(events):
    for plane in (plane for event in events for plane in event.planes):
        labelled = plane.ids[plane.labels > 0]
        bright = plane.ids[(plane.labels == 0) & (plane.values > 30.0)]
        beside = np.isin(bright - np.uint64(1), labelled) | np.isin(bright + np.uint64(1), labelled)
        assert np.count_nonzero(~beside) < 0.3 * len(bright) + 15  # the rest: photons


SPREADS = {"electron_lifetime": 0.5, "electrons_per_count": 0.2, "diffusion": 0.5, "threshold": 0.2, "noise": 0.5}


@pytest.mark.parametrize("name", SPREADS)
def test_randomisation_changes_the_image_but_not_the_particles(name):
    plain = simulate_event(LartpcSimulation(image_size=SMALL), 1, 0)
    randomisation = Randomisation(**{name: SPREADS[name]})
    config = LartpcSimulation(image_size=SMALL, randomisation=randomisation)
    drawn = simulate_event(config, 1, 0)
    assert same(drawn, simulate_event(config, 1, 0))
    assert not same(drawn, plain)
    assert drawn.particles.tobytes() == plain.particles.tobytes()


def test_randomised_values_fill_their_range():
    config = LartpcSimulation(randomisation=Randomisation(**SPREADS))
    drawn = [randomised(config, 1, entry) for entry in range(400)]
    for name, spread in SPREADS.items():
        factor = np.array([getattr(one, name) for one in drawn]) / getattr(config, name)
        assert 1.0 / (1.0 + spread) <= factor.min() < 1.0 / (1.0 + 0.9 * spread)
        assert 1.0 + 0.9 * spread < factor.max() <= 1.0 + spread
        assert abs(np.log(factor).mean()) < 0.1 * np.log(1.0 + spread)


def test_without_randomisation_the_configuration_is_the_events():
    assert randomised(LartpcSimulation(), 1, 0) == LartpcSimulation()
