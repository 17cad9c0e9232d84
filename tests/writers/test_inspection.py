"""The record of an inspection, its remarks, figures and page, on a few events by hand."""

import html.parser
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from airshower.data.channels import Channel
from airshower.data.quantity import Quantity
from airshower.data.source import Contents
from airshower.data.spec import Spec, TableSpec
from airshower.data.truth import CLASS, DIRECTION, NUMBER, POSITION, Column
from airshower.writers.figures import pyplot, save
from airshower.writers.inspection import console
from airshower.writers.inspection.figures import channel_figures, truth_figures
from airshower.writers.inspection.page import page
from airshower.writers.inspection.record import report
from airshower.writers.inspection.tally import Tally
from airshower.writers.inspection.truth import truth_record

COLUMNS = (
    Column("kind", CLASS, classes=("gamma", "proton", "iron")),
    Column("energy", NUMBER, "TeV"),
    Column("direction", DIRECTION, "rad", parts=("alt", "az")),
    Column("vertex", POSITION, "pixel"),
)
TRUTH = {
    "kind": np.array([0] * 12 + [1, -1]),
    "energy": np.array([*np.geomspace(0.1, 100, 13), np.nan]),
    "direction": np.tile([np.pi / 3, np.pi], (14, 1)),
    "vertex": np.full((14, 2, 2), np.nan),
}
SPEC = Spec({"t": TableSpec((Quantity("size", "p.e.", 0.0, 1.0),))}, COLUMNS, frozenset(TRUTH), ("run", "event"))
IDS = np.stack([np.ones(14, int), [*range(13), 0], np.zeros(14, int)], 1)
SPLITS = {"train": np.arange(10), "validation": np.zeros(0, int), "test": np.arange(8, 14)}
EVIL = "<b>$x_&"


def channel(values: Sequence[float], event: Sequence[int], **more: Any) -> Channel:
    return Channel("t", EVIL, "p.e.", np.asarray(values, float), np.asarray(event, int), **more)


def tally(*batches: tuple[Sequence[float], Sequence[int], Sequence[int]], **more: Any) -> Tally:
    """Of batches of values, rows of their events, and places of the events."""
    made = Tally(channel(*batches[0][:2], **more))
    for values, event, places in batches:
        made.add(channel(values, event, **more), np.asarray(places))
    return made


def made(*tallies: Tally, removed: dict[str, int] | None = None) -> dict[str, Any]:
    contents = [Contents((Path(f"{EVIL}.h5"),), 14 + sum((removed or {}).values()), removed or {})]
    return report(SPEC, contents, [IDS], SPLITS, TRUTH, tallies)


def test_a_channel_of_many_values_by_hand() -> None:
    record = tally(([3.0, np.nan, -1.0, 0.0, 8.0], [0, 0, 0, 2, 2], [5, 6, 7])).record()
    assert {name: record[name] for name in ("unit", "values", "events", "not_finite", "zeros", "empty")} == {
        "unit": "p.e.", "values": 4, "events": 2, "not_finite": 1, "zeros": 1, "empty": 0,
    }  # fmt: skip
    assert (record["min"], record["max"], record["mean"]) == (-1, 8, 2.5)
    assert record["quantiles"]["q01"] == pytest.approx(-1, abs=0.01)
    assert record["quantiles"]["q99"] == pytest.approx(8, abs=0.05)


def test_quantiles_are_exact_where_an_event_has_one_value() -> None:
    values = np.random.default_rng(1).normal(size=101)
    record = tally((values, np.arange(101), np.arange(101))).record()
    assert record["quantiles"]["q16"] == np.quantile(values, 0.16)
    assert record["mean"] == values.mean()


def test_batches_and_ranks_change_nothing() -> None:
    generator = np.random.default_rng(2)
    event = np.sort(generator.integers(0, 40, 999))
    values = generator.lognormal(size=999)
    whole = tally((values, event, np.arange(40)))
    parts = [tally(([], [], []), *_cut(values, event, rows)) for rows in np.split(generator.permutation(40), [3, 17])]
    parts[0].joined(parts[2])
    parts[0].joined(parts[1])
    assert parts[0].record() == whole.record()


def _cut(values: np.ndarray, event: np.ndarray, rows: np.ndarray) -> list[tuple]:
    """A batch of each half of the events in these rows."""
    batches = []
    for half in np.array_split(rows, 2):
        place = np.concatenate([np.flatnonzero(event == row) for row in half])
        row = np.repeat(np.arange(len(half)), [np.sum(event == row) for row in half])
        batches.append((values[place], row, half))
    return batches


def test_a_channel_without_values_has_no_range() -> None:
    record = tally(([], [], [0, 1])).record()
    assert record["values"] == 0
    assert record["min"] is None
    assert set(record["quantiles"].values()) == {None}


def test_classes_of_a_channel_are_counted() -> None:
    record = tally(([0, 1, 1, 1], [0, 0, 1, 1], [0, 1]), names=("a", "b", "c")).record()
    assert record["classes"] == {"a": 1, "b": 3, "c": 0}


def test_truth_by_kind_and_part() -> None:
    kind, energy, direction, vertex = (truth_record(column, TRUTH[column.name]) for column in COLUMNS)
    assert kind == {"kind": "class", "missing": 1, "classes": {"gamma": 12, "proton": 1, "iron": 0}}
    assert energy["missing"] == 1
    assert energy["parts"]["energy"]["unit"] == "TeV"
    assert energy["parts"]["energy"]["quantiles"]["q50"] == pytest.approx(10**0.5)
    assert direction["parts"]["azimuth"]["max"] == 180
    assert direction["parts"]["altitude"]["unit"] == "deg"
    assert list(vertex["parts"]) == ["row, plane 0", "column, plane 0", "row, plane 1", "column, plane 1"]
    assert vertex["missing"] == 14
    assert vertex["parts"]["row, plane 0"]["min"] is None


def test_entries_ids_and_splits_are_counted() -> None:
    record = made(tally(([1.0], [0], [0])), removed={"size > 3": 6})
    assert record["entries"] == {
        "in_files": 20, "unit": "events", "removed": {"size > 3": 6}, "distinct": 14, "read": 1,
        "splits": {
            "train": {"entries": 10, "also_in_train": 0},
            "validation": {"entries": 0, "also_in_train": 0},
            "test": {"entries": 6, "also_in_train": 2},
        },
    }  # fmt: skip
    assert record["ids"]["duplicates"] == 1
    assert record["ids"]["columns"] == {
        "run": {"min": 1, "max": 1, "distinct": 1}, "event": {"min": 0, "max": 12, "distinct": 13},
    }  # fmt: skip


def test_what_is_suspicious_is_said() -> None:
    flat = tally(([2.0, 2.0, np.inf], [0, 1, 2], [0, 1, 2]))
    record = made(flat, removed={"size > 3": 86})
    assert record["remarks"] == [
        "cuts leave 14 of 100 events (size > 3: 86)",
        "nothing is held out for validation: name files for it, or give data.validation_fraction",
        "2 of 6 entries to test on are also trained on",
        "1 entries repeat the id (run, event) of one before",
        "truth kind: 1 of 14 entries of no class (7.1 %)",
        "truth kind: none of iron",
        "truth kind: few of proton 1, against 12 of the most frequent",
        "truth energy: 1 of 14 entries without a value (7.1 %)",
        "truth direction, altitude: all values are 60 deg",
        "truth direction, azimuth: all values are 180 deg",
        "truth vertex: no entry has a value",
        f"t: {EVIL}: 1 values are not finite",
        f"t: {EVIL}: all values are 2 p.e.",
    ]
    empty = report(
        Spec(SPEC.inputs), [Contents((), 14, {})], [IDS], SPLITS, {}, [tally(([0, 3], [0, 1], [0, 1]), count=True)]
    )
    assert "the files have no truth: they can be predicted, not trained on" in empty["remarks"]
    assert f"t: {EVIL}: none in 1 of 2 events" in empty["remarks"]


def test_figures_are_drawn_of_anything(tmp_path: Path) -> None:
    """Of no values, of one, of zeros, of both signs, of decades."""
    generator = np.random.default_rng(3)
    many = (generator.normal(size=300), np.arange(300) % 3, np.arange(3))
    tallies = [
        tally(([], [], [0])), tally(([1.0], [0], [0])), tally(([0.0, 0.0], [0, 1], [0, 1]), log=True), tally(many),
        tally(many, log=True), tally(([0, 1e-3, 1e5], [0, 1, 2], [0, 1, 2]), count=True),
        tally((generator.integers(0, 3, 50), np.zeros(50, int), [0]), names=("a", "b", "c")),
        tally(([], [], [0, 1]), log=True),
    ]  # fmt: skip
    drawn = [name for each in tallies for _, name, _ in channel_figures([each])]
    assert len(drawn) == len(tallies)
    core = Column("core", POSITION, "m", parts=("core_x", "core_y"))
    truth = TRUTH | {"core": generator.normal(size=(14, 2))}
    figures = [draw for each in tallies for *_, draw in channel_figures([each])]
    figures += [draw for *_, draw in truth_figures((*COLUMNS, core), truth, SPLITS)]
    assert len(figures) == len(tallies) + 6
    others = pyplot().get_fignums()
    for draw in figures:
        assert save(draw(), tmp_path / "figure.png").stat().st_size > 3000
    assert pyplot().get_fignums() == others


def test_more_cameras_than_colours_are_all_drawn() -> None:
    values = np.arange(1.0, 4.0)
    cameras = [tally((values, [0, 0, 0], [0]), log=True) for _ in range(8)]
    for number, camera in enumerate(cameras):
        camera.name = f"charge, camera {number}"
    ((_, _, draw),) = channel_figures(cameras)
    axis = draw().axes[0]
    assert [int(patch.get_data().values.sum()) for patch in axis.patches] == [3] * 8
    assert axis.get_legend().get_texts()[7].get_text() == "camera 7 (3)"
    pyplot().close("all")


def test_histograms_have_every_value() -> None:
    (_, _, draw), *_ = truth_figures(COLUMNS[1:2], TRUTH, SPLITS)
    figure = draw()
    axis = figure.axes[0]
    assert axis.get_xscale() == "log"
    assert axis.get_xlabel() == "energy (TeV)"
    assert sum(int(patch.get_data().values.sum()) for patch in axis.patches) == 13
    (_, _, draw), *_ = truth_figures(COLUMNS[:1], TRUTH, SPLITS)
    heights = [int(patch.get_height()) for patch in draw().axes[0].patches]
    assert heights == [10, 0, 0, 0, 0, 0, 0, 0, 4, 1, 0, 1], "gamma, proton, iron, no class in each split"
    pyplot().close("all")


class Page(html.parser.HTMLParser):
    """The text, the attributes and the tags of a page."""

    def __init__(self, text: str):
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.texts: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        """Called by the parser."""
        self.tags.append(tag)
        self.attributes += attributes

    def handle_data(self, data: str) -> None:
        """Called by the parser."""
        self.texts.append(data.strip())


def test_the_page_has_all_inside_and_nothing_of_files_is_markup(tmp_path: Path) -> None:
    record = made(tally(([2.0, 5.0], [0, 1], [0, 1])))
    figure = next(draw for *_, draw in truth_figures(COLUMNS[1:2], TRUTH, SPLITS))()
    png = save(figure, tmp_path / "event.png")
    text = page(EVIL, record, [("truth", "energy", "<svg></svg>")], [(f"entry {EVIL}", png)], {"host": EVIL})
    read = Page(text)
    assert "b" not in read.tags
    assert {EVIL, f"t: {EVIL}", f"{EVIL}.h5", "energy", "direction: altitude", "proton", *record["remarks"]} <= set(
        read.texts
    )
    addresses = [value for name, value in read.attributes if name in ("src", "href", "srcset")]
    assert len(addresses) == 1
    assert (addresses[0] or "").startswith("data:image/png;base64,")
    assert read.tags.count("svg") == 1
    assert any("t: table, 1 quantities." in part for part in read.texts)
    assert ("class", "sortable") in read.attributes


def test_the_console_has_a_line_for_each_quantity() -> None:
    record = made(tally(([2.0, 5.0], [0, 1], [0, 1])))
    lines = console.lines(record)
    assert lines[0] == "14 events in 1 file"
    assert "true kind: 12 gamma, 1 proton, 0 iron" in lines
    energy = next(line for line in lines if line.startswith("  energy"))
    assert energy.split() == ["energy", "TeV", "0.1", "0.1467", "3.162", "73.74", "100"]
    assert sum(line.startswith("! ") for line in lines) == len(record["remarks"])
