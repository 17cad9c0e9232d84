"""Mappings to rectangular images: charge, way back, and what interpolation must reproduce."""

from dataclasses import replace

import numpy as np
import pytest

from airshower.errors import UserError
from airshower.geometry.camera import Lattice, builtin_camera, lattice
from airshower.geometry.mapping import MAPPINGS, Mapping, camera_mapping

CHARGE = ("axial", "shifting", "oversampling", "rebinning")
BACK = ("axial", "shifting", "oversampling")
CAMERAS = ("LSTCam", "FACT", "HESS-I")


def on(name: str) -> Lattice:
    return lattice(builtin_camera(name))


def square_lattice() -> Lattice:
    """3 x 3 square pixels without the middle one."""
    row, column = np.indices((3, 3)).reshape(2, -1)[:, [0, 1, 2, 3, 5, 6, 7, 8]]
    return Lattice(row, column, (3, 3), False, 0.01 * np.eye(2)[::-1], np.zeros(2))


def some(pixels: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(5).exponential(size=(*shape, pixels))


def centres(mapping: Mapping, camera: Lattice, cell: float = 0.5) -> np.ndarray:
    """Of the cells [rows, columns, 2], in metres; the image's middle is that of the camera's hexagons."""
    positions = np.stack([camera.row, camera.column], 1) @ camera.basis + camera.origin
    pitch = np.sqrt(np.linalg.det(camera.basis[::-1]) * 2 / np.sqrt(3))
    rows, columns = mapping.shape
    y, x = np.meshgrid(np.arange(rows) - (rows - 1) / 2, np.arange(columns) - (columns - 1) / 2, indexing="ij")
    return (positions.min(0) + positions.max(0)) / 2 + np.stack([x, y], -1) * cell * pitch


@pytest.mark.parametrize("camera", CAMERAS)
@pytest.mark.parametrize("name", MAPPINGS)
def test_charge(name: str, camera: str) -> None:
    found = on(camera)
    mapping = camera_mapping(name, found)
    assert mapping.name == name
    assert mapping.index.dtype == np.int64
    assert mapping.weight.dtype == np.float32
    assert mapping.index.shape == mapping.weight.shape == (mapping.shape[0] * mapping.shape[1], mapping.index.shape[1])
    assert mapping.conserves_charge == (name in CHARGE)
    shares = np.bincount(mapping.index.ravel(), mapping.weight.ravel(), minlength=len(found))
    assert np.allclose(shares, 1.0, rtol=1e-6) == (name in CHARGE)
    values = some(len(found), 2, 3)
    image = mapping.to_image(values)
    assert image.shape == (2, 3, *mapping.shape)
    assert not image[..., ~mapping.mask].any()
    if name in CHARGE:
        assert np.allclose(image.sum((-2, -1)), values.sum(-1), rtol=1e-6)


@pytest.mark.parametrize("camera", CAMERAS)
@pytest.mark.parametrize("name", MAPPINGS)
def test_the_way_back(name: str, camera: str) -> None:
    found = on(camera)
    mapping, values = camera_mapping(name, found), some(len(found), 4).astype(np.float32)
    image = mapping.to_image(values)
    assert image.dtype == np.float32
    if name in BACK:
        assert np.array_equal(mapping.to_pixels(image), values)
    else:
        with pytest.raises(UserError, match=f"{name} can't be undone; axial, shifting, oversampling can"):
            mapping.to_pixels(image)


def test_axial_is_the_lattice() -> None:
    found = on("LSTCam")
    mapping = camera_mapping("axial", found)
    assert np.array_equal(mapping.mask, found.mask)
    assert np.array_equal(mapping.to_image(np.arange(len(found)))[found.mask], found.pixel[found.mask])


@pytest.mark.parametrize("camera", CAMERAS)
def test_shifted_rows_lie_half_a_pixel_apart(camera: str) -> None:
    found = on(camera)
    row, column = np.divmod(camera_mapping("shifting", found).inverse[:, 0], camera_mapping("shifting", found).shape[1])
    assert np.array_equal(row, found.row)
    off = (found.column - found.row / 2) - column
    assert {0.0, 0.5} == set(np.unique(off - off.min()))


@pytest.mark.parametrize("camera", CAMERAS)
def test_oversampled_pixels_lie_where_hexagons_do(camera: str) -> None:
    found = on(camera)
    mapping = camera_mapping("oversampling", found)
    row, column = np.divmod(mapping.inverse, mapping.shape[1])
    assert (np.ptp(row, axis=1) == 1).all()
    assert (np.ptp(column, axis=1) == 1).all()
    assert len(np.unique(mapping.inverse)) == 4 * len(found)
    assert np.array_equal(row.mean(1) - 0.5, 2.0 * found.row)
    along = column.mean(1) / 2 - (found.column - found.row / 2)
    assert np.ptp(along) == 0


@pytest.mark.parametrize("cell", [0.5, 0.8, 1.5])
@pytest.mark.parametrize("camera", CAMERAS)
def test_rebinned_pixels_stay_where_they_are(camera: str, cell: float) -> None:
    found = on(camera)
    mapping = camera_mapping("rebinning", found, cell)
    place = centres(mapping, found, cell)
    position = np.stack([found.row, found.column], 1) @ found.basis + found.origin
    side = np.hypot(*(place[0, 1] - place[0, 0]))
    image = mapping.to_image(np.ones(len(found)))
    full = np.sort(image.ravel())[-len(found) // 4 :]  # cells inside have as much charge as their area
    assert np.allclose(full, side**2 / np.linalg.det(found.basis[::-1]), rtol=0.03)
    moment = mapping.to_image(position.T)
    reach = side / np.sqrt(2) + np.hypot(*found.basis[0]) / np.sqrt(3)
    away = np.hypot(*(moment - place.transpose(2, 0, 1) * image))
    assert (away <= reach * image + 1e-9).all(), "a cell has charge only of pixels that reach into it"
    one = mapping.to_image(np.eye(len(found))[::50])
    middle = np.einsum("nrc,rcx->nx", one, place)
    assert np.hypot(*(middle - position[::50]).T).max() < 0.3 * side


@pytest.mark.parametrize("camera", CAMERAS)
def test_nearest_is_the_nearest(camera: str) -> None:
    found = on(camera)
    mapping = camera_mapping("nearest", found)
    position = np.stack([found.row, found.column], 1) @ found.basis + found.origin
    distance = np.hypot(*(centres(mapping, found).reshape(-1, 1, 2) - position).transpose(2, 0, 1))
    inside = mapping.mask.ravel()
    two = np.sort(distance, 1)[:, :2]
    clear = inside & (two[:, 1] - two[:, 0] > 0.05 * np.hypot(*found.basis[0]))
    assert np.array_equal(mapping.index[clear, 0], distance[clear].argmin(1))
    assert (two[inside, 0] < 0.6 * np.hypot(*found.basis[0])).all()
    assert (two[~inside, 0] > 0.49 * np.hypot(*found.basis[0])).all()


@pytest.mark.parametrize(("name", "degree"), [("bilinear", 1), ("bicubic", 2)])
@pytest.mark.parametrize("camera", CAMERAS)
def test_interpolation_reproduces_polynomials(camera: str, name: str, degree: int) -> None:
    found = on(camera)
    mapping = camera_mapping(name, found)
    place, position = centres(mapping, found), np.stack([found.row, found.column], 1) @ found.basis + found.origin

    def polynomial(at: np.ndarray) -> np.ndarray:
        x, y = np.moveaxis(at, -1, 0)
        return 0.3 + x - 2 * y + (degree == 2) * (4 * x**2 - 3 * x * y + 5 * y**2)

    whole = np.isclose(mapping.weight.sum(1), 1.0, atol=1e-6).reshape(mapping.shape)
    inside = whole & (mapping.to_image(np.ones(len(found))) > 0.999)
    assert inside.mean() > 0.55
    wrong = np.abs(mapping.to_image(polynomial(position)) - polynomial(place))[inside]
    assert np.sort(wrong)[: int(0.99 * len(wrong))].max() < 1e-5, "all but what cancels out at the border"


def test_mean_of_what_is_no_charge() -> None:
    found = on("FACT")
    for name in MAPPINGS:
        mapping = camera_mapping(name, found).averaging()
        assert not mapping.conserves_charge
        image = mapping.to_image(np.full(len(found), 7.0))
        assert np.allclose(image[mapping.mask], 7.0, rtol=1e-6)
        assert not image[~mapping.mask].any()


def test_a_value_that_is_not_finite_stays_where_it_is() -> None:
    found = on("FACT")
    values = np.ones(len(found))
    values[0] = np.nan
    for name in MAPPINGS:
        mapping = camera_mapping(name, found)
        reached = ((mapping.index == 0) & (mapping.weight != 0)).any(1).reshape(mapping.shape)
        assert np.array_equal(np.isnan(mapping.to_image(values)), reached)


def test_square_pixels() -> None:
    found, values = square_lattice(), np.arange(1.0, 9.0)
    image = camera_mapping("axial", found).to_image(values)
    assert image.tolist() == [[1, 2, 3], [4, 0, 5], [6, 7, 8]]
    assert np.array_equal(camera_mapping("shifting", found).to_image(values), image)
    assert np.array_equal(camera_mapping("oversampling", found).to_image(values), np.kron(image, np.full((2, 2), 0.25)))
    with pytest.raises(UserError, match="square pixels needs no bilinear: take one of axial, shifting, oversampling"):
        camera_mapping("bilinear", found)


@pytest.mark.parametrize("name", MAPPINGS)
def test_images_do_not_depend_on_where_the_camera_is(name: str) -> None:
    found = on("LSTCam")
    moved, values = replace(found, origin=found.origin + 0.3), some(len(found))
    here, there = (camera_mapping(name, camera).to_image(values) for camera in (found, moved))
    assert here.shape == there.shape
    assert np.linalg.norm(here - there) < 0.01 * np.linalg.norm(here)


def test_refusals() -> None:
    with pytest.raises(UserError, match="no mapping 'cubic'; there are axial, shifting, oversampling, rebinning,"):
        camera_mapping("cubic", on("FACT"))
    with pytest.raises(UserError, match="above 0 pitches, not -1"):
        camera_mapping("nearest", on("FACT"), cell=-1)
