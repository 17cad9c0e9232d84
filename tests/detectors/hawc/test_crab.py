"""The public event lists as entries: the sample files, small ones, and what is said of wrong ones."""

import gzip
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from airshower.data.splits import Splits
from airshower.detectors.hawc.crab import PARAMETERS, QUANTITIES, HawcCrab
from airshower.detectors.hawc.event_list import EventList
from airshower.detectors.hawc.xcdf.file import XcdfFile
from airshower.errors import DataError, UserError

LISTS = {f"EventList_Crab_fHitbin{bin_}GP.fits.gz": count for bin_, count in ((5, 13985), (6, 3687), (7, 1286))}


def opened(files: object, **config: object) -> Splits:
    return HawcCrab(HawcCrab.Config(**{"file": files} | config), 0).open()


@pytest.fixture(autouse=True)
def fits() -> object:
    """The module that reads lists, for tests to write them."""
    return pytest.importorskip("astropy.io.fits", reason="astropy is not installed (pip install airshower[fits])")


@pytest.fixture
def write(fits: object, tmp_path: Path) -> Callable[..., Path]:
    """Writes a list of ten events, with some columns replaced; None leaves one out."""

    def make(name: str = "list.fits.gz", table: str = "EVENTS", **changed: np.ndarray | None) -> Path:
        rng = np.random.default_rng(0)
        columns = {q.name: q.physical(rng.uniform(-1, 1, 10)) for q in QUANTITIES.values()}
        columns = {n: np.round(column / QUANTITIES[n].step) * QUANTITIES[n].step for n, column in columns.items()}
        columns |= {"nHit": columns["nHit"].astype(np.int64), "DEC": np.full(10, 22.0), **changed}
        made = [
            fits.Column(name, {"i": "K", "f": "D", "U": "4A"}[column.dtype.kind], array=column)
            for name, column in columns.items()
            if column is not None
        ]
        units = fits.HDUList([fits.PrimaryHDU(), fits.BinTableHDU.from_columns(made, name=table)])
        units.writeto(tmp_path / name)
        return tmp_path / name

    return make


@pytest.mark.parametrize("name", ["list.fits.gz", "list.fits"])
def test_columns_come_back(name: str, write: Callable[..., Path]) -> None:
    energies = np.linspace(3.0, 4.0, 10)
    path = write(name, logGPV2=energies, kind=np.array(["real"] * 10))
    splits = opened(str(path), conditions=["logGPV2"], validation_fraction=0.2, test_fraction=0.3)
    source, spec = splits.train.source, splits.train.source.spec
    assert [len(part.entries) for part in (splits.train, splits.validation, splits.test)] == [5, 2, 3]
    assert sorted(np.concatenate([splits.train.entries, splits.validation.entries, splits.test.entries])) == [
        *range(10)
    ]
    assert (set(spec.inputs), spec.truth, spec.known) == ({"parameters", "conditions"}, (), frozenset())
    assert source.event_ids.tolist() == [[0, event, 0] for event in range(10)]
    batch, stored = source.read(np.array([7, 0])), EventList(path).columns(PARAMETERS)
    assert batch.inputs.keys() == {"parameters", "conditions"}
    assert (batch.truth, batch.frame) == (None, None)
    for parameter, values in spec["parameters"].physical(batch["parameters"].values).items():
        np.testing.assert_allclose(values, stored[parameter][[7, 0]], rtol=1e-5, atol=1e-5)
    conditions = spec["conditions"].physical(batch["conditions"].values)["logGPV2"]
    np.testing.assert_allclose(conditions, energies[[7, 0]], rtol=1e-6)
    assert source.truth(np.array([7, 0])) == {}
    assert "kind" not in EventList(path).scalars


def test_names_that_differ_in_case_alone(write: Callable[..., Path]) -> None:
    source = opened(str(write()), parameters=["dec"], cuts="DEC > 21.5").train.source
    assert source.columns["dec"].max() < 0.5
    assert source.columns["DEC"].tolist() == [22.0] * 10


def test_several_lists_and_cuts(write: Callable[..., Path], tmp_path: Path) -> None:
    write("a.fits", nHit=np.arange(400, 410))
    write("b.fits.gz", nHit=np.arange(500, 510))
    config = {"data_directory": str(tmp_path), "cuts": "nHit >= 405 and nHit < 503", "validation_fraction": 0.0}

    def digest_of(files: object) -> str:
        return opened(files, **config).test.source.digest

    splits = opened(["b*", "a.fits"], **config)
    source = splits.test.source
    assert source.columns["nHit"].tolist() == [500, 501, 502, 405, 406, 407, 408, 409]
    assert source.event_ids[:, 0].tolist() == [0] * 3 + [1] * 5
    assert splits.validation is None
    assert source.digest == digest_of(["b*", "a.fits"]) != digest_of("a.fits")


def test_a_list_for_validation(write: Callable[..., Path]) -> None:
    paths = [str(write("a.fits", nHit=np.arange(400, 410))), str(write("b.fits", nHit=np.arange(500, 510)))]
    splits = opened(paths[0], aux_file=paths[1])
    assert splits.validation.source.columns["nHit"].tolist() == [*range(500, 510)]
    assert len(splits.train.entries) == 10
    with pytest.raises(UserError, match=r"a\.fits: is among the files for validation and those to train on"):
        opened(paths, aux_file=paths[0])


def test_events_of_numbers_that_are_none_are_left_out(write: Callable[..., Path]) -> None:
    core, charge = np.zeros(10), np.full(10, 20.0)
    core[3], core[4], charge[5] = np.nan, np.inf, -1.0
    source = opened(str(write(coreX=core, CxPE40=charge))).train.source
    assert source.event_ids[:, 1].tolist() == [0, 1, 2, 6, 7, 8, 9]


def test_generated_events_have_the_lists_names(write: Callable[..., Path], tmp_path: Path) -> None:
    source = opened(str(write())).train.source
    with source.generated_writer(tmp_path / "generated.h5", {"step": "1"}) as writer:
        writer.append(source.columns)
    found = XcdfFile(tmp_path / "generated.xcd").columns()
    assert found["nHit"].tolist() == source.columns["nHit"].tolist()
    for name in PARAMETERS:
        np.testing.assert_allclose(found[name], source.columns[name], atol=1e-12)


def test_wrong_columns_and_keys_are_one_line(write: Callable[..., Path]) -> None:
    without = str(write("without.fits", coreY=None))
    with pytest.raises(DataError, match=r"without.fits: has no column coreY; it has: logNPE, .*logNNEnergyV2, DEC$"):
        opened(without)
    with pytest.raises(DataError, match=r"text.fits: has no column coreX; it has: "):
        opened(str(write("text.fits", coreX=np.array(["a"] * 10))))
    with pytest.raises(UserError, match=r"data: no event is left of the 10 of 1 files; PINC not a number removed 10$"):
        opened(str(write("nan.fits", PINC=np.full(10, np.nan))), parameters=["PINC"])
    with pytest.raises(UserError, match=r"data.parameters: there is no nHits; there are logNPE, nHit, "):
        opened(without, parameters=["nHits"])
    with pytest.raises(UserError, match=r"data.cuts=nHits > 5: there is no column nHits .*did you mean nHit\?"):
        opened(without, cuts="nHits > 5")
    with pytest.raises(DataError, match=r"none.fits: can't be read \(No such file or directory\)"):
        opened("none.fits")


def truncated(content: bytes) -> bytes:
    return content[: len(content) // 2]


def flipped(content: bytes) -> bytes:
    return content[:600] + bytes([content[600] ^ 0xFF]) + content[601:]


def with_a_column_of_no_type(content: bytes) -> bytes:
    return gzip.decompress(content).replace(b"TFORM2  = 'K  ", b"TFORM2  = 'Q9x", 1)


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (truncated, "is truncated, its gzip stream does not end"),
        (lambda content: gzip.decompress(content)[:-2880], r"can't be read as a FITS file \(.*truncated"),
        (flipped, r"can't be read \("),
        (with_a_column_of_no_type, r"can't be read as a FITS file \(Invalid column format: Q9x"),
        (lambda content: b"no FITS file\n" * 300, r"can't be read as a FITS file \(No SIMPLE card found"),
        (lambda content: b"", r"can't be read as a FITS file \(Empty or corrupt FITS file"),
        (lambda content: gzip.decompress(content)[:2880], r"has no table EVENTS; it has: PRIMARY"),
    ],
)
def test_damaged_lists_are_one_line(damage: Callable[[bytes], bytes], said: str, write: Callable[..., Path]) -> None:
    path = write()
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(DataError, match=rf"list.fits.gz: {said}[^\n]*$"):
        opened(str(path))


def test_another_table(write: Callable[..., Path]) -> None:
    with pytest.raises(DataError, match=r"list.fits.gz: has no table EVENTS; it has: PRIMARY, GTI$"):
        opened(str(write(table="GTI")))


def test_without_astropy(write: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> None:
    path = write()
    monkeypatch.setitem(sys.modules, "astropy.io", None)
    with pytest.raises(UserError, match=r"astropy, which reads FITS files, .*; pip install 'airshower\[fits\]'$"):
        opened(str(path))


def test_sample_lists(sample: Callable[[str], Path]) -> None:
    paths = [str(sample(f"crab_pass4/{name}")) for name in LISTS]
    splits = opened(paths, parameters=list(QUANTITIES))
    source, count = splits.train.source, sum(LISTS.values())
    assert len(source) == count
    assert np.bincount(source.event_ids[:, 0]).tolist() == list(LISTS.values())
    held = -(-count // 10)
    assert [len(part.entries) for part in (splits.train, splits.validation, splits.test)] == [
        count - held,
        held,
        held,
    ]
    scaled = source.read(np.arange(count))["parameters"].values
    for quantity, values in zip(source.spec.quantities("parameters"), scaled.T, strict=True):
        steps = source.columns[quantity.name] / quantity.step
        assert np.abs(steps - np.rint(steps)).max() < 1e-6
        assert quantity.period or abs(values.mean()) < 0.02
        assert quantity.name == "azimuthAngle" or abs(values.std() - 1.0) < 0.02


def test_azimuths_keep_to_their_turn(sample: Callable[[str], Path]) -> None:
    source = opened(str(sample(f"crab_pass4/{next(iter(LISTS))}"))).train.source
    azimuth, quantity = source.columns["azimuthAngle"], QUANTITIES["azimuthAngle"]
    np.testing.assert_allclose(quantity.physical(quantity.scaled(azimuth)), azimuth, atol=1e-6)
