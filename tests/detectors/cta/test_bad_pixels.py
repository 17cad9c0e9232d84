"""Pixels that are no finite number: refused, taken out, or their images left out."""

from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch

from airshower.detectors.cta.source import CtaConfig, CtaEvents
from airshower.errors import DataError
from airshower.networks.telescopes.network import TelescopeNetwork
from tests.detectors.cta import layouts
from tests.detectors.cta.small_dl1 import charge, rewrite


@pytest.fixture
def bad(tmp_path: Path, write_dl1: Callable[..., Path], altered: Callable[..., Path]) -> str:
    """Of event 3 (number 101), telescope 1 has a charge that is infinite, telescope 2 a time that is NaN; 12 images."""

    def change(file: h5py.File) -> None:
        for tel_id, column, value in ((1, "image", np.inf), (2, "peak_time", np.nan)):

            def put(rows: np.ndarray, column: str = column, value: float = value) -> np.ndarray:
                rows[column][rows["event_id"] == 101, 3] = value
                return rows

            rewrite(file, f"/dl1/event/telescope/images/tel_{tel_id:03d}", put)

    return str(altered(write_dl1(tmp_path / "a.h5"), change))


def source(path: str, **config: object) -> CtaEvents:
    return CtaEvents(CtaConfig(**{"classes": ["gamma"], "mode": "stereo", **config}), path)


def test_error(bad: str) -> None:
    with pytest.raises(DataError, match=r"event 101 .*: the charge of a pixel is not .*; data\.bad_pixels=zero takes"):
        source(bad, telescopes=[1]).read(np.arange(4))
    with pytest.raises(DataError, match=r"event 101 of observation 7: the peak time of a pixel is not a finite number"):
        source(bad, telescopes=[2]).read(np.arange(4))


def test_zero(bad: str) -> None:
    """Such a pixel has no charge and no time, and was not kept by cleaning; networks see zeros."""
    images = source(bad, bad_pixels="zero")
    batch = images.read(np.arange(len(images)))
    lst = batch["images"].cameras[0]
    assert images.cut_flow.left == (12, 6)
    found = 0
    for row, (event, telescope) in enumerate(zip(batch.event_ids[lst.event, 1], lst.telescope, strict=True)):
        expected = charge(int(2 * (event // 100) + event % 100), int(telescope) + 1, 7)
        broken = np.arange(7) == (3 if event == 101 else -1)
        np.testing.assert_array_equal(lst.charge[row], np.where(broken, 0.0, expected))
        np.testing.assert_array_equal(np.isnan(lst.time[row]), broken)
        np.testing.assert_array_equal(lst.clean[row], (expected > 30) & ~broken)
        found += broken.any()
    assert found > 0
    for kind in TelescopeNetwork.view(images.spec)(batch.to(torch.device("cpu"))).kinds:
        assert all(part.isfinite().all() for part in (kind.pixels, kind.clean, kind.size))


def test_skip(bad: str) -> None:
    """Images with such pixels are left out before cuts on numbers of images, and counted."""
    whole = source(bad, bad_pixels="zero")
    images = source(bad, bad_pixels="skip")
    removed = images.cut_flow.removed["bad pixels"][0]
    assert removed == len([1 for row in whole.event_ids.tolist() if row[1] == 101]) * len(bad_images(whole))
    batch = images.read(np.arange(len(images)))
    assert all(np.isfinite(part.charge).all() and np.isfinite(part.time).all() for part in batch["images"].cameras)
    assert sum(map(len, batch["images"].cameras)) == 12 - removed
    mono = source(bad, bad_pixels="skip", mode="mono", telescope_types=["LST"])
    assert not {(101, tel_id) for tel_id in bad_images(whole)} & {tuple(row[1:]) for row in mono.event_ids.tolist()}


def bad_images(whole: CtaEvents) -> set[int]:
    """The telescopes of event 101 that have a bad pixel."""
    batch = whole.read(np.arange(len(whole)))
    lst = batch["images"].cameras[0]
    return set((lst.telescope[np.isnan(lst.time).any(1)] + 1).tolist())


def test_skipping_images_changes_what_is_enough(bad: str) -> None:
    whole, part = (source(bad, bad_pixels=how, multiplicity=2) for how in ("zero", "skip"))
    assert len(part) < len(whole)


@pytest.mark.parametrize("how", ["error", "zero", "skip"])
def test_of_files_without_image_parameters(tmp_path: Path, altered: Callable[..., Path], how: str) -> None:
    """They are computed of what is left; a pixel without a time is no bad one there."""

    def change(file: h5py.File) -> None:
        values = file["M1/photons"][:]
        values[2, 5] = np.nan
        file["M1/photons"][:] = values

    path = str(altered(layouts.magic(tmp_path / "m.h5"), change))
    options = {"classes": ["observed"], "bad_pixels": how, "cuts": "hillas_intensity >= 0 or hillas_intensity < 0"}
    if how == "error":
        with pytest.raises(DataError, match=r"telescope 1, event 6 .*: the charge of a pixel"):
            source(path, **options)
        return
    ids = source(path, **options).event_ids[:, 1].tolist()
    images = source(path, classes=["observed"], bad_pixels=how)
    batch = images.read(np.arange(len(images)))
    assert np.isfinite(batch["images"].cameras[0].charge).all()
    assert len(batch["images"].cameras[0]) == (5 if how == "zero" else 4)
    assert 6 in ids or how == "skip"
