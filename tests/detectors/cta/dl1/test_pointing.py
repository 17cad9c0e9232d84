"""Where telescopes point to, in files of several observations."""

from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest

from airshower.detectors.cta.dl1.file import Dl1File
from airshower.errors import DataError
from tests.detectors.cta.small_dl1 import rewrite

TRIGGER = "/dl1/event/subarray/trigger"
MONITORED = "/dl0/monitoring/telescope/pointing"
DAY = 60000.0  # MJD of event 0; event i is i days later

Altered = Callable[..., Path]


def two_runs(
    monitored: list[tuple[float, float]], owners: list[int] | None = None, times: list[float] | None = None
) -> Callable[[h5py.File], None]:
    """Events 0 to 2 are of observation 7, events 3 to 5 of 8; `monitored` are days and altitudes in rad."""

    def change(file: h5py.File) -> None:
        def visit(name: str, node: h5py.HLObject) -> None:
            names.append(name) if isinstance(node, h5py.Dataset) and "event_id" in (node.dtype.names or ()) else None

        names: list[str] = []
        file.visititems(visit)
        for name in names:
            rewrite(file, name, second)
        kinds = [("time", "f8"), ("altitude", "f8"), ("azimuth", "f8")]
        rows = [(DAY + day, alt, 1.0) for day, alt in monitored]
        if owners:
            kinds.append(("obs_id", "i4"))
            rows = [(*row, owner) for row, owner in zip(rows, owners, strict=True)]
        for tel_id in (1, 2, 5):
            rewrite(file, f"{MONITORED}/tel_{tel_id:03d}", lambda _: np.array(rows, kinds))
            node = file[f"{MONITORED}/tel_{tel_id:03d}"]
            for name in [name for name in node.attrs if name.startswith("CTAFIELD")]:
                del node.attrs[name]
        if times:
            rewrite(file, TRIGGER, at_times)

    def second(rows: np.ndarray) -> np.ndarray:
        rows["obs_id"] = np.where(2 * (rows["event_id"] // 100) + rows["event_id"] % 100 >= 3, 8, 7)
        return rows

    def at_times(rows: np.ndarray) -> np.ndarray:
        rows["time"] = DAY + np.array(times)
        return rows

    return change


def altitudes(path: Path) -> dict[int, float]:
    """By event; all telescopes have the same."""
    file = Dl1File(path)
    event = 2 * (file.events.event_id // 100) + file.events.event_id % 100
    return dict(zip(event[file.images.event].tolist(), file.pointing[:, 0].tolist(), strict=True))


# observation 7 ends at day 2, observation 8 begins at day 3
ENDS = [(0.0, 1.0), (1.9, 1.19), (3.1, 0.5), (5.0, 0.7)]
NEAR = {0: 1.0, 1: 1.1, 2: 1.19, 3: 0.5, 4: 0.5 + 0.2 * 0.9 / 1.9, 5: 0.7}


@pytest.mark.parametrize("order", [[0, 1, 2, 3], [2, 3, 0, 1], [3, 1, 0, 2]], ids=str)
@pytest.mark.parametrize("says", [True, False], ids=["obs_id", "time"])
def test_no_direction_is_between_those_of_two_observations(
    tmp_path: Path, write_dl1: Callable[..., Path], altered: Altered, order: list[int], says: bool
) -> None:
    owners = [[7, 7, 8, 8][row] for row in order] if says else None
    path = altered(write_dl1(tmp_path / "a.h5", "observed"), two_runs([ENDS[row] for row in order], owners))
    assert altitudes(path) == pytest.approx(NEAR, abs=1e-6)


def test_a_longer_gap_parts_directions_between_observations(
    tmp_path: Path, write_dl1: Callable[..., Path], altered: Altered
) -> None:
    """At days 2.05 and 2.15 the telescope is still on the first source."""
    monitored = [(0.0, 1.0), (1.95, 1.0), (2.05, 1.0), (2.15, 1.0), (2.9, 0.5), (5.0, 0.5)]
    path = altered(write_dl1(tmp_path / "a.h5", "observed"), two_runs(monitored))
    assert altitudes(path) == pytest.approx({0: 1.0, 1: 1.0, 2: 1.0, 3: 0.5, 4: 0.5, 5: 0.5})


def test_observations_at_the_same_time(tmp_path: Path, write_dl1: Callable[..., Path], altered: Altered) -> None:
    """As simulations have it, whose clocks start anew."""
    path, times = write_dl1(tmp_path / "a.h5", "observed"), [0.0, 1.0, 2.0, 0.0, 1.0, 2.0]
    monitored = [(0.0, 1.0), (2.0, 1.2), (0.0, 0.5), (2.0, 0.7)]
    said = altered(path, two_runs(monitored, [7, 7, 8, 8], times), "said.h5")
    assert altitudes(said) == pytest.approx({0: 1.0, 1: 1.1, 2: 1.2, 3: 0.5, 4: 0.6, 5: 0.7}, abs=1e-6)
    file = Dl1File(altered(path, two_runs(monitored, None, times), "unsaid.h5"))
    with pytest.raises(DataError, match=r"unsaid\.h5: .*tel_001: does not say of which observation .* 7 and 8 overlap"):
        _ = file.pointing
    fixed = altered(path, two_runs([(day, 1.0) for day, _ in monitored], None, times), "fixed.h5")
    assert set(altitudes(fixed).values()) == {1.0}


def test_two_directions_at_one_time(tmp_path: Path, write_dl1: Callable[..., Path], altered: Altered) -> None:
    path = write_dl1(tmp_path / "a.h5", "observed")
    file = Dl1File(altered(path, two_runs([*ENDS, (5.0, 0.9)])))
    with pytest.raises(DataError, match=r"tel_001: has two directions at one time in observation 8"):
        _ = file.pointing
    same = altered(path, two_runs([*ENDS, ENDS[-1]]), "same.h5")
    assert altitudes(same) == pytest.approx(NEAR, abs=1e-6)


def test_an_observation_without_directions(tmp_path: Path, write_dl1: Callable[..., Path], altered: Altered) -> None:
    path = altered(write_dl1(tmp_path / "a.h5", "observed"), two_runs(ENDS, [7, 7, 7, 7]))
    found = altitudes(path)
    assert np.isfinite([found[event] for event in (0, 1, 2)]).all()
    assert np.isnan([found[event] for event in (3, 4, 5)]).all()


def test_fixed_pointings_are_joined_by_observation(
    tmp_path: Path, write_dl1: Callable[..., Path], altered: Altered
) -> None:
    """In another order, and not of another telescope."""
    fixed = "/configuration/telescope/pointing/tel_001"

    def change(file: h5py.File) -> None:
        rewrite(file, fixed, lambda rows: np.concatenate([other(rows), rows]))

    def other(rows: np.ndarray) -> np.ndarray:
        rows = rows.copy()
        rows["obs_id"], rows["telescope_pointing_altitude"] = 6, 10.0
        return rows

    def of_another(file: h5py.File) -> None:
        attributes = dict(file[fixed].attrs)
        rows = file[fixed][:]
        made = np.zeros(len(rows), [*rows.dtype.descr, ("tel_id", "i2")])
        for name in rows.dtype.names:
            made[name] = rows[name]
        made["tel_id"] = 2
        del file[fixed]
        file[fixed] = made
        file[fixed].attrs.update(attributes)

    path = write_dl1(tmp_path / "a.h5")
    assert Dl1File(altered(path, change)).pointing[:, 0] == pytest.approx(np.radians(70.0))
    file = Dl1File(altered(path, of_another, "other.h5"))
    with pytest.raises(DataError, match=r"pointing/tel_001: has a row of another telescope"):
        _ = file.pointing
