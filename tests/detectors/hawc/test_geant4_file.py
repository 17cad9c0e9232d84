"""Geant4's showers as XCDF files: PMTs by place, directions that showers come from, and showers that stay together."""

from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest

import airshower
from airshower.detectors.hawc.geant4_file import Geant4Showers, to_xcdf
from airshower.detectors.hawc.source import Hawc
from airshower.detectors.hawc.xcdf.file import XcdfFile
from airshower.errors import DataError
from airshower.geometry.separation import angular_separation
from airshower.geometry.shower_front import LIGHT_SPEED
from airshower.geometry.tank_array import hawc_array

SHOWERS, USES = 8, 3
EVENTS = SHOWERS * USES
ORDER = np.random.default_rng(5).permutation(1200)  # the file's PMTs are numbered in another way


def write_showers(path: Path, change: Callable[[h5py.File], None] | None = None) -> Path:
    """Plane fronts that PMTs around the core see, as in a file of Geant4's; half of the showers are protons."""
    rng = np.random.default_rng(1)
    array = hawc_array()
    place = array.position[ORDER, :2] - array.centre
    shower = np.repeat(np.arange(SHOWERS), USES)
    zenith, goes_to = rng.uniform(5, 40, SHOWERS), rng.uniform(0, 360, SHOWERS)
    core = rng.uniform(-40, 40, (EVENTS, 2))
    towards = np.sin(np.radians(zenith)) * np.stack([-np.cos(np.radians(goes_to)), -np.sin(np.radians(goes_to))])
    hits: dict[str, list[np.ndarray]] = {"pmt": [], "charge_pe": [], "time_ns": []}
    for event in range(EVENTS):
        distance = np.hypot(*(place - core[event]).T)
        pmt = np.flatnonzero(distance < 50)
        time = -place[pmt] @ towards[:, shower[event]] / LIGHT_SPEED + rng.normal(0, 1, len(pmt))
        hits["pmt"].append(pmt)
        hits["charge_pe"].append(200.0 / (5.0 + distance[pmt]))
        hits["time_ns"].append(time - np.median(time))
    with h5py.File(path, "w") as file:
        file["energy_GeV"] = np.geomspace(500, 5000, SHOWERS)[shower]
        file["zenith_deg"], file["azimuth_deg"] = zenith[shower], goes_to[shower]
        file["core_x_m"], file["core_y_m"] = core.T
        file["is_proton"], file["shower_id"] = (shower % 2).astype(float), shower.astype(float)
        file["event_offsets"] = np.cumsum([0, *map(len, hits["pmt"])])
        for name, parts in hits.items():
            file[f"hit_{name}"] = np.concatenate(parts).astype("u2" if name == "pmt" else "f4")
        file["pmt_xy_m"] = place
        if change:
            change(file)
    return path


@pytest.fixture(scope="module")
def converted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("geant4")
    written = to_xcdf(write_showers(folder / "showers.h5"), folder / "g4.xcd")
    assert {path.name: events for path, events in written.items()} == {"g4_gamma.xcd": 12, "g4_proton.xcd": 12}
    return folder


def test_hits_keep_their_places_and_directions_are_those_that_showers_come_from(converted: Path) -> None:
    showers = Geant4Showers.read(converted / "showers.h5")
    assert np.array_equal(showers.grid_id, ORDER + 1)
    files = {name: converted / f"g4_{name}.xcd" for name in ("gamma", "proton")}
    events = airshower.open(
        gammas=files["gamma"], protons=files["proton"], features=["charge", "time"], time="absolute"
    )
    assert len(events) == EVENTS
    truth, fitted = events.source.truth(events.entries), events.source.estimates(events.entries)
    angle = np.degrees(angular_separation(*truth["direction"].T, *fitted["direction"].T))
    assert angle.max() < 5.0  # the fronts are planes, the fit takes them for curved ones
    assert np.hypot(*(truth["core"] - fitted["core"]).T).max() < 15.0
    with h5py.File(converted / "showers.h5") as file:
        gammas = file["is_proton"][:] == 0
        np.testing.assert_allclose(truth["energy"][:12], file["energy_GeV"][gammas])
        cores = np.stack([file[f"core_{axis}_m"][gammas] for axis in "xy"], 1) + hawc_array().centre
        np.testing.assert_allclose(truth["core"][:12], cores)
        count = int(np.diff(file["event_offsets"][:])[gammas][0])
    assert XcdfFile(files["gamma"]).columns(["event.nHit"])["event.nHit"][0] == count
    assert "reconstructed by the fits of airshower's simulation" in XcdfFile(files["gamma"]).comments[0]


def test_no_shower_is_on_both_sides_of_a_split(converted: Path) -> None:
    paths = {f"{name}s": str(converted / f"g4_{name}.xcd") for name in ("gamma", "proton")}
    config = Hawc.Config(**paths, validation_fraction=0.25, test_fraction=0.25)
    splits = Hawc(config, 0).open()
    parts = (splits.train, splits.validation, splits.test)
    sides = [{key.tobytes() for key in part.source.showers[part.entries]} for part in parts]
    assert sum(map(len, sides)) == len(set.union(*sides)) == SHOWERS
    assert all(sides)


def replaced(name: str, change: Callable[[np.ndarray], np.ndarray]) -> Callable[[h5py.File], None]:
    def of(file: h5py.File) -> None:
        values = change(file[name][:])
        del file[name]
        file[name] = values

    return of


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda file: file.pop("hit_pmt"), "has no hit_pmt; a file of Geant4's showers over HAWC has energy_GeV, "),
        (replaced("zenith_deg", lambda a: a[1:]), r"zenith_deg: should be finite numbers \[24\], is \[23\]"),
        (replaced("hit_time_ns", lambda a: a * np.nan), "hit_time_ns: should be finite numbers"),
        (replaced("event_offsets", lambda a: a[::-1]), "event_offsets: do not rise from 0 to"),
        (replaced("hit_pmt", lambda a: a + 700), "hit_pmt: has values that are no PMT"),
        (replaced("pmt_xy_m", lambda a: a * 1.1), "pmt_xy_m: are not the places of HAWC's PMTs"),
        (replaced("shower_id", lambda a: a * 0), "shower_id: events of one are not those of one energy and direction"),
    ],
)
def test_other_files_are_refused(change: Callable[[h5py.File], None], says: str, tmp_path: Path) -> None:
    path = write_showers(tmp_path / "showers.h5", change)
    with pytest.raises(DataError, match=rf"showers\.h5: {says}") as error:
        to_xcdf(path, tmp_path / "g4.xcd")
    assert "\n" not in str(error.value)
    assert [each.name for each in tmp_path.iterdir()] == ["showers.h5"]


def test_a_sample_has_the_places_of_hawc(sample_file: Callable[[str], Path]) -> None:
    showers = Geant4Showers.read(sample_file("hawc/hawc_like_g4_showers.h5"))
    columns = next(showers.events("gamma"))
    assert len(columns["rec.nHit"]) == 100
    assert len(np.unique(columns["SimEvent.energyTrue"])) < 25  # each shower is used up to six times
    towards = [np.pi / 2 - columns["rec.zenithAngle"], columns["rec.azimuthAngle"]]
    true = [np.pi / 2 - np.radians(columns["SimEvent.thetaTrue"]), np.radians(columns["SimEvent.phiTrue"])]
    assert np.median(np.degrees(angular_separation(*true, *towards))) < 3.0
