"""`airshower.open`: files of all formats, recognised by content."""

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

import airshower as library
from airshower.data.batch import Batch
from airshower.errors import DataError, UserError

TANKS = {"data": "hawc_simulated", "events": 12}
SHOWERS = {
    "data": "cta_simulated",
    "mode": "stereo",
    "events": 8,
    "simulation": {"lsts": 2, "msts": 2, "energy_min": 0.5},
}
WIRES = {"data": "lartpc_simulated", "events": 3, "downsample": 0}
WIRES["simulation"] = {"image_size": [128, 96], "cosmic_rate": 4}


@pytest.fixture(scope="module")
def showers() -> library.Events:
    return library.open(**SHOWERS)


@pytest.mark.parametrize(
    ("options", "data", "first"),
    [
        (WIRES, "lartpc", "3 wire planes of 96 ticks x 128 wires"),
        (SHOWERS, "cta", "4 telescopes, 2 LST (LSTCam), 2 MST (NectarCam)"),
        (TANKS, "hawc", "rec.nHit"),
    ],
)
def test_files_are_recognised_whatever_their_name(options: dict, data: str, first: str, tmp_path: Path) -> None:
    simulated = library.open(**options)
    path = tmp_path / "events.dat"
    shutil.copy(file_of(simulated), path)
    events = library.open(path, **({"mode": "stereo"} if data == "cta" else {}))
    assert events.name == data
    assert len(events) == len(simulated)
    assert first in repr(events)
    assert np.array_equal(events.read([1]).event_ids[:, 1:], simulated.read([1]).event_ids[:, 1:])


@pytest.mark.parametrize("name", ["text.h5", "empty.h5", "cut.h5"])
def test_other_files_are_refused_by_name(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    content = {"text.h5": b"energy,alt,az\n1,2,3\n", "empty.h5": b"", "cut.h5": b"\x89HDF\r\n\x1a\n"}
    path.write_bytes(content[name])
    with pytest.raises(DataError, match=f"{name}: is of no known format"):
        library.open(path)
    with pytest.raises(DataError, match="no such file"):
        library.open(tmp_path / "other.h5")


def test_events_are_numbered_and_chosen(showers: library.Events) -> None:
    assert len(showers) == 8
    event = showers[3]
    assert isinstance(event, Batch)
    assert event.entries.tolist() == [3]
    some = showers[2:6]
    assert isinstance(some, library.Events)
    assert some.entries.tolist() == [2, 3, 4, 5]
    assert some[[True, False, False, True]].entries.tolist() == [2, 5]
    assert showers[-1].entries.tolist() == [7]
    assert [batch.entries.tolist() for batch in some[:2]] == [[2], [3]]
    with pytest.raises(IndexError, match="8 events"):
        showers[8]


def test_truth_has_units_and_names(showers: library.Events) -> None:
    truth = showers.truth
    read = showers.read(range(8)).truth.get()
    assert [truth.unit(name) for name in ("energy", "alt", "core_y", "x_max")] == ["TeV", "rad", "m", "g/cm2"]
    np.testing.assert_array_equal(truth["energy"], read["energy"])
    np.testing.assert_array_equal(truth["az"], read["direction"][:, 1])
    np.testing.assert_array_equal(truth["primary"], np.array(["gamma", "proton"])[read["primary"]])
    assert showers[1:3].truth["energy"].tolist() == truth["energy"][1:3].tolist()


def test_cuts_select_events(showers: library.Events) -> None:
    energy = np.sort(showers.truth["energy"])[4]
    events = library.open(file_of(showers), mode="stereo", cuts=f"true_energy > {energy}")
    assert len(events) == 3
    with pytest.raises(UserError, match="energi"):
        library.open(file_of(showers), mode="stereo", cuts="energi > 1")
    with pytest.raises(UserError, match=r"data\.cut"):
        library.open(file_of(showers), mode="stereo", cut="true_energy > 1")


def test_tables_are_exported_with_units(showers: library.Events, tmp_path: Path) -> None:
    showers.to_npz(tmp_path / "events.npz")
    with np.load(tmp_path / "events.npz", allow_pickle=False) as file:
        np.testing.assert_array_equal(file["true_energy"], showers.truth["energy"])
        assert ["true_energy", "TeV"] in file["units"].tolist()


def test_parquet_and_pandas_have_units(tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    pytest.importorskip("pandas")
    events = library.open(**TANKS)
    events.to_parquet(tmp_path / "events.parquet")
    schema = parquet.read_schema(tmp_path / "events.parquet")
    assert schema.field("true_energy").metadata[b"unit"] == b"GeV"
    frame = events.table.to_pandas()
    assert frame.attrs["units"]["rec.zenithAngle"] == "rad"
    np.testing.assert_array_equal(frame["true_energy"], events.truth["energy"])


def test_astropy_tables_have_units(showers: library.Events) -> None:
    units = pytest.importorskip("astropy.units")
    table = showers.truth.to_astropy()
    assert table["energy"].unit == units.TeV
    assert table["alt"].quantity[0].to_value("deg") == pytest.approx(np.degrees(showers.truth["alt"][0]))


def test_torch_loaders_read_batches(showers: library.Events) -> None:
    dataset = showers.torch()
    loader = DataLoader(dataset, batch_size=3, shuffle=True, collate_fn=dataset.collate)
    batches = list(loader)
    assert sorted(entry for batch in batches for entry in batch.entries) == list(range(8))
    assert [len(batch) for batch in batches] == [3, 3, 2]
    camera = batches[0]["images"].cameras[0]
    assert isinstance(camera.charge, torch.Tensor)
    assert dataset[0].entries.tolist() == [0]


@pytest.mark.parametrize(
    "options", [WIRES, SHOWERS, {**TANKS, "data": "hawc_images_simulated", "channels": ["charge"]}]
)
def test_events_have_pictures(options: dict) -> None:
    figure = library.open(**options).display(1)
    assert any(axes.collections or axes.images for axes in figure.axes)


@pytest.mark.parametrize(
    ("name", "options", "data"),
    [
        ("lartpc/cosmic_tagging_light.h5", {}, "lartpc"),
        ("cta/gamma_prod4_sst1m.dl1.h5", {}, "cta"),
        ("cta/fact_images.h5", {"classes": ["observed"]}, "cta"),
        ("hawc/hawc_like_gamma.xcd", {}, "hawc"),
    ],
)
def test_official_files_are_recognised(sample_file: Callable[[str], Path], name: str, options: dict, data: str) -> None:
    events = library.open(sample_file(name), **options)
    assert events.name == data
    assert len(events)
    assert len(events[0]) == 1


def test_simulated_data_have_no_files_and_others_need_some(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="is simulated"):
        library.open(tmp_path / "a.h5", data="cta_simulated")
    with pytest.raises(UserError, match="name files"):
        library.open()
    with pytest.raises(UserError, match="there is no such data"):
        library.open(data="ctta")


def test_gammas_and_protons_are_told_apart_by_their_keys() -> None:
    path = file_of(library.open(**TANKS))
    events = library.open(gammas=path, protons=[], parameters=["rec.nHit"])
    assert set(events.truth["primary"]) == {"gamma"}


def file_of(events: library.Events) -> Path:
    """The file that simulated events are in."""
    files = events.source.files
    return Path(files[0].path if isinstance(files, list | tuple) else next(iter(files)).path)
