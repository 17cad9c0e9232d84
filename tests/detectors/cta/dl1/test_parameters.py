"""Cuts on image parameters are in one unit, whatever a file has them in."""

from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest

from airshower.detectors.cta.dl1.file import Dl1File
from airshower.detectors.cta.source import CtaConfig, CtaEvents
from tests.detectors.cta.small_dl1 import rewrite

PARAMETERS = "/dl1/event/telescope/parameters"
FOCAL_LENGTH = {1: 29.3, 2: 29.3, 5: 16.0}  # m, of `write_dl1`'s telescopes
DEGREES = 0.3  # r of the first image of a telescope, half of that the others

Altered = Callable[..., Path]


def with_column(
    name: str, unit: str | None, values: Callable[[int, np.ndarray], np.ndarray]
) -> Callable[[h5py.File], None]:
    """Adds a parameter: `values` of a telescope's focal length and degrees."""

    def change(file: h5py.File) -> None:
        for table in file[PARAMETERS]:
            tel_id = int(table.removeprefix("tel_"))

            def more(rows: np.ndarray, tel_id: int = tel_id) -> np.ndarray:
                degrees = np.where(np.arange(len(rows)) == 0, DEGREES, DEGREES / 2)
                made = np.zeros(len(rows), [*rows.dtype.descr, (name, "f8")])
                for column in rows.dtype.names:
                    made[column] = rows[column]
                made[name] = values(FOCAL_LENGTH[tel_id], degrees)
                return made

            rewrite(file, f"{PARAMETERS}/{table}", more)
            if unit is not None:
                node = file[f"{PARAMETERS}/{table}"]
                node.attrs[f"CTAFIELD_{len(node.dtype.names) - 1}_UNIT"] = unit

    return change


def in_degrees(_: float, degrees: np.ndarray) -> np.ndarray:
    return degrees


def in_metres(focal_length: float, degrees: np.ndarray) -> np.ndarray:
    return np.radians(degrees) * focal_length


SPELLED = {
    "deg": ("hillas_r", "deg", in_degrees),
    "rad": ("hillas_r", "rad", lambda _, degrees: np.radians(degrees)),
    "m": ("hillas_r", "m", in_metres),
    "camera frame": ("camera_frame_hillas_r", "m", in_metres),
    "camera frame, mm": ("camera_frame_hillas_r", "mm", lambda f, d: 1000 * in_metres(f, d)),
    "camera frame without a unit": ("camera_frame_hillas_r", None, in_metres),
    "lstchain": ("r", "m", in_metres),
}


@pytest.mark.parametrize("spelled", SPELLED)
def test_places_in_cameras_are_in_degrees(
    tmp_path: Path, write_dl1: Callable[..., Path], altered: Altered, spelled: str
) -> None:
    """Behind mirrors of different focal lengths a metre is another angle; camera_frame_ asks for metres."""
    file = Dl1File(altered(write_dl1(tmp_path / "a.h5"), with_column(*SPELLED[spelled])))
    first = np.isin(np.arange(len(file.images)), np.unique(file.images.telescope, return_index=True)[1])
    degrees = np.where(first, DEGREES, DEGREES / 2)
    focal_length = file.subarray.focal_length[file.images.telescope]
    for name, expected in (
        ("hillas_r", degrees),
        ("r", degrees),
        ("camera_frame_hillas_r", np.radians(degrees) * focal_length),
    ):
        np.testing.assert_allclose(file.parameters([name])[name], expected, rtol=1e-12)


@pytest.mark.parametrize("spelled", SPELLED)
def test_one_cut_on_files_in_different_units(
    tmp_path: Path, write_dl1: Callable[..., Path], altered: Altered, spelled: str
) -> None:
    whole = write_dl1(tmp_path / "a.h5"), write_dl1(tmp_path / "b.h5", obs_id=8)
    paths = [
        str(altered(whole[0], with_column(*SPELLED["deg"]), "one.h5")),
        str(altered(whole[1], with_column(*SPELLED[spelled]), "other.h5")),
    ]
    for cut in ("hillas_r > 0.2", "camera_frame_hillas_r > 0.06", "r < 0.2"):
        single = [
            CtaEvents(CtaConfig(classes=["gamma"], mode="stereo", cuts=cut), path).cut_flow.left for path in paths
        ]
        assert single[0] == single[1]
        assert 0 < single[0][0] < 12


def test_slopes_are_per_degree(tmp_path: Path, write_dl1: Callable[..., Path], altered: Altered) -> None:
    def per_metre(focal_length: float, degrees: np.ndarray) -> np.ndarray:
        return degrees / (np.radians(1.0) * focal_length)

    path = write_dl1(tmp_path / "a.h5")
    expected = Dl1File(altered(path, with_column("timing_slope", "deg**-1", in_degrees))).parameters(["timing_slope"])
    for number, unit in enumerate(("1 / m", "m-1", "m**-1", "ns / m")):
        other = Dl1File(altered(path, with_column("camera_frame_timing_slope", unit, per_metre), f"{number}.h5"))
        np.testing.assert_allclose(other.parameters(["timing_slope"])["timing_slope"], expected["timing_slope"])


def test_what_is_no_place_in_a_camera_keeps_its_metres(
    tmp_path: Path, write_dl1: Callable[..., Path], altered: Altered
) -> None:
    path = write_dl1(tmp_path / "a.h5")
    for number, (name, unit) in enumerate((("mc_core_x", "m"), ("impact_distance", "m"), ("hillas_kurtosis", None))):
        file = Dl1File(altered(path, with_column(name, unit, in_degrees), f"{number}.h5"))
        assert set(file.parameters([name])[name]) == {DEGREES, DEGREES / 2}


def test_angles_are_angles_in_either_frame(tmp_path: Path, write_dl1: Callable[..., Path], altered: Altered) -> None:
    path = write_dl1(tmp_path / "a.h5")
    file = Dl1File(altered(path, with_column("camera_frame_hillas_psi", "deg", in_degrees)))
    for name in ("hillas_psi", "camera_frame_hillas_psi"):
        assert set(file.parameters([name])[name]) == {DEGREES, DEGREES / 2}


def test_the_sample_is_as_ctapipe_has_it(sample: Callable[[str], Path]) -> None:
    """Degrees are not turned into radians and back."""
    path = sample("gamma_prod6_south_lst.dl1.h5")
    file = Dl1File(path)
    with h5py.File(path) as stored:
        values = np.concatenate([stored[f"{PARAMETERS}/tel_{t:03d}"]["hillas_length"] for t in range(1, 5)])
    np.testing.assert_array_equal(file.parameters(["hillas_length"])["hillas_length"], values)
