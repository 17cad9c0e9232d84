"""Cameras on their lattices: the published tables of real ones, and what is no lattice."""

import gzip
import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import h5py
import hdf5plugin  # noqa: F401 (its import teaches h5py the files' compression)
import numpy as np
import pytest

from airshower.errors import DataError, UserError
from airshower.geometry.camera import CameraGeometry, Lattice, builtin_camera, lattice, neighbours

# rows and columns of the image, and the largest residual in pitches
HEXAGONAL = {
    "DigiCam": (48, 48, 0.001),
    "FACT": (46, 45, 0.005),
    "FlashCam": (56, 56, 0.001),
    "HESS-I": (41, 36, 0.001),
    "HESS-II": (57, 52, 0.001),
    "LSTCam": (55, 55, 0.001),
    "LSTCam-002": (55, 55, 0.001),
    "LSTCam-003": (55, 55, 0.001),
    "MAGICCam": (39, 39, 0.001),
    "MAGICCamMars": (39, 39, 0.001),
    "NectarCam": (55, 55, 0.001),
    "NectarCam-003": (55, 55, 0.001),
    "VERITAS": (27, 27, 0.005),
    "Whipple109": (13, 13, 0.01),
    "Whipple151": (15, 15, 0.005),
    "Whipple331": (21, 21, 0.005),
}
SQUARE = {"ASTRICam": (56, 56), "CHEC": (48, 48), "SCTCam": (120, 120)}


def fits_table(path: Path) -> tuple[dict[str, str], np.ndarray]:
    """Header and rows of a FITS file's first binary table; its columns are int16 (I), int64 (K) or float64 (D)."""
    data, place, header = gzip.decompress(path.read_bytes()), 0, {}
    while header.get("XTENSION") != "BINTABLE":
        header, end = {}, False
        while not end:  # a header is blocks of 36 cards of 80 characters
            cards = [data[place + 80 * card :][:80].decode() for card in range(36)]
            header |= {card[:8].strip(): card[10:].split("/")[0].strip(" '") for card in cards if card[8] == "="}
            end, place = any(card.rstrip() == "END" for card in cards), place + 2880
    kinds = {"I": ">i2", "1I": ">i2", "6I": "(6,)>i2", "K": ">i8", "1K": ">i8", "D": ">f8", "1D": ">f8"}
    names = [
        (header[f"TTYPE{n}"].strip(), kinds[header[f"TFORM{n}"].strip()]) for n in range(1, int(header["TFIELDS"]) + 1)
    ]
    return header, np.frombuffer(data, np.dtype(names), int(header["NAXIS2"]), place)


@pytest.fixture
def published(sample: Callable[[str], Path]) -> Callable[[str], CameraGeometry]:
    """Cameras that ctapipe publishes, by name."""
    return lambda name: camera_of(sample(f"camgeom/{name}.camgeom.fits.gz"))


def camera_of(path: Path) -> CameraGeometry:
    header, table = fits_table(path)
    x, y, area = (table[name].astype(np.float64) for name in ("pix_x", "pix_y", "pix_area"))
    shape = "hexagon" if header["PIX_TYPE"] == "hexagonal" else "square"
    return CameraGeometry(header["CAM_ID"], x, y, area, shape, float(header["PIX_ROT"]), float(header["CAM_ROT"]))


def turned(geometry: CameraGeometry, degrees: float, shift: float = 0.0) -> CameraGeometry:
    angle = np.radians(degrees)
    x = geometry.x * np.cos(angle) - geometry.y * np.sin(angle) + shift
    return replace(geometry, x=x, y=geometry.x * np.sin(angle) + geometry.y * np.cos(angle) - shift)


def adjacent(geometry: CameraGeometry, reach: float) -> list[set[int]]:
    """The pixels within `reach` pitches of each, by their distances."""
    distance = np.hypot(geometry.x[:, None] - geometry.x, geometry.y[:, None] - geometry.y)
    np.fill_diagonal(distance, np.inf)
    return [set(np.flatnonzero(near)) for near in distance < reach * geometry.pitch]


def as_sets(table: np.ndarray) -> list[set[int]]:
    return [set(row[row >= 0]) for row in table]


def same_outlines(row: np.ndarray, column: np.ndarray) -> Iterator[set[tuple[int, int]]]:
    """The cells of a hexagonal camera under the lattice's 12 symmetries, from (0, 0) on."""
    for turn in range(12):
        row, column = (row - column, row) if turn != 6 else (column, row)
        yield set(zip((row - row.min()).tolist(), (column - column.min()).tolist(), strict=True))


@pytest.mark.parametrize("name", HEXAGONAL)
def test_published_hexagonal_camera(name: str, published: Callable[[str], CameraGeometry]) -> None:
    geometry = published(name)
    found = lattice(geometry)
    rows, columns, residual = HEXAGONAL[name]
    assert found.hexagonal
    assert found.shape == found.mask.shape == (rows, columns)
    assert found.mask.sum() == len(found) == len(geometry)
    assert np.array_equal(found.pixel[found.row, found.column], np.arange(len(geometry)))
    places = np.stack([found.row, found.column], 1) @ found.basis + found.origin
    assert np.hypot(*(places - geometry.position).T).max() < residual * geometry.pitch
    assert np.linalg.det(found.basis[::-1]) > 0, "not mirrored"
    assert as_sets(neighbours(found)) == adjacent(geometry, 1.3)


@pytest.mark.parametrize("name", HEXAGONAL)
def test_outline_is_that_of_the_rows_derived_otherwise(name: str, sample: Callable[[str], Path]) -> None:
    rows = json.loads(sample("camera_axial_rows.json").read_text())[name]["rows"]
    runs = [(len(rows) - row - 1, run) for row, runs in enumerate(rows) for run in runs]  # its axes are at 60 degrees
    theirs = {(row, column) for row, (first, count) in runs for column in range(first, first + count)}
    found = lattice(builtin_camera(name))
    assert theirs in list(same_outlines(found.row, found.column))


@pytest.mark.parametrize("name", SQUARE)
def test_published_square_camera(name: str, published: Callable[[str], CameraGeometry]) -> None:
    geometry = published(name)
    found = lattice(geometry)
    assert not found.hexagonal
    assert found.shape == SQUARE[name]
    assert found.mask.sum() == len(geometry)
    for axis, values in ((found.row, geometry.y), (found.column, geometry.x)):
        centre = [values[axis == place] for place in range(axis.max() + 1)]
        assert max(np.abs(values - values.mean()).max() for values in centre) < 0.05 * geometry.pitch
        assert (np.diff([values.mean() for values in centre]) > 0.9 * geometry.pitch).all()
    if len(geometry) < 5000:
        assert as_sets(neighbours(found)) == adjacent(geometry, 1.35)
    assert neighbours(found, diagonals=True).shape == (len(geometry), 8)


def on_a_sphere(geometry: CameraGeometry, radius: float) -> CameraGeometry:
    """The pixels on a sphere of this radius in m, as far from the middle along it as they were on the plane."""
    distance = np.hypot(geometry.x, geometry.y)
    shrunk = radius * np.sin(distance / radius) / np.maximum(distance, 1e-9)
    return replace(geometry, x=geometry.x * shrunk, y=geometry.y * shrunk)


@pytest.mark.parametrize("name", SQUARE)
@pytest.mark.parametrize("degrees", [0.0, 19.0])
def test_square_cameras_on_curved_focal_planes(
    name: str, degrees: float, published: Callable[[str], CameraGeometry]
) -> None:
    """Pixels are a tenth of a pitch and more from a plane lattice, as in official files of ASTRI, each at its place."""
    flat = published(name)
    half = np.abs(flat.x).max()
    for far in (0.1, 0.2):
        curved = on_a_sphere(flat, np.sqrt(half**3 / (6 * far * flat.pitch)))
        found = lattice(turned(curved, degrees))
        assert found.shape == SQUARE[name]
        places = lattice(turned(flat, degrees))
        np.testing.assert_array_equal(found.pixel, places.pixel)
    with pytest.raises(DataError, match=rf"camera {name} are on no square lattice: .* 0\.25 are allowed"):
        lattice(on_a_sphere(flat, np.sqrt(half**3 / (6 * 1.2 * flat.pitch))))


def test_pixels_of_two_sizes_are_refused(published: Callable[[str], CameraGeometry]) -> None:
    with pytest.raises(DataError, match=r"camera Whipple490 are on no hexagonal lattice: .* up to 0\.\d+ pitches"):
        lattice(published("Whipple490"))


def test_cameras_of_hess(sample: Callable[[str], Path]) -> None:
    _, table = fits_table(sample("camgeom/hess_camgeom.fits.gz"))
    assert len(np.unique(table["CAM_ID"])) == 4
    for camera in np.unique(table["CAM_ID"]):
        rows = table[table["CAM_ID"] == camera]
        x, y, area = (rows[name].astype(np.float64) for name in ("PIX_POSX", "PIX_POSY", "PIX_AREA"))
        assert lattice(CameraGeometry("HESS-I", x, y, area, "hexagon")).shape == (41, 36)


def test_cameras_of_simulated_events(sample: Callable[[str], Path]) -> None:
    files = sorted(sample("gamma_prod4_sst1m.dl1.h5").parent.glob("*.dl1.h5"))
    shapes = {1855: (55, 55), 1296: (48, 48)}
    for path in files:
        with h5py.File(path) as file:
            cameras = file["configuration/instrument/telescope/camera"]
            for name in (name for name in cameras if name.startswith("geometry_")):
                x, y, area = (cameras[name][column] for column in ("pix_x", "pix_y", "pix_area"))
                assert lattice(CameraGeometry(name, x, y, area, "hexagon")).shape == shapes[len(x)]


@pytest.mark.parametrize("name", HEXAGONAL)
def test_builtin_camera_is_the_published_one(name: str, published: Callable[[str], CameraGeometry]) -> None:
    own, other = builtin_camera(name), published(name)
    assert np.hypot(own.x - other.x, own.y - other.y).max() < 0.01 * other.pitch
    assert np.allclose(own.area, other.area, rtol=1e-6)
    assert (own.shape, own.camera_rotation) == (other.shape, other.camera_rotation)
    assert own.pixel_rotation == pytest.approx(other.pixel_rotation, abs=1e-3)


def test_builtin_cameras_without_their_tables() -> None:
    for name, (rows, columns, _) in HEXAGONAL.items():
        assert lattice(builtin_camera(name)).shape == (rows, columns)
    assert builtin_camera("LSTCam").pitch == pytest.approx(0.05, rel=1e-4)
    with pytest.raises(UserError, match="no camera 'LST' built in; there are DigiCam, FACT,"):
        builtin_camera("LST")


@pytest.mark.parametrize("degrees", [0.0, 0.3, 17.0, 30.0, 90.0, 179.9, 211.0, 300.0])
def test_lattice_turns_with_the_camera(degrees: float) -> None:
    camera = builtin_camera("FlashCam")
    generator = np.random.default_rng(1)
    moved = turned(camera, degrees, shift=0.4)
    x, y = (axis + generator.uniform(-0.01, 0.01, len(camera)) * camera.pitch for axis in (moved.x, moved.y))
    found = lattice(replace(moved, x=x, y=y))
    assert found.shape == (56, 56)
    assert as_sets(neighbours(found)) == as_sets(neighbours(lattice(camera)))
    first, last = np.degrees(np.arctan2(*found.basis[::-1].T[::-1]))
    assert abs(first) < 90.1, "columns towards +x"
    assert (last - first) % 360 == pytest.approx(120, abs=0.1)


@pytest.mark.parametrize("degrees", [0.0, 12.0, -40.0])
def test_square_lattice_turns_with_the_camera(degrees: float) -> None:
    found = lattice(turned(squares(5, 7), degrees))
    assert found.shape == (5, 7)
    assert np.array_equal(found.pixel.ravel(), np.arange(35))
    assert np.degrees(np.arctan2(*found.basis[1][::-1])) == pytest.approx(degrees)


def test_neighbours_of_squares() -> None:
    found = lattice(squares(2, 3))
    assert neighbours(found)[1].tolist() == [-1, 0, 2, 4]
    assert neighbours(found, diagonals=True)[1].tolist() == [-1, 0, 2, 4, -1, -1, 3, 5]


def test_what_is_no_lattice() -> None:
    camera = builtin_camera("LSTCam")
    bent = replace(camera, x=camera.x + 0.1 * camera.pitch * np.sin(40 * camera.y))
    with pytest.raises(DataError, match=r"camera LSTCam are on no hexagonal lattice: .* 0\.\d+ pitches away"):
        lattice(bent)
    with pytest.raises(DataError, match="camera LSTCam are on no square lattice"):
        lattice(replace(camera, shape="square"))
    with pytest.raises(DataError, match="several pixels at one place"):
        lattice(replace(camera, x=np.append(camera.x, camera.x[7]), y=np.append(camera.y, camera.y[7])))
    with pytest.raises(DataError, match="at finite positions"):
        lattice(replace(camera, x=np.where(camera.x > 1.0, np.nan, camera.x)))
    with pytest.raises(DataError, match="at least 3 pixels"):
        lattice(CameraGeometry("one", np.zeros(1), np.zeros(1), np.ones(1), "hexagon"))


def squares(rows: int, columns: int) -> CameraGeometry:
    """With gaps between modules of 2 x 2 pixels."""
    row, column = np.indices((rows, columns)).reshape(2, -1)
    y, x = (0.01 * (axis + 0.2 * (axis // 2)) for axis in (row, column))
    return CameraGeometry("squares", x, y, np.full(len(x), 1e-4), "square")


def test_a_lattice_knows_its_pixels() -> None:
    one = Lattice(np.array([0, 1]), np.array([1, 0]), (2, 2), True, np.eye(2), np.zeros(2))
    assert one.pixel.tolist() == [[-1, 0], [1, -1]]
    assert one.mask.tolist() == [[False, True], [True, False]]
