"""Showers over the telescopes of a DL1 file: what it says of them is taken over, the rest is as usual."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from airshower.detectors.cta.dl1.format import Camera, Optics, Telescope
from airshower.detectors.cta.dl1.hdf5 import Hdf5
from airshower.detectors.cta.dl1.instrument import read_subarray
from airshower.detectors.cta.dl1.writer import Dl1Writer
from airshower.detectors.cta.open_file import open_file
from airshower.detectors.cta.simulated import SimulatedCta
from airshower.detectors.cta.simulation import CtaSimulation, simulate_events
from airshower.detectors.cta.simulation.file_array import digest, file_array
from airshower.detectors.cta.simulation.telescopes import ALTITUDE, LST, MST, SST
from airshower.detectors.cta.source import CtaConfig, CtaEvents
from airshower.detectors.cta.subarray import merge_subarrays
from airshower.errors import DataError, UserError
from airshower.geometry.camera import CameraGeometry
from tests.detectors.cta import layouts

GAMMAS = CtaSimulation(proton_fraction=0.0, energy_min=1.0)
OFFICIAL = "gamma_prod4_sst1m.dl1.h5"


def write(path: Path, telescopes: list[Telescope], cameras: list[Camera], config: CtaSimulation = GAMMAS) -> Path:
    with Dl1Writer(path, telescopes, cameras, config.runs()):
        return path


def simulate(config: CtaSimulation, events: int) -> Path:
    data = SimulatedCta.Config(events=events, simulation=config)
    return SimulatedCta(data, seed=0).file("array", events, seed=3)


@pytest.fixture(scope="module")
def telescopes() -> list[Telescope]:
    """Far from the origin, ids with gaps and not in order, an SST of twice the mirror's area among them."""
    larger = replace(SST.optics, name="larger", mirror_area=2.0 * SST.optics.mirror_area)
    places = {30: (SST.optics, 0), 4: (SST.optics, 0), 7: (MST.optics, 1), 11: (larger, 0), 2: (SST.optics, 0)}
    return [
        Telescope(tel_id, optics.name, (1000.0 + 9.0 * tel_id, -500.0 + 50.0 * row, 3.0), optics, camera)
        for row, (tel_id, (optics, camera)) in enumerate(places.items())
    ]


@pytest.fixture
def file(tmp_path, telescopes) -> Path:
    return write(tmp_path / "array.dl1.h5", telescopes, [SST.camera, MST.camera])


def test_the_array_of_a_simulated_file_is_that_it_was_simulated_with():
    config = replace(GAMMAS, lsts=2, msts=2)
    standard, again = config.build_array(), replace(config, array=str(simulate(config, 1))).build_array()
    assert again.altitude == ALTITUDE
    assert (again.alt, again.az) == (standard.alt, standard.az)
    np.testing.assert_array_equal(again.ids, [1, 2, 3, 4])
    np.testing.assert_allclose(again.position, standard.position, atol=1e-4)
    for kind, found in zip(standard.kinds, again.kinds, strict=True):
        assert (found.name, found.optics) == (kind.name, kind.optics)
        assert (found.camera.sampling_rate, found.camera.n_samples) == (
            kind.camera.sampling_rate,
            kind.camera.n_samples,
        )
        np.testing.assert_array_equal(found.geometry.position, kind.geometry.position)
        noise = found.night_sky, found.integration, found.trigger_time
        assert noise == pytest.approx((kind.night_sky, kind.integration, kind.trigger_time))


def test_what_is_simulated_fits_the_file_it_comes_from(file):
    """Telescopes and cameras are in one order, so that a network that learns from one can run over the other."""
    made = simulate(replace(GAMMAS, array=str(file)), 3)
    ours, theirs = open_file(made).subarray, read_subarray(Hdf5(file))
    merged, (_, rows) = merge_subarrays([(made, ours), (file, theirs)])  # or it says that one is not the other's
    np.testing.assert_array_equal(ours.ids, [2, 4, 7, 11, 30])
    np.testing.assert_array_equal(merged.ids, ours.ids)
    np.testing.assert_array_equal(theirs.ids[np.argsort(rows)], ours.ids)
    assert ours.types == ("SST", "SST", "MST", "SST", "SST")


def test_showers_fall_around_the_middle_of_the_array(file, telescopes):
    middle = np.mean([telescope.position[:2] for telescope in telescopes], 0)
    config = replace(GAMMAS, array=str(file), gamma_radius=100.0, min_telescopes=1)
    np.testing.assert_allclose(config.build_array().middle, middle, atol=1e-4)
    for some in simulate_events(config, 1, 10):
        away = np.hypot(some.shower.core_x - middle[0], some.shower.core_y - middle[1])
        assert away == pytest.approx(some.thrown[-1, 1])
        assert away <= 100.0


def test_night_sky_goes_with_what_a_pixel_sees(file):
    small, large, mst = (file_array(str(file), 20.0, 0.0).kinds[i] for i in (0, 2, 1))
    assert small.night_sky == pytest.approx(SST.night_sky)
    assert large.night_sky == pytest.approx(2.0 * SST.night_sky)
    assert mst.night_sky == pytest.approx(MST.night_sky)
    # of an SST over that of an LST, from area and angle alone
    seen = [
        kind.optics.mirror_area * (kind.geometry.pitch / kind.optics.effective_focal_length) ** 2 for kind in (SST, LST)
    ]
    assert SST.night_sky / LST.night_sky == pytest.approx(seen[0] / seen[1], rel=0.05)


def test_telescopes_of_other_types_and_square_pixels(tmp_path):
    optics = Optics("dual", "SCT", "SCHWARZSCHILD_COUDER", 40.0, 2, 20, 5.6, np.nan)
    x, y = (0.01 * (places.ravel() - 11.5) for places in np.meshgrid(*[np.arange(24.0)] * 2))
    camera = Camera(CameraGeometry("square", x, y, np.full(len(x), 1e-4), "square"), 0.5, 40)
    array = [Telescope(i, "dual", (100.0 * i, 0.0, 0.0), optics, 0) for i in (1, 2)]
    config = replace(GAMMAS, array=str(write(tmp_path / "a.dl1.h5", array, [camera])))
    (kind,) = config.build_array().kinds
    assert (kind.efficiency, kind.integration) == (MST.efficiency, 2.0 * MST.integration)
    assert kind.trigger_time == pytest.approx(MST.trigger_time * 80.0 / 60.0)
    angle = np.linspace(-0.0199, 0.0199, 300)
    lat, lon = (places.ravel().astype(np.float32) for places in np.meshgrid(angle, angle))
    seen = kind.pixels(lat, lon)
    assert (seen >= 0).mean() > 0.99  # no light is lost in the corners
    hit = kind.geometry.position[seen[seen >= 0]] / 5.6
    assert np.abs(hit - np.stack([lat, lon], 1)[seen >= 0]).max() < 0.6 * 0.01 / 5.6
    assert len(next(simulate_events(config, 1, 1)).images) == 2


def test_made_files_are_kept_by_what_the_array_is_not_by_its_path(tmp_path, telescopes):
    cameras = [SST.camera, MST.camera]
    one, same, moved, slower = (tmp_path / f"{name}.h5" for name in ("one", "same", "moved", "slower"))
    write(one, telescopes, cameras)
    write(same, telescopes, cameras)
    write(moved, [replace(telescopes[0], position=(0.0, 0.0, 0.0)), *telescopes[1:]], cameras)
    write(slower, telescopes, [replace(SST.camera, sampling_rate=0.1), MST.camera])
    first, second, *others = (digest(file_array(str(path), 20.0, 0.0)) for path in (one, same, moved, slower))
    assert first == second
    assert len({first, *others}) == 3


def test_what_is_no_array(tmp_path, file, altered):
    with pytest.raises(DataError, match="no such file"):
        replace(GAMMAS, array=str(tmp_path / "none.h5")).build_array()
    with pytest.raises(DataError, match=r"fact.h5: is not DL1 .* data\.simulation\.array"):
        replace(GAMMAS, array=str(layouts.fact(tmp_path / "fact.h5"))).build_array()
    with pytest.raises(UserError, match="min_telescopes=6: there are 5 telescopes"):
        next(simulate_events(replace(GAMMAS, array=str(file), min_telescopes=6), 1, 1))
    damaged = altered(file, lambda copy: copy.__delitem__("/configuration/instrument/telescope/camera/readout_0"))
    with pytest.raises(DataError, match="readout_0 with the SAMPFREQ"):
        replace(GAMMAS, array=str(damaged)).build_array()


def test_telescopes_of_the_official_file(sample):
    path = sample(OFFICIAL)
    config = replace(GAMMAS, array=str(path), gamma_radius=500.0, azimuth=0.0)
    array = config.build_array()
    (kind,) = array.kinds
    assert (len(array.ids), array.altitude, len(kind.geometry)) == (70, 2150.0, 1296)
    assert (kind.camera.sampling_rate, kind.camera.n_samples) == (0.25, 50)
    assert kind.night_sky == pytest.approx(SST.night_sky, rel=0.05)
    made = simulate(config, 20)
    data = CtaConfig(mode="stereo", classes=["gamma"])
    ours, official = (CtaEvents(data, str(one)).spec["images"] for one in (made, path))
    np.testing.assert_array_equal(ours.telescope_ids, official.telescope_ids)
    np.testing.assert_array_equal(ours.camera, official.camera)
    np.testing.assert_allclose(ours.position, official.position, atol=1e-3)
    assert ours.telescope_types == official.telescope_types
    # dark pixels, of which nearly all are: their quartiles
    found, there = (np.concatenate([open_file(one).read([i])[0] for i in range(8)]) for one in (made, path))
    np.testing.assert_allclose(*(np.quantile(values, [0.1, 0.25, 0.75]) for values in (found, there)), atol=0.1)
