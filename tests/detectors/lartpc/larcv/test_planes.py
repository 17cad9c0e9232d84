"""Planes of wires, labels and clusters are joined by projection id, and lie where their image_meta says."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch

from airshower.data.dense import Densifier
from airshower.data.pixels import FoundPixels
from airshower.data.sites import SitePooler
from airshower.detectors.lartpc.larcv.file import LarcvFile
from airshower.detectors.lartpc.larcv.package import LarcvReader
from airshower.detectors.lartpc.larcv.writer import ImageMeta, LarcvWriter, Voxels
from airshower.detectors.lartpc.source import Lartpc, LartpcConfig, LartpcEvents
from airshower.errors import DataError

WIRES, TICKS = 16, 12
NAMES = {"image_producer": "wire", "label_producer": "label", "particle_producer": "nu", "downsample": 0}
WIRE, LABEL = "Data/sparse2d_wire_group", "Data/sparse2d_label_group"


@dataclass(frozen=True)
class Image:
    """One plane of an event: pixels (wire, tick, value) of an image of `size` whose corner is at `origin`."""

    plane: int
    pixels: Sequence[tuple[int, int, float]]
    size: tuple[int, int] = (WIRES, TICKS)
    origin: tuple[float, float] = (0.0, 0.0)
    pitch: tuple[float, float] = (1.0, 1.0)

    def stored(self) -> tuple[ImageMeta, Voxels]:
        """As the writer takes it."""
        extent = tuple(n * pitch for n, pitch in zip(self.size, self.pitch, strict=True))
        content = sorted((wire * self.size[1] + tick, value) for wire, tick, value in self.pixels)
        ids, values = (np.array(column) for column in zip(*content, strict=True)) if content else (np.empty(0),) * 2
        return ImageMeta(self.size, extent, self.origin, self.plane), Voxels(ids, values)


def write(
    path: Path, wires: list[list[Image]], labels: list[list[Image]], marks: list[list[Image]] | None = None
) -> Path:
    """A file of these planes of each event."""
    with LarcvWriter(path) as writer:
        for entry, (image, label) in enumerate(zip(wires, labels, strict=True)):
            clusters = (
                [(meta, [voxels]) for meta, voxels in (mark.stored() for mark in marks[entry])] if marks else None
            )
            sparse = {"wire": [plane.stored() for plane in image], "label": [plane.stored() for plane in label]}
            writer.append((7, 1, entry), sparse, clusters and {"nu": clusters})
    return path


def images_of(path: Path | str, entries: Sequence[int], **options: object) -> tuple[np.ndarray, np.ndarray]:
    """Charge and class [events, planes, ticks, wires] at full resolution, the same dense and sparse."""
    source = LartpcEvents(LartpcConfig(**NAMES | options, img_transform=False), str(path))
    images = source.read(np.array(entries)).to(torch.device("cpu"))["images"]
    dense, sparse = Densifier(source.spec["images"])(images), SitePooler(source.spec["images"])(images)
    for event in range(len(entries)):
        logits = torch.zeros(len(sparse.input.value), 3)
        charge, label, _ = sparse.event_images(logits, event)
        assert torch.equal(charge, dense.input[event])
        assert torch.equal(label, dense.label[event])
    return dense.input.numpy().copy(), dense.label.numpy().copy()


ORDERS = [((0, 1, 2), (2, 0, 1), (1, 2, 0)), ((2, 1, 0), (0, 2, 1), (0, 1, 2))]  # of wires, labels, marks: by event


def event(entry: int, ids: Sequence[int] = (0, 1, 2)) -> tuple[list[Image], list[Image], list[Image]]:
    """Plane p of event e has a charge of 10 (e + 1) + p at wire p, tick e, of class (p + e) % 3, marked there."""
    wires, labels, marks = (
        [Image(ids[p], [(p, entry, value)]) for p, value in enumerate(values)]
        for values in ([10.0 * (entry + 1) + p for p in range(3)], [(p + entry) % 3 for p in range(3)], [1.0] * 3)
    )
    return wires, labels, marks


def shuffled_file(path: Path, ids: Sequence[int] = (0, 1, 2), orders: Sequence = ORDERS) -> Path:
    """Two events of three planes, each product in another order."""
    columns = [
        [[planes[i] for i in order] for planes, order in zip(event(entry, ids), orders[entry], strict=True)]
        for entry in range(2)
    ]
    return write(path, *(list(column) for column in zip(*columns, strict=True)))


def check_event(charge: np.ndarray, label: np.ndarray, entry: int) -> None:
    """The pixels of `event`."""
    expected, classes = np.zeros((3, TICKS, WIRES)), np.zeros((3, TICKS, WIRES))
    for p in range(3):
        expected[p, entry, p], classes[p, entry, p] = 10.0 * (entry + 1) + p, (p + entry) % 3
    assert np.array_equal(charge, expected)
    assert np.array_equal(label, classes)


@pytest.mark.parametrize("options", [{}, {"cache": True}, pytest.param({"reader": "larcv"}, marks=pytest.mark.larcv)])
def test_the_order_of_planes_in_the_file_does_not_matter(tmp_path, monkeypatch, request, options):
    monkeypatch.setenv("AIRSHOWER_CACHE", str(tmp_path))
    if options.get("reader"):
        request.getfixturevalue("larcv")
    path = shuffled_file(tmp_path / "a.h5")
    charge, label = images_of(path, [0, 1], **options)
    for entry in range(2):
        check_event(charge[entry], label[entry], entry)
    vertex = LartpcEvents(LartpcConfig(**NAMES), str(path)).truth(np.arange(2), ("vertex",))["vertex"]
    assert vertex.tolist() == [[[entry + 0.5, p + 0.5] for p in range(3)] for entry in range(2)]


def test_files_of_other_orders_are_read_as_one(tmp_path):
    shuffled_file(tmp_path / "a.h5", (3, 4, 5))
    shuffled_file(tmp_path / "b.h5", (3, 4, 5), [((1, 0, 2),) * 3, ((2, 0, 1),) * 3])
    charge, label = images_of(tmp_path / "*.h5", [0, 2, 3, 1])
    for index, entry in enumerate((0, 0, 1, 1)):
        check_event(charge[index], label[index], entry)


def test_files_of_other_planes_are_refused(tmp_path):
    one, other = shuffled_file(tmp_path / "a.h5"), shuffled_file(tmp_path / "b.h5", (0, 1, 5))
    said = r"b\.h5: has planes 0, 1, 5, but .*a\.h5 has 0, 1, 2"
    with pytest.raises(DataError, match=said):
        LartpcEvents(LartpcConfig(**NAMES), str(tmp_path / "*.h5"))
    with pytest.raises(DataError, match=said):
        Lartpc(Lartpc.Config(file=str(one), aux_file=str(other), **NAMES), 1).open()


def test_predictions_have_the_planes_and_places_of_their_event(tmp_path):
    """Ids, order and origins of each event of each file, though pixels are given by ascending id."""
    for name, shift in (("a", 0.0), ("b", 1000.0)):
        wires = []
        for entry, order in enumerate(((4, 3, 5), (3, 5, 4))):
            wires.append([Image(p, [(1, 1, 9.0)], origin=(100.0 * entry + shift, 10.0 * p)) for p in order])
        write(tmp_path / f"{name}.h5", wires, wires)
    source = LartpcEvents(LartpcConfig(**NAMES | {"downsample": 1, "label_producer": ""}), str(tmp_path / "[ab].h5"))
    found = FoundPixels(np.arange(3), np.array([5, 4, 3]), np.array([7, 6, 2]), np.array([1, 2, 1], np.uint8), None)
    entries = [3, 0, 1]
    with source.pixel_writer(tmp_path / "p.h5", {}) as writer:
        for entry in entries:
            writer.append(entry, writer.pack(found))
    with h5py.File(tmp_path / "p.h5") as file:
        group = file["Data/sparse2d_airshower_label_group"]
        meta, rows, voxels = (group[name][:] for name in ("image_meta", "voxel_extents", "voxels"))
    assert meta["projection_id"].tolist() == rows["ID"].tolist() == [3, 5, 4, 4, 3, 5, 3, 5, 4]
    starts = np.repeat([1100.0, 0.0, 100.0], 3)
    assert meta["origin"].tolist() == [[s, 10.0 * p] for s, p in zip(starts, rows["ID"], strict=True)]
    assert (meta["image_sizes"] == (WIRES, TICKS)).all()
    assert (meta["number_of_voxels"] == (WIRES // 2, TICKS // 2)).all()
    expected = {3: (7 * 6 + 5, 1), 4: (6 * 6 + 4, 2), 5: (2 * 6 + 3, 1)}
    assert [(row["id"], row["value"]) for row in voxels[rows["first"]]] == [expected[p] for p in rows["ID"]]


def test_labels_lie_where_their_meta_says(tmp_path):
    """Wires of a crop at wire 105, tick 42 of labels that begin at 100 and 40; the second event's crop is elsewhere."""
    corners, wires, labels, marks = [(105.0, 42.0), (101.0, 40.0)], [], [], []
    for corner in corners:
        wires.append([Image(p, [(2, 3, 50.0)], origin=corner) for p in range(3)])
        content = [(7, 5, 2), (0, 0, 1), (23, 17, 1), (3, 3, 1)]
        labels.append([Image(p, content, size=(24, 18), origin=(100.0, 40.0)) for p in (1, 2, 0)])
        marks.append([Image(p, [(7, 5, 1.0)], size=(24, 18), origin=(100.0, 40.0)) for p in (2, 1, 0)])
    path = write(tmp_path / "a.h5", wires, labels, marks)
    charge, label = images_of(path, [0, 1])
    for entry, corner in enumerate(corners):
        expected = np.zeros((TICKS, WIRES), int)
        for wire, tick, value in content:
            column, row = wire + 100 - int(corner[0]), tick + 40 - int(corner[1])
            if 0 <= column < WIRES and 0 <= row < TICKS:
                expected[row, column] = value
        assert np.count_nonzero(expected) == (1, 2)[entry]
        for plane in range(3):
            assert np.argwhere(charge[entry, plane]).tolist() == [[3, 2]]
            assert np.array_equal(label[entry, plane], expected)
    vertex = LartpcEvents(LartpcConfig(**NAMES), str(path)).truth(np.arange(2), ("vertex",))["vertex"]
    assert vertex[:, 0].tolist() == [[3.5, 2.5], [5.5, 6.5]]
    assert (vertex == vertex[:, :1]).all()


def test_a_vertex_outside_the_image_is_none(tmp_path):
    wires = [[Image(0, [(2, 3, 5.0)], origin=(8.0, 0.0))]]
    labels = [[Image(0, [], size=(32, 12))]]
    path = write(tmp_path / "a.h5", wires, labels, [[Image(0, [(7, 5, 1.0)], size=(32, 12))]])
    assert np.isnan(LartpcEvents(LartpcConfig(**NAMES), str(path)).truth(np.array([0]), ("vertex",))["vertex"]).all()


@pytest.mark.larcv
def test_larcv_reads_shifted_labels_alike(larcv, tmp_path, same_event):
    wires = [[Image(p, [(2, 3, 50.0)], origin=(5.0, 2.0)) for p in (1, 0)]]
    labels = [[Image(p, [(7, 5, 2), (3, 3, 1)], size=(24, 18)) for p in (0, 1)]]
    file = LartpcEvents(LartpcConfig(**NAMES), str(write(tmp_path / "a.h5", wires, labels))).files[0]
    assert same_event(LarcvReader(file).read(0), file.read(0))


BAD_LABELS = {
    "beside": ({"origin": (8.0, 0.0)}, "does not cover that"),
    "smaller": ({"size": (16, 11)}, "does not cover that"),
    "behind": ({"size": (20, 12), "origin": (-5.0, 0.0)}, "does not cover that"),
    "fraction": ({"size": (32, 24), "origin": (-2.5, 0.0)}, "lies fractions of a pixel beside that"),
    "coarse": ({"size": (8, 6), "pitch": (2.0, 2.0)}, "has pixels of another size than that"),
    "nan": ({"size": (32, 24), "origin": (np.nan, 0.0)}, "lies fractions of a pixel beside that"),
}


@pytest.mark.parametrize("fault", BAD_LABELS)
@pytest.mark.parametrize("product", ["sparse2d_label", "cluster2d_nu"])
def test_what_does_not_cover_the_wires_is_refused(tmp_path, fault, product):
    change, said = BAD_LABELS[fault]
    good = [Image(p, [(2, 3, 2.0)]) for p in range(3)]
    bad = [good[0], replace(good[1], **change), good[2]]
    labels, marks = ([good, bad], [good, good]) if product == "sparse2d_label" else ([good, good], [good, bad])
    if "size" in change:  # which is the same in all events
        labels, marks = ([products[1], products[1]] for products in (labels, marks))
    path = write(tmp_path / "a.h5", [good, good], labels, marks)
    entry = 0 if "size" in change else 1
    with pytest.raises(
        DataError, match=rf"a\.h5: {product}, entry {entry}, plane 1: its image .* {said} of sparse2d_wire"
    ):
        LartpcEvents(LartpcConfig(**NAMES), str(path)).truth(np.array([1]), ("vertex",))


def repeated(table, column, values):
    """A change of the planes of the second of two events."""

    def change(file):
        rows = file[table][:]
        rows[column][3:] = values
        file[table][...] = rows

    return change


TWICE = {
    "wires": (WIRE, [0, 1, 1], "sparse2d_wire, entry 1: has plane 1 twice"),
    "labels": (LABEL, [2, 1, 2], "sparse2d_label, entry 1: has plane 2 twice"),
    "another": (WIRE, [0, 1, 3], "sparse2d_wire, entry 1: has planes 0, 1, 3, others have 0, 1, 2"),
    "other labels": (LABEL, [0, 1, 3], "sparse2d_label, entry 1: has planes 0, 1, 3, others have 0, 1, 2"),
}


@pytest.mark.parametrize("fault", TWICE)
def test_planes_that_are_twice_or_missing_are_refused(tmp_path, fault):
    group, ids, said = TWICE[fault]
    path = write(tmp_path / "a.h5", *([event(e)[0] for e in range(2)] for _ in range(2)))
    with h5py.File(path, "r+") as file:
        repeated(f"{group}/voxel_extents", "ID", ids)(file)
        repeated(f"{group}/image_meta", "projection_id", ids)(file)
    with pytest.raises(DataError, match=rf"a\.h5: {said}"):
        LartpcEvents(LartpcConfig(**NAMES), str(path))


@pytest.mark.parametrize(
    ("group", "said"), [(LABEL, "label, entry 1: .*sparse2d_wire"), (WIRE, "wire, entry 1: .*label")]
)
def test_an_event_with_wires_or_labels_alone_is_refused(tmp_path, group, said):
    """Labels that are missing are not background."""
    path = write(tmp_path / "a.h5", *([event(e)[0] for e in range(2)] for _ in range(2)))
    with h5py.File(path, "r+") as file:
        rows = file[f"{group}/extents"][:]
        rows["N"][1] = 0
        file[f"{group}/extents"][...] = rows
    with pytest.raises(DataError, match=rf"sparse2d_{said} has"):
        LartpcEvents(LartpcConfig(**NAMES), str(path))


def test_more_voxels_than_pixels_are_refused(tmp_path):
    image = [[Image(0, [(w, t, 1.0) for w in range(WIRES) for t in range(TICKS)])]]
    path = write(tmp_path / "a.h5", image, image)
    with h5py.File(path, "r+") as file:
        for name in (WIRE, LABEL):
            rows = file[f"{name}/image_meta"][:]
            rows["number_of_voxels"] = (WIRES, TICKS - 1)
            file[f"{name}/image_meta"][...] = rows
    with pytest.raises(DataError, match=r"sparse2d_wire, entry 0, plane 0: has 192 voxels, more than pixels"):
        LartpcEvents(LartpcConfig(**NAMES), str(path))


@pytest.mark.parametrize("options", [{}, {"cache": True}])
@pytest.mark.parametrize("product", ["wire", "label"])
def test_a_voxel_that_is_there_twice_is_refused(tmp_path, monkeypatch, rewrite, product, options):
    """Whether the ids of the other product repeat it too or not."""
    monkeypatch.setenv("AIRSHOWER_CACHE", str(tmp_path))

    def twice(rows):
        rows["id"][2] = rows["id"][1]
        return rows

    image = [[Image(0, [(0, 5, 1.0), (0, 7, 2.0), (3, 9, 1.0)])]]
    path = write(tmp_path / "a.h5", image, image)
    rewrite(path, f"Data/sparse2d_{product}_group/voxels", twice)
    said = rf"a\.h5: sparse2d_{product}, entry 0, plane 0: has voxel 7 twice"
    with pytest.raises(DataError, match=said):
        images_of(path, [0], **options)
    if product == "label":
        rewrite(path, "Data/sparse2d_wire_group/voxels", twice)
        with pytest.raises(DataError, match="sparse2d_wire, entry 0, plane 0: has voxel 7 twice"):
            images_of(path, [0], **options)


def test_voxels_in_any_order_are_read(tmp_path, rewrite):
    image = [[Image(0, [(0, 5, 1.0), (0, 7, 2.0), (3, 9, 1.0)])]]
    path = write(tmp_path / "a.h5", image, image)
    charge, label = images_of(path, [0])
    rewrite(path, f"{WIRE}/voxels", lambda rows: rows[[2, 0, 1]])
    other, classes = images_of(path, [0])
    assert np.array_equal(charge, other)
    assert np.array_equal(label, classes)


def test_volumes_are_joined_by_projection_id_too(tmp_path):
    """Products of three dimensions, which the file reads and a source does not."""
    metas = [ImageMeta((4, 3, 2), (4.0, 3.0, 2.0), (0.0, 0.0, 10.0 * p), p) for p in (1, 0)]
    with LarcvWriter(tmp_path / "a.h5") as writer:
        writer.append((1, 1, 0), {"volume": [(meta, Voxels(np.array([meta.projection_id]), [5.0])) for meta in metas]})
    table = LarcvFile(tmp_path / "a.h5").images("volume", dimension=3)
    assert table.shapes.tolist() == [[4, 3, 2]] * 2
    assert table.planes.meta["origin"][0, :, 2].tolist() == [0.0, 10.0]
    assert table.read(0).ids.tolist() == [0, 1]
