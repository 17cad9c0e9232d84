"""The true neutrino of an event, its interaction and energy."""

from pathlib import Path

import h5py
import numpy as np
import pytest

from airshower.detectors.lartpc.larcv.file import LarcvFile
from airshower.detectors.lartpc.larcv.format import PARTICLE
from airshower.detectors.lartpc.larcv.writer import ImageMeta, LarcvWriter, Voxels
from airshower.detectors.lartpc.source import EVENT_CLASSES, INTERACTIONS, LartpcConfig, LartpcEvents
from airshower.errors import DataError

NAMES = {"image_producer": "wire", "label_producer": "label", "particle_producer": "nu", "downsample": 0}

# (pdg, current_type, energy) of an event's particles, its interaction and the neutrino's energy
EVENTS = [
    ([(12, 0, 1.0)], "nu_e CC", 1.0),
    ([(-12, 0, 2.0)], "nu_e CC", 2.0),
    ([(14, 0, 3.0)], "nu_mu CC", 3.0),
    ([(-14, 0, 4.0)], "nu_mu CC", 4.0),
    ([(16, 0, 5.0)], "nu_tau CC", 5.0),
    ([(-16, 0, 6.0)], "nu_tau CC", 6.0),
    ([(12, 1, 7.0)], "NC", 7.0),
    ([(-16, 1, 8.0)], "NC", 8.0),
    ([(14, -1, 9.0)], "unknown", 9.0),
    ([(12, 2, 9.5)], "unknown", 9.5),
    ([(16, 32767, 9.5)], "unknown", 9.5),
    ([(13, -1, 1.0), (2212, -1, 2.0), (14, 0, 3.0)], "nu_mu CC", 3.0),
    ([(14, -1, 0.4), (2112, -1, 1.0), (14, 1, 1.5)], "NC", 1.5),  # the neutrino that comes out stands first
    ([(12, 0, 0.7), (14, 0, 50.0)], "nu_e CC", 0.7),
    ([(13, 0, 5.0), (11, 1, 2.0)], "cosmic", np.nan),
    ([], "cosmic", np.nan),
]


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file of `EVENTS`."""
    path, image = tmp_path_factory.mktemp("nu") / "nu.h5", (ImageMeta.unit((4, 4)), Voxels(np.array([3]), np.ones(1)))
    with LarcvWriter(path) as writer:
        for entry, (particles, _, _) in enumerate(EVENTS):
            records = np.zeros(len(particles), PARTICLE)
            for name, column in zip(("pdg", "current_type", "energy_init"), zip(*particles, strict=True), strict=False):
                records[name] = column
            writer.append((1, 1, entry), {"wire": [image], "label": [image]}, particles={"nu": records})
    return path


def test_interactions_and_energies(path: Path) -> None:
    truth = LartpcEvents(LartpcConfig(**NAMES), str(path)).truth(np.arange(len(EVENTS)))
    names = [INTERACTIONS[row] for row in truth["interaction"]]
    assert names == [name for _, name, _ in EVENTS]
    np.testing.assert_array_equal(truth["energy"], [energy for *_, energy in EVENTS])
    assert set(EVENT_CLASSES) == set(names) - {"nu_tau CC", "unknown"}


def test_the_order_of_events_in_the_table_does_not_matter(path: Path, tmp_path: Path, rewrite) -> None:
    """The particles of the last events come first in the table, and their extents say so."""
    copy = tmp_path / "copy.h5"
    copy.write_bytes(path.read_bytes())
    counts = np.array([len(particles) for particles, _, _ in EVENTS])
    begin = np.cumsum(counts[::-1])[::-1] - counts
    order = np.concatenate([np.arange(count) + sum(counts[:event]) for event, count in enumerate(counts)][::-1])
    rewrite(copy, "Data/particle_nu_group/particles", lambda rows: rows[order])

    def reverse(rows: np.ndarray) -> np.ndarray:
        rows["first"] = begin
        return rows

    rewrite(copy, "Data/particle_nu_group/extents", reverse)
    before, after = (LarcvFile(name).particles("nu") for name in (path, copy))
    for name in ("pdg", "current_type", "energy_init"):
        np.testing.assert_array_equal(before.neutrinos()[name], after.neutrinos()[name])
    assert after.read(11)["pdg"].tolist() == [13, 2212, 14]


def test_wide_columns_do_not_wrap(path: Path, tmp_path: Path, rewrite) -> None:
    """2^32 + 14 is no muon neutrino, and 2^16 no charged current."""
    copy = tmp_path / "copy.h5"
    copy.write_bytes(path.read_bytes())

    def wide(rows: np.ndarray) -> np.ndarray:
        rows = rows.astype([(n, "i8" if n in ("pdg", "current_type") else rows.dtype[n]) for n in rows.dtype.names])
        rows["pdg"][0] = 2**32 + 14
        rows["current_type"][2] = 2**16
        return rows

    rewrite(copy, "Data/particle_nu_group/particles", wide)
    truth = LartpcEvents(LartpcConfig(**NAMES), str(copy)).truth(np.arange(3))
    assert [INTERACTIONS[row] for row in truth["interaction"]] == ["cosmic", "nu_e CC", "unknown"]


def test_particles_of_two_events_are_refused(path: Path, tmp_path: Path, rewrite) -> None:
    copy = tmp_path / "copy.h5"
    copy.write_bytes(path.read_bytes())

    def shared(rows: np.ndarray) -> np.ndarray:
        rows["first"][1] = 0
        return rows

    rewrite(copy, "Data/particle_nu_group/extents", shared)
    with pytest.raises(DataError, match=r"particle_nu, entry 1: has particles of another event"):
        LarcvFile(copy).particles("nu")


@pytest.mark.parametrize("lacking", ["a", "b"])
def test_truth_that_some_files_lack_is_refused(path: Path, tmp_path: Path, lacking: str) -> None:
    for name in "ab":
        (tmp_path / f"{name}.h5").write_bytes(path.read_bytes())
    with h5py.File(tmp_path / f"{lacking}.h5", "r+") as file:
        del file["Data/particle_nu_group"]
    with pytest.raises(
        DataError, match=rf"{lacking}\.h5: has no product particle_nu, but .*\.h5 has; .*particle_producer"
    ):
        LartpcEvents(LartpcConfig(**NAMES), str(tmp_path / "[ab].h5"))
    assert (
        LartpcEvents(LartpcConfig(**NAMES | {"particle_producer": ""}), str(tmp_path / "[ab].h5")).truth(np.arange(2))
        == {}
    )
