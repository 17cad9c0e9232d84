"""Displays of events by the shape of their containers: what is drawn, where, and in which words and units."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from airshower.data.batch import Batch
from airshower.data.containers import Images, SparseImages, Table
from airshower.data.quantity import Quantity
from airshower.data.spec import ImagesSpec, SparseImagesSpec, Spec, TableSpec
from airshower.data.truth import CLASS, DIRECTION, NUMBER, POSITION, Column, Truth
from airshower.writers.event_displays import display_event, draw_event
from airshower.writers.event_text import number_text, truth_text
from airshower.writers.figures import Figure, pyplot, save
from tests.samples import simulated_showers

COLUMNS = (
    Column("kind", CLASS, classes=("gamma", "proton")),
    Column("energy", NUMBER, "TeV"),
    Column("direction", DIRECTION, "rad", parts=("alt", "az")),
    Column("core", POSITION, "m", parts=("core_x", "core_y")),
    Column("vertex", POSITION, "pixel"),
)
TRUTH = {
    "kind": np.array([1, -1]),
    "energy": np.array([0.25, np.nan]),
    "direction": np.array([[np.pi / 3, np.pi], [np.nan, np.nan]]),
    "core": np.array([[12.0, -40.5], [0.0, 3000.0]]),
    "vertex": np.array([[[4.0, 2.0], [np.nan, np.nan]], [[np.nan] * 2] * 2]),
}
WIRES = SparseImagesSpec(2, (16, 8), 0, ("background", "cosmic"), pixel_size=(0.5, 2.0), unit="ADC")


def wire_batch(labelled: bool = True) -> Batch:
    """Two events of two planes: of the second one only plane 1 has pixels, one of them negative."""
    images = SparseImages(
        np.array([3, 15, 0, 5, 5], np.int32),
        np.array([1, 7, 0, 2, 3], np.int32),
        np.array([10.0, 2.0, 5.0, -40.0, 4.0], np.float32),
        np.array([1, 0, 1, 1, 0], np.uint8) if labelled else None,
        np.array([[2, 1], [0, 2]]),
        (16, 8),
    )
    truth = Truth(lambda entries, names: {name: TRUTH[name][entries] for name in names or TRUTH}, np.arange(2))
    return Batch({"images": images}, np.arange(2), np.zeros((2, 3), np.int64), truth)


def title(figure: Figure) -> str:
    """Its lines joined."""
    return " ".join(figure.get_suptitle().split())


@pytest.fixture(autouse=True)
def closed() -> object:
    yield
    pyplot().close("all")


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0 m"), (12345678.0, "1.23e+07 m"), (23400.04, "23,400 m"), (-40.5, "-40.5 m"), (0.012344, "0.01234 m"),
        (2e-5, "2e-05 m"), (np.nan, "– m"), (np.inf, "inf m"),
    ],
)  # fmt: skip
def test_numbers_have_a_unit_and_few_digits(value: float, text: str) -> None:
    assert number_text(value, "m") == text


def test_the_truth_in_words_leaves_out_what_is_not_known() -> None:
    spec = Spec({}, COLUMNS)
    text = "proton, energy 0.25 TeV, direction: altitude 60.00°, azimuth 180.00°, core (12, -40.5) m"
    assert truth_text(spec, TRUTH, 0) == text
    assert truth_text(spec, TRUTH, 1) == "kind of no class, core (0, 3,000) m"
    assert truth_text(spec, {}, 0) == ""


def test_wire_images_are_drawn_in_cm_with_classes_and_vertex() -> None:
    figure = display_event(Spec({"images": WIRES}, COLUMNS), wire_batch(), 0, "entry 7")
    assert figure is not None
    assert title(figure).startswith("entry 7 proton, energy 0.25 TeV")
    charge, _, classes, _, bar = figure.axes
    assert charge.get_xlim() == (0, 16)
    assert charge.get_ylim() == (0, 8)
    assert bar.get_ylabel() == "|charge| of a pixel (ADC)"
    image = charge.images[0].get_array()
    assert np.argwhere(np.isfinite(image.filled(np.nan))).tolist() == [[3, 1], [15, 7]]
    assert image[3, 1] == 10
    assert classes.images[0].get_array()[15, 7] == 0
    assert [text.get_text() for text in classes.get_legend().get_texts()] == ["background: 1", "cosmic: 1"]
    assert charge.lines[0].get_xydata().tolist() == [[2.5 * 2.0, 4.5 * 0.5]]


def test_wire_images_without_labels_or_pixels_are_drawn(tmp_path: Path) -> None:
    batch = wire_batch(labelled=False)
    figure = display_event(Spec({"images": WIRES}, COLUMNS), batch, 1)
    assert figure is not None
    assert len(figure.axes) == 3
    assert figure.axes[1].images[0].get_array()[5, 2] == 40, "the sign is left out"
    images = replace(batch["images"], counts=np.zeros((2, 2), np.int64))
    empty = display_event(Spec({"images": WIRES}), replace(batch, inputs={"images": images}, truth=None), 0)
    assert empty is not None
    assert save(empty, tmp_path / "empty.png").stat().st_size > 1000


def test_pixels_that_share_a_cell_are_drawn_as_the_largest() -> None:
    """A figure has fewer cells than a large image has pixels."""
    images = SparseImages(
        np.array([0, 1, 2], np.int32), np.array([0, 2, 1], np.int32), np.array([3.0, 9.0, 5.0], np.float32), None,
        np.array([[3]]), (1280, 2048),
    )  # fmt: skip
    batch = Batch({"images": images}, np.arange(1), np.zeros((1, 3), np.int64))
    figure = display_event(Spec({"images": SparseImagesSpec(1, (1280, 2048), 0, ("background",))}), batch, 0)
    assert figure is not None
    image = figure.axes[0].images[0].get_array()
    assert image.shape == (256, 410)
    assert image[0, 0] == 9


@pytest.mark.parametrize("on_device", [False, True], ids=["arrays", "tensors"])
def test_telescopes_are_drawn_by_brightness_with_the_true_direction(on_device: bool) -> None:
    selection = simulated_showers()
    batch = selection.source.read(selection.entries[:2])
    figure = display_event(selection.source.spec, batch.to(torch.device("cpu")) if on_device else batch, 1, "shower")
    assert figure is not None
    assert "p.e." in title(figure)
    assert " TeV, direction: altitude " in title(figure)
    drawn = [axis for axis in figure.axes if axis.collections and axis.get_title()]
    images = [(kind, image) for kind in batch["images"].cameras for image in np.flatnonzero(kind.event == 1)]
    assert len(drawn) == len(images)
    charges = [float(axis.collections[0].get_array().sum()) for axis in drawn]
    assert charges == sorted(charges, reverse=True)
    np.testing.assert_allclose(sorted(charges), sorted(kind.charge[image].sum() for kind, image in images), rtol=1e-4)
    assert drawn[0].lines[0].get_label() == "true direction"


def tanks(position: np.ndarray) -> tuple[Spec, Batch]:
    """Two PMTs in an image of two cells; one has a hit of 10 p.e. at 5 ns."""
    channels = (Quantity("charge", "p.e.", 0.0, np.log(1e4), logarithmic=True), Quantity("time", "ns", -100.0, 300.0))
    images = ImagesSpec(channels, position, np.array([[0, 0], [0, 1]]), np.array([[0, 1]]))
    values = np.zeros((1, 2, 1, 2), np.float32)
    values[0, :, 0, 1] = channels[0].scaled(np.array(10.0)), channels[1].scaled(np.array(5.0))
    truth = Truth(lambda entries, names: {"core": np.array([[0.0, 3000.0]])[entries]}, np.arange(1))
    batch = Batch({"images": Images(values)}, np.arange(1), np.zeros((1, 3), np.int64), truth)
    return Spec({"images": images}, COLUMNS), batch


def test_tanks_are_drawn_in_m_with_charge_and_time() -> None:
    spec, batch = tanks(np.array([[0.0, 0.0, 0.0], [100.0, 50.0, 0.0]]))
    figure = display_event(spec, batch, 0)
    assert figure is not None
    assert "core (0, 3,000) m 1 PMTs with a hit" in title(figure)
    charge, time, *bars = figure.axes
    assert [bar.get_ylabel() for bar in bars] == ["charge (p.e.)", "time (ns)"]
    for axis, value in ((charge, 10.0), (time, 5.0)):
        np.testing.assert_allclose(axis.collections[1].get_offsets(), [[100.0, 50.0]])
        np.testing.assert_allclose(axis.collections[1].get_array(), [value], rtol=1e-5)
        assert axis.get_xlim() == pytest.approx((-12.0, 112.0))
    assert figure.legends[0].get_texts()[0].get_text() == "true core, outside of the figure"


def test_tables_are_bars_of_one_unit_or_a_list(tmp_path: Path) -> None:
    quantities = tuple(Quantity(f"signal {n}", "particles", 0.0, 1.0, logarithmic=True, floor=1.0) for n in range(3))
    values = np.stack([quantity.scaled(np.array([5.0 * n])) for n, quantity in enumerate(quantities)], 1)
    batch = Batch({"signals": Table(values)}, np.arange(1), np.zeros((1, 3), np.int64))
    bars = display_event(Spec({"signals": TableSpec(quantities)}), batch, 0)
    assert bars is not None
    np.testing.assert_allclose([patch.get_width() for patch in bars.axes[0].patches], [0, 5, 10], atol=1e-5)
    assert bars.axes[0].get_xlabel() == "particles"
    mixed = (quantities[0], replace(quantities[1], unit="GeV"), Quantity("class", "", 0.5, 0.5, names=("a", "b")))
    scaled = np.array([[np.log(3.0), np.log(4.0), 1.0]], np.float32)
    listed = display_event(Spec({"t": TableSpec(mixed)}), replace(batch, inputs={"t": Table(scaled)}), 0, "$x_")
    assert listed is not None
    texts = [text.get_text() for text in listed.axes[0].texts]
    assert texts == ["signal 0", "2 particles", "signal 1", "3 GeV", "class", "b"]
    assert save(listed, tmp_path / "list.png").stat().st_size > 1000


def test_an_event_without_values_has_no_picture() -> None:
    batch = Batch({"nothing": Table(np.zeros((1, 0), np.float32))}, np.arange(1), np.zeros((1, 3), np.int64))
    assert display_event(Spec({"nothing": TableSpec(())}), batch, 0) is None


def test_long_titles_are_broken_and_predictions_marked() -> None:
    spec, batch = tanks(np.array([[0.0, 0.0, 0.0], [100.0, 50.0, 0.0]]))
    figure = draw_event(spec, batch, 0, "word " * 60, {"predicted": {"core": np.array([10.0, 20.0])}})
    assert figure is not None
    assert max(map(len, figure.get_suptitle().splitlines())) <= 12.5 * figure.get_figwidth()
    assert figure.axes[0].lines[0].get_label() == "predicted core"
