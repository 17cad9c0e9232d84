"""Specs as plain values: what comes back is what went in, and nothing else is built."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch

from airshower.data.described import described, restored
from airshower.data.quantity import Quantity
from airshower.data.spec import ImagesSpec, Spec, TableSpec
from airshower.data.truth import CLASS, Column
from airshower.errors import DataError
from tests.networks.telescopes.arrays import SPEC

QUANTITY = Quantity("energy", "TeV", 1.0, 2.0, logarithmic=True, names=("a", "b"))
PLACES = np.arange(12.0).reshape(4, 3)
IMAGES = ImagesSpec((QUANTITY,), PLACES, np.array([[0, 0], [0, 1], [1, 0], [1, 1]]), np.array([[0, 1], [2, 3]]))
TANKS = Spec(
    {"images": IMAGES, "parameters": TableSpec((QUANTITY,))},
    (Column("primary", CLASS, classes=("gamma", "proton")),),
    frozenset({"primary"}),
)


@pytest.mark.parametrize("spec", [SPEC, TANKS])
def test_specs_come_back_from_a_file(spec: Spec, tmp_path: Path) -> None:
    torch.save(described(spec), tmp_path / "spec")
    back = restored(torch.load(tmp_path / "spec", weights_only=True), {"airshower"})
    assert type(back) is type(spec)
    assert (back.truth, back.known, back.ids) == (spec.truth, spec.known, spec.ids)
    assert repr(described(back)) == repr(described(spec))


def test_arrays_keep_their_types() -> None:
    back = restored(described(TANKS), {"airshower"})["images"]
    assert back.position.dtype == np.float64
    assert back.pmt.dtype == np.int64
    np.testing.assert_array_equal(back.position, PLACES)
    assert back.channels == (QUANTITY,)


@dataclass
class Loose:
    """Not frozen: no description of data."""

    number: int = 1


@pytest.mark.parametrize(
    "node",
    [
        {"class": "os.system", "fields": {}},
        {"class": "airshower.errors.UserError", "fields": {}},
        {"class": "airshower.nothing.Here", "fields": {}},
        {"class": "airshower.data.quantity.Quantity", "fields": {"name": "x", "other": 1}},
        {"class": f"{Loose.__module__}.Loose", "fields": {}},
        {"tuple": [1], "list": [2]},
        {"other": 1},
        object(),
    ],
)
def test_what_is_no_description_is_refused(node: object) -> None:
    with pytest.raises(DataError):
        restored(node, {"airshower", "tests"})


def test_what_has_no_description_is_a_programmers_mistake() -> None:
    with pytest.raises(TypeError, match="object has no description"):
        described(object())
