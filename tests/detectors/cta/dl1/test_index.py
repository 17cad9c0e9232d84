"""Tables of DL1 files are joined on whole keys: order never matters, and what contradicts is named."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from airshower.detectors.cta.dl1.file import Dl1File
from airshower.detectors.cta.source import CtaConfig, CtaEvents
from airshower.errors import DataError
from tests.detectors.cta.small_dl1 import charge, rewrite, seen

TELESCOPES = "/dl1/event/telescope/"
IMAGES, PARAMETERS = TELESCOPES + "images", TELESCOPES + "parameters"
TRIGGER, TELESCOPE_TRIGGER, SHOWER = (
    "/dl1/event/subarray/trigger",
    TELESCOPES + "trigger",
    "/simulation/event/subarray/shower",
)
POINTING, LAYOUT = "/configuration/telescope/pointing", "/configuration/instrument/subarray/layout"
IMAGE, PARAMETER = IMAGES + "/tel_001", PARAMETERS + "/tel_001"
LOST_LINK = "is damaged, or a link to what is not there"
Change = Callable[[h5py.File], Any]


def shuffled(rows: np.ndarray) -> np.ndarray:
    return np.random.default_rng(len(rows)).permutation(rows)


def every_table(file: h5py.File, *groups: str) -> list[str]:
    found = []
    for group in groups:
        is_table = isinstance(file[group], h5py.Dataset)
        found += [group] if is_table else [f"{group}/{name}" for name in file[group]]
    return found


def in_order(*groups: str, change: Callable[[np.ndarray], np.ndarray] = shuffled) -> Change:
    """Rows of these tables in another order."""
    return lambda file: [rewrite(file, table, change) for table in every_table(file, *groups)]


def with_telescope_triggers(file: h5py.File) -> None:
    """The table of telescopes' triggers, as ctapipe writes it."""
    rows = [
        (row["obs_id"], row["event_id"], tel_id)
        for row in file[TRIGGER][:]
        for tel_id, triggered in zip((1, 2, 5), row["tels_with_trigger"], strict=True)
        if triggered
    ]
    file[TELESCOPE_TRIGGER] = np.array(rows, [("obs_id", "i4"), ("event_id", "i8"), ("tel_id", "i2")])


def check_values(file: Dl1File) -> None:
    """Each image is its telescope's of its event, with its own parameters, truth and trigger."""
    intensity = file.parameters(["hillas_intensity"])["hillas_intensity"]
    found = []
    for image in range(len(file.images)):
        row, tel_id = file.images.event[image], int(file.subarray.ids[file.images.telescope[image]])
        event = int(2 * (file.events.event_id[row] // 100) + file.events.event_id[row] % 100)
        expected = charge(event, tel_id, 4 if tel_id == 5 else 7)
        np.testing.assert_array_equal(file.read([image])[0][0], expected)
        assert intensity[image] == pytest.approx(expected.sum())
        assert file.truth["core_x"][row] == event
        found.append((event, tel_id))
    assert sorted(found) == [(i, t) for i in range(6) for t in (1, 2, 5) if seen(i, t)]


@pytest.mark.parametrize("layout", ["ctapipe", "type"])
@pytest.mark.parametrize(
    "groups",
    [(IMAGES,), (PARAMETERS,), (TRIGGER,), (SHOWER,), (IMAGES, PARAMETERS, TRIGGER, SHOWER, TELESCOPE_TRIGGER)],
    ids=str,
)
def test_the_order_of_rows_does_not_matter(
    tmp_path: Path, write_dl1: Callable[..., Path], altered: Callable[..., Path], layout: str, groups: tuple[str, ...]
) -> None:
    def change(file: h5py.File) -> None:
        with_telescope_triggers(file)
        in_order(*groups)(file)
        in_order(*groups, change=lambda rows: rows[::-1])(file)

    check_values(Dl1File(altered(write_dl1(tmp_path / "a.h5", layout), change)))


def test_parameters_by_type_of_images_by_telescope(
    tmp_path: Path, write_dl1: Callable[..., Path], altered: Callable[..., Path]
) -> None:
    """And the other way round."""
    by_type, by_telescope = (write_dl1(tmp_path / f"{layout}.h5", layout) for layout in ("type", "ctapipe"))

    def from_other(other: Path) -> Change:
        def change(file: h5py.File) -> None:
            del file[PARAMETERS]
            with h5py.File(other) as source:
                source.copy(PARAMETERS, file[TELESCOPES])

        return change

    check_values(Dl1File(altered(by_telescope, from_other(by_type))))
    check_values(Dl1File(altered(by_type, from_other(by_telescope), "other.h5")))


def test_triggers_as_lists_of_ids(tmp_path: Path, write_dl1: Callable[..., Path], altered: Callable[..., Path]) -> None:
    def listed(last: int) -> Change:
        def change(rows: np.ndarray) -> np.ndarray:
            kinds = [
                (n, ("i2" if n == "tels_with_trigger" else rows.dtype[n].base), rows.dtype[n].shape)
                for n in rows.dtype.names
            ]
            made = np.zeros(len(rows), kinds)
            for name in rows.dtype.names:
                made[name] = rows[name]
            made["tels_with_trigger"] = np.where(rows["tels_with_trigger"], [1, 2, last], -1)
            return made

        return lambda file: rewrite(file, TRIGGER, change)

    path = write_dl1(tmp_path / "a.h5")
    check_values(Dl1File(altered(path, listed(5))))
    with pytest.raises(DataError, match="trigger: telescope 40 is not in the subarray's layout"):
        Dl1File(altered(path, listed(40), "other.h5"))


def test_batches_of_images_in_another_order(
    tmp_path: Path, write_dl1: Callable[..., Path], altered: Callable[..., Path]
) -> None:
    """The order is found when the first image is read, whichever it is; later reads and digests are the same."""
    path = altered(write_dl1(tmp_path / "a.h5", "type", events=60), in_order(IMAGES))
    file, other = Dl1File(path), Dl1File(path)
    rows = np.flatnonzero(file.subarray.camera[file.images.telescope] == 0)
    one = file.read(rows)[0]
    some = np.random.default_rng(0).permutation(len(rows))[:9]
    np.testing.assert_array_equal(other.read(rows[some])[0], one[some])
    np.testing.assert_array_equal(other.read(rows)[0], one)


def read_all(path: Path) -> None:
    source = CtaEvents(CtaConfig(classes=["gamma"], mode="stereo"), str(path))
    source.read(np.arange(len(source)))


def twice(table: str, row: int = 0) -> Change:
    return lambda file: rewrite(file, table, lambda rows: np.concatenate([rows, rows[row : row + 1]]))


def lost(table: str, row: int = 0) -> Change:
    return lambda file: rewrite(file, table, lambda rows: np.delete(rows, row))


def put(table: str, column: str, row: int, value: Any) -> Change:
    def change(rows: np.ndarray) -> np.ndarray:
        rows[column][row] = value
        return rows

    return lambda file: rewrite(file, table, change)


def both(*changes: Change) -> Change:
    return lambda file: [change(file) for change in changes]


def instead(table: str, link: Any) -> Change:
    def change(file: h5py.File) -> None:
        del file[table]
        if link is None:
            file.create_group(table)
        else:
            file[table] = link

    return change


def without(table: str) -> Change:
    return lambda file: file.__delitem__(table)


def text(table: str, column: str) -> Change:
    def change(rows: np.ndarray) -> np.ndarray:
        kinds = [(name, "S8" if name == column else rows.dtype[name]) for name in rows.dtype.names]
        made = np.zeros(len(rows), kinds)
        for name in rows.dtype.names:
            made[name] = rows[name] if name != column else b"text"
        return made

    return lambda file: rewrite(file, table, change)


# telescope 1 sees events 0, 1, 101 and 200; 2 and 5 see 0, 100, 101 and 201
ONE = r"telescope 1, event 0 of observation 7"
FAULTS: dict[str, tuple[Change, str]] = {
    "image twice": (twice(IMAGE), rf"{ONE} is in .*images twice"),
    "image and parameters twice": (both(twice(IMAGE), twice(PARAMETER)), rf"{ONE} is in .*images twice"),
    "parameters twice": (twice(PARAMETER), rf"{ONE} is in .*parameters twice"),
    "event twice": (twice(TRIGGER), r"event 0 of observation 7 is in .*trigger twice"),
    "shower twice": (twice(SHOWER, 5), r"event 0 of observation 7 is in .*shower twice"),
    "run twice": (twice("/configuration/simulation/run"), "run 7 is in .*run twice"),
    "pointing twice": (twice(POINTING + "/tel_001"), r"observation 7 is in .*pointing/tel_001 twice"),
    "telescope twice": (twice(LAYOUT), "telescope 1 is in .*layout twice"),
    "trigger of a telescope twice": (
        both(with_telescope_triggers, twice(TELESCOPE_TRIGGER)),
        rf"{ONE} is in .*telescope/trigger twice",
    ),
    "image lost": (lost(IMAGE), rf"{ONE} has image parameters but no image|{ONE} triggered, .* but has no image"),
    "image and parameters lost": (
        both(lost(IMAGE), lost(PARAMETER)),
        rf"{ONE} triggered, says .*trigger, but has no image",
    ),
    "event lost": (lost(TRIGGER), r"event 0 of observation 7 is not in .*trigger"),
    "showers lost": (without(SHOWER), "has simulated runs but not what was simulated, .*shower"),
    "shower lost": (lost(SHOWER, 5), r"event 0 of observation 7 is not in .*shower"),
    "trigger of a telescope lost": (
        both(with_telescope_triggers, lost(TELESCOPE_TRIGGER)),
        rf"{ONE} triggered, .* no row in .*telescope/trigger",
    ),
    "table lost": (both(without(IMAGE), without(PARAMETER)), rf"{ONE} triggered, .* no image"),
    "image table lost": (without(IMAGE), rf"{ONE} triggered, .* no image|{ONE} has image parameters"),
    "another telescope's image": (
        both(*(put(f"{group}/tel_001", "tel_id", 0, 2) for group in (IMAGES, PARAMETERS))),
        r"tel_001: has a row of telescope 2, event 0",
    ),
    "another event's image": (
        both(*(put(f"{group}/tel_001", "event_id", 0, 1) for group in (IMAGES, PARAMETERS))),
        r"telescope 1, event 1 of observation 7 is in .*images twice",
    ),
    "image without trigger": (
        put(TRIGGER, "tels_with_trigger", 0, [False, True, True]),
        rf"{ONE} did not trigger, .* but has image",
    ),
    "trigger without image": (
        put(TRIGGER, "tels_with_trigger", 1, [True, True, True]),
        r"telescope \d, event \d+ .* triggered, .* no image",
    ),
    "trigger of a telescope that did not": (
        both(
            with_telescope_triggers,
            put(TRIGGER, "tels_with_trigger", 0, False),
            put(TRIGGER, "tels_with_trigger", 1, True),
        ),
        r"telescope \d, event \d+ .*trigger, but has no image",
    ),
    "another telescope's pointing": (put(POINTING + "/tel_001", "obs_id", 0, 8), None),
    "dangling image table": (instead(IMAGE, h5py.SoftLink("/nothing")), r"images/tel_001 " + LOST_LINK),
    "image table in a lost file": (instead(IMAGE, h5py.ExternalLink("no.h5", "/a")), r"images/tel_001 " + LOST_LINK),
    "dangling trigger": (instead(TRIGGER, h5py.SoftLink("/nothing")), r"trigger " + LOST_LINK),
    "dangling showers": (instead(SHOWER, h5py.SoftLink("/nothing")), r"shower " + LOST_LINK),
    "dangling parameters": (instead(PARAMETER, h5py.SoftLink("/nothing")), r"tel_001 " + LOST_LINK),
    "group of images": (instead(IMAGE, None), r"images/tel_001 is a group, a table is due"),
    "group of parameters": (instead(PARAMETER, None), r"parameters/tel_001 is a group, a table is due"),
    "group of triggers": (instead(TRIGGER, None), r"trigger is a group, a table is due"),
    "group of showers": (instead(SHOWER, None), r"shower is a group, a table is due"),
    "group of a layout": (instead(LAYOUT, None), r"layout is a group, a table is due"),
    "array of images": (instead(IMAGE, np.zeros(3)), r"tel_001 is an array, a table with columns is due"),
    "table of tables": (instead(IMAGES, np.zeros(3)), r"images is a table, a group of tables is due"),
    "text for an event": (text(IMAGE, "event_id"), None),
    "text for an event of parameters": (
        text(PARAMETER, "event_id"),
        r"tel_001: event_id is .*S8.*, whole numbers are due",
    ),
    "text for an energy": (text(SHOWER, "true_energy"), r"shower: true_energy is text, numbers are due"),
    "text for a trigger": (text(TRIGGER, "tels_with_trigger"), r"tels_with_trigger is .*, a mask or ids are due"),
    "text for a position": (text(LAYOUT, "pos_x"), r"pos_x is text, numbers are due"),
    "no tel_id": (
        lambda file: rewrite(file, PARAMETER, lambda rows: rows[["obs_id", "event_id"]].copy()),
        r"tel_001 has no column tel_id",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_what_contradicts_is_refused(
    tmp_path: Path, write_dl1: Callable[..., Path], altered: Callable[..., Path], fault: str
) -> None:
    change, said = FAULTS[fault]
    path = altered(write_dl1(tmp_path / "a.h5"), change)
    with pytest.raises(DataError, match=said) as error:
        read_all(path)
    assert str(error.value).startswith(str(path))
    assert "\n" not in str(error.value)


def test_an_image_that_its_table_lacks_is_named_when_it_is_read(
    tmp_path: Path, write_dl1: Callable[..., Path], altered: Callable[..., Path]
) -> None:
    """Keys are taken from the parameters, which are as many."""
    path = write_dl1(tmp_path / "a.h5")
    for change, said in (
        (
            put(IMAGE, "event_id", 0, 7),
            r"telescope 1, event \d+ .* has image .* is not in .*images/tel_001",
        ),
        (put(IMAGE, "event_id", 1, 101), r"telescope 1, event \d+ .* is in .*images/tel_001 twice"),
        (put(IMAGE, "tel_id", 0, 2), r"telescope 1, event \d+ .* is not in .*images/tel_001"),
    ):
        file = Dl1File(altered(path, change, f"{said.count('d')}{len(said)}.h5"))
        image = int(np.flatnonzero(file.images.telescope == 0)[0])
        with pytest.raises(DataError, match=said):
            file.read([image, image + 1])


@pytest.mark.parametrize("row", [0, 3])
def test_an_image_without_parameters(
    tmp_path: Path, write_dl1: Callable[..., Path], altered: Callable[..., Path], row: int
) -> None:
    """Only its own are missing, in tables of several telescopes, too."""
    file = Dl1File(altered(write_dl1(tmp_path / "a.h5", "type"), lost(PARAMETERS + "/type_LST", row)))
    intensity = file.parameters(["hillas_intensity"])["hillas_intensity"]
    (missing,) = np.flatnonzero(np.isnan(intensity))
    assert missing == np.flatnonzero(file.images.table == 0)[row]
    for image in np.flatnonzero(np.isfinite(intensity)):
        assert intensity[image] == pytest.approx(file.read([image])[0].sum())


def test_a_telescope_without_parameters_is_not_cut_away(
    tmp_path: Path, write_dl1: Callable[..., Path], altered: Callable[..., Path]
) -> None:
    path = altered(write_dl1(tmp_path / "a.h5"), without(PARAMETERS + "/tel_002"))
    config = CtaConfig(classes=["gamma"], mode="stereo", cuts="hillas_intensity > 1")
    with pytest.raises(DataError, match=r"telescope 2, event \d+ .*: the image has no parameters to cut on"):
        CtaEvents(config, str(path))
    assert len(CtaEvents(CtaConfig(classes=["gamma"], mode="stereo"), str(path))) == 6


def test_truth_among_parameters_is_that_of_the_event(
    tmp_path: Path, write_dl1: Callable[..., Path], altered: Callable[..., Path]
) -> None:
    """lstchain's tables of several telescopes, of which one is told another energy."""

    def two_telescopes(energy: float) -> Change:
        def more(rows: np.ndarray) -> np.ndarray:
            other = rows.copy()
            other["tel_id"] = 2
            if "mc_energy" in rows.dtype.names:
                other["mc_energy"][2] = energy
            return np.concatenate([rows, other])

        def change(file: h5py.File) -> None:
            for group in ("image", "parameters"):
                rewrite(file, f"{TELESCOPES}{group}/type_LST", more)
            rewrite(file, LAYOUT, second)

        def second(rows: np.ndarray) -> np.ndarray:
            other = rows.copy()
            other["tel_id"] = 2
            return np.concatenate([rows, other])

        return change

    path = write_dl1(tmp_path / "a.h5", "lstchain")
    whole = Dl1File(path)
    found = Dl1File(altered(path, two_telescopes(whole.truth["energy"][2])))
    np.testing.assert_array_equal(found.truth["energy"], whole.truth["energy"])
    with pytest.raises(DataError, match=r"telescope \d, event \d+ .*: its mc_energy is not that of the event's other"):
        Dl1File(altered(path, two_telescopes(77.0), "other.h5"))


def test_truth_among_parameters_that_an_image_lacks(
    tmp_path: Path, write_dl1: Callable[..., Path], altered: Callable[..., Path]
) -> None:
    path = altered(write_dl1(tmp_path / "a.h5", "lstchain"), lost(PARAMETERS + "/type_LST", 2))
    with pytest.raises(
        DataError, match=r"telescope 1, event 101 .*: the image has no parameters, which have the truth"
    ):
        Dl1File(path)


def test_the_same_file_under_two_names_is_refused(
    tmp_path: Path, write_dl1: Callable[..., Path], altered: Callable[..., Path]
) -> None:
    path = write_dl1(tmp_path / "a.h5")
    copy = altered(path, lambda file: None, "b.h5")
    with pytest.raises(DataError, match=r"b\.h5: has the events and images of .*a\.h5; read one of both"):
        CtaEvents(CtaConfig(classes=["gamma"], mode="stereo"), [str(path), str(copy)])
