"""Event lists whose headers claim what there is not, and damaged ones: one line, no other values, little memory."""

import gzip
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from airshower.detectors.hawc.event_list import EventList
from airshower.errors import DataError
from tests.memory import little_memory

VALUES = {"energy": np.linspace(1.0, 2.0, 10), "nHit": np.arange(10)}
COUNTS = [40, pytest.param(500, marks=pytest.mark.full)]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A list with checksums, of two columns of numbers, one of text and one of vectors."""
    fits = pytest.importorskip("astropy.io.fits", reason="astropy is not installed (pip install airshower[fits])")
    columns = [fits.Column(name, {"f": "D", "i": "K"}[v.dtype.kind], array=v) for name, v in VALUES.items()]
    columns += [
        fits.Column("kind", "4A", array=np.array(["real"] * 10)),
        fits.Column("v", "3E", array=np.ones((10, 3))),
    ]
    path = tmp_path_factory.mktemp("lists") / "list.fits"
    units = fits.HDUList([fits.PrimaryHDU(), fits.BinTableHDU.from_columns(columns, name="EVENTS")])
    units.writeto(path, checksum=True)
    return path.read_bytes()


def without_checksums(content: bytes) -> bytes:
    """The same content, whose checksums are comments."""
    for key in (b"CHECKSUM=", b"DATASUM ="):
        content = content.replace(key, b"COMMENT  ")
    return content


def with_card(content: bytes, key: str, value: Any) -> bytes:
    """The table's header with another value."""
    at = content.index(f"{key:8}=".encode(), 2880)
    return content[:at] + f"{key:8}= {value:>20}".ljust(80).encode() + content[at + 80 :]


def contents(path: Path) -> dict[str, np.ndarray] | str:
    """All columns, or the one line that says why not."""
    try:
        file = EventList(path)
        return file.columns(file.scalars)
    except DataError as error:
        said = str(error)
    assert said.startswith(f"{path}: ")
    assert "\n" not in said
    return said


def is_whole(found: dict[str, np.ndarray]) -> bool:
    return list(found) == list(VALUES) and all(np.array_equal(found[name], VALUES[name]) for name in VALUES)


def test_a_whole_list(whole: bytes, tmp_path: Path) -> None:
    for name, content in (("a.fits", whole), ("b.fits.gz", gzip.compress(whole)), ("c.fits", without_checksums(whole))):
        (tmp_path / name).write_bytes(content)
        assert is_whole(contents(tmp_path / name))


CLAIMS = [
    ("NAXIS2", 10**6, "truncated"),
    ("NAXIS2", 10**14, "truncated"),
    ("NAXIS2", -1, ""),
    ("NAXIS2", "'many'", ""),
    ("NAXIS1", 10**9, "truncated"),
    ("NAXIS1", 31, "columns of 32 bytes, its header says 10 rows of 31 bytes"),
    ("NAXIS", 1, "the file is damaged"),
    ("BITPIX", 64, "the file is damaged"),
    ("PCOUNT", 10**10, "truncated"),
    ("GCOUNT", 10**9, "truncated"),
    ("TFIELDS", 10**7, "EVENTS has 10000000 columns, 999 are possible"),
    ("TFIELDS", 3, "columns of 20 bytes, its header says 10 rows of 32 bytes"),
    ("TFORM1", "'1000000000D'", "can't be read as a FITS file"),
    ("TFORM1", "'E       '", "columns of 28 bytes"),
    ("TTYPE1", 5, "can't be read as a FITS file"),
    ("TTYPE1", "'nHit    '", "can't be read as a FITS file"),
    ("XTENSION", "'IMAGE   '", "EVENTS is no binary table"),
]


@pytest.mark.parametrize(("key", "value", "said"), CLAIMS)
def test_claims_of_the_header_are_compared(key: str, value: Any, said: str, whole: bytes, tmp_path: Path) -> None:
    path = tmp_path / "list.fits"
    path.write_bytes(with_card(without_checksums(whole), key, value))
    with little_memory(30):
        found = contents(path)
    assert isinstance(found, str)
    assert said in found


def test_values_that_do_not_agree_with_a_checksum_are_refused(whole: bytes, tmp_path: Path) -> None:
    path, at = tmp_path / "list.fits", whole.index(VALUES["energy"].astype(">f8")[:1].tobytes())
    path.write_bytes(whole[: at + 1] + bytes([whole[at + 1] ^ 1]) + whole[at + 2 :])
    assert "hecksum verification failed" in contents(path)


def test_a_small_file_of_gzip_does_not_inflate_without_end(whole: bytes, tmp_path: Path) -> None:
    path = tmp_path / "list.fits.gz"
    part = gzip.compress(bytes(20 << 20))
    path.write_bytes(gzip.compress(whole) + 15 * part)
    assert path.stat().st_size < 400_000
    with little_memory():
        assert "bytes inflate to more than" in contents(path)


@pytest.mark.parametrize("count", COUNTS)
def test_a_damaged_list_is_refused_or_gives_the_same_values(count: int, whole: bytes, tmp_path: Path) -> None:
    """Bits flipped and ends cut off, where checksums tell; also in gzip."""
    rng, path = np.random.default_rng(count), tmp_path / "list.fits.gz"
    with little_memory():
        for number in range(count):
            data = bytearray(gzip.compress(whole) if number % 2 else whole)
            for at in rng.integers(0, 8 * len(data), rng.integers(1, 4)).tolist():
                data[at // 8] ^= 1 << at % 8
            path.write_bytes(data[: int(rng.integers(len(data)))] if number % 5 == 0 else data)
            found = contents(path)
            assert isinstance(found, str) or is_whole(found), number


@pytest.mark.parametrize("count", COUNTS)
def test_a_damaged_header_neither_crashes_nor_takes_memory(count: int, whole: bytes, tmp_path: Path) -> None:
    """Digits and letters of the table's header replaced by others, without checksums."""
    content, rng, path = without_checksums(whole), np.random.default_rng(count), tmp_path / "list.fits"
    begin, end = 2880, content.index(b"END     ", 2880)
    with little_memory():
        for _ in range(count):
            data = bytearray(content)
            for _ in range(int(rng.integers(1, 6))):
                data[int(rng.integers(begin, end))] = rng.choice(np.frombuffer(b"0123456789-PQDJKEALX' =", np.uint8))
            path.write_bytes(data)
            contents(path)
