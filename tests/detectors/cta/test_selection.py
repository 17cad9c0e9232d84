"""Cuts as expressions, what is said of those that are none, and the count of what they remove."""

import numpy as np
import pytest

from airshower.data.cuts import check_names, parse_cuts
from airshower.detectors.cta.selection import CutFlow, Selector
from airshower.errors import UserError

COLUMNS = {"size": np.array([10.0, 60.0, 200.0, np.nan]), "leakage": np.array([0.0, 0.3, 0.1, 0.5])}


def kept(text):
    """Rows of `COLUMNS` that all cuts keep."""
    return np.flatnonzero(np.logical_and.reduce([cut.keeps(COLUMNS) for cut in parse_cuts(text)])).tolist()


@pytest.mark.parametrize(
    ("text", "rows"),
    [
        ("size > 50", [1, 2]),
        ("size > 50 and leakage < 0.2", [2]),
        ("size > 50 or leakage == 0", [0, 1, 2]),
        ("not size > 50", [0, 3]),
        ("not (size > 50 or leakage > 0.4)", [0]),
        ("10 <= size < 200", [0, 1]),
        ("0.2 < leakage", [1, 3]),
        ("leakage != 0.1 and size >= 0", [0, 1]),
        ("log10(size) >= 2", [2]),
        ("abs(leakage - 0.2) < 0.11", [1, 2]),
        ("-leakage * 2 + 1 > 0.5", [0, 2]),
        ("size / leakage > 1000", [0, 2]),
        ("+size > 1e2", [2]),
        ("log10(size - 100) > 0", [2]),
        ("(1 < 2 or leakage > 1) and size > 50", [1, 2]),
    ],
)
def test_expressions(text, rows):
    assert kept(text) == rows


def test_parts_of_and_are_cuts_of_their_own():
    cuts = parse_cuts("  size > 50 and (leakage < 0.2 or size > 100) and not leakage > 1 ")
    assert [cut.text for cut in cuts] == ["size > 50", "leakage < 0.2 or size > 100", "not leakage > 1"]
    assert [cut.names for cut in cuts] == [("size",), ("leakage", "size"), ("leakage",)]
    assert parse_cuts("") == parse_cuts("  ") == []


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("size >", "invalid syntax at character"),
        ("size > 50 andleakage", "at character"),
        ("size", "'size' at character 1: a condition is needed here"),
        ("size + 3", "a condition is needed"),
        ("size > 50 and 3", "'3' at character 15: a condition is needed"),
        ("size > (leakage > 1)", "'leakage > 1' at character 9: a number is needed"),
        ("size > '50'", "at character 8: a number is needed"),
        ("size > True", "'True' at character 8: a number is needed"),
        ("size > 5j", "a number is needed"),
        ("size ** 2 > 5", r"'size \*\* 2' at character 1: a number is needed"),
        ("size in (1, 2)", r"'size in \(1, 2\)' at character 1: numbers are compared by > >="),
        ("size is 3", "numbers are compared by"),
        ("size > 3 and 1 < 2", "'1 < 2' at character 14: names no column"),
        ("sqrt(size) > 3", r"'sqrt\(size\)' at character 1: .*abs\(\) and log10\(\)"),
        ("abs(size, 2) > 3", "a number is needed"),
        ("abs(x=size) > 3", "a number is needed"),
        ("__import__('os').system('touch executed') > 0", "a number is needed"),
        ("(lambda: 1)() > 0", "a number is needed"),
        ("[size for size in (1,)][0] > 0", "a number is needed"),
        ("size().real > 0", "a number is needed"),
        ("(size + 1).real.imag > 0", "a number is needed"),
        ("size[0] > 0", "a number is needed"),
        ("(x := 3) > 0", "a number is needed"),
        ("size > 3; leakage > 2", "invalid syntax"),
        ("size > \x00", "data.cuts"),
        ("(" * 5000 + "size > 1" + ")" * 5000, "data.cuts"),
        ("-" * 100000 + "size > 1", "data.cuts"),
    ],
)
def test_what_is_no_cut(text, said, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=said) as error:
        parse_cuts(text)
    assert str(error.value).startswith("data.cuts")
    assert "\n" not in str(error.value)
    assert not list(tmp_path.iterdir())


def test_unknown_columns_are_named_with_a_near_one():
    cuts = parse_cuts("leakage < 1 and 3 < siz")
    check_names(cuts, {"leakage", "siz"}, [])
    with pytest.raises(UserError, match=r"3 < siz: there is no column siz \(character 5\); did you mean size\? .*size"):
        check_names(cuts, {"leakage", "size"}, ["leakage", "size"])
    with pytest.raises(UserError, match="there are: none, the files have no image parameters"):
        check_names(cuts, set(), [])


def test_the_cut_flow_counts_images_and_events_over_files():
    flow = CutFlow()
    for _ in range(2):
        selector = Selector(np.array([0, 0, 1, 2, 2, 2]), 4, flow)
        selector.cut("bright", np.array([1, 0, 0, 1, 1, 0], bool))
        selector.cut("all", np.ones(6, bool))
        selector.cut_multiplicity(2)
        assert selector.kept.tolist() == [False, False, False, True, True, False]
    assert (flow.images, flow.events, flow.left) == (12, 8, (4, 2))
    assert flow.removed == {"having no image": (0, 2), "bright": (6, 2), "all": (0, 0), "multiplicity 2": (2, 2)}
    assert str(flow) == (
        "12 images of 8 events; having no image removed 0 (2 events); bright removed 6 (2 events); "
        "multiplicity 2 removed 2 (2 events)"
    )


def test_a_selection_of_nothing():
    flow = CutFlow()
    selector = Selector(np.empty(0, np.int64), 3, flow)
    selector.cut_multiplicity(2)
    assert flow.left == (0, 0)
    assert CutFlow().left == (0, 0)


def test_names_may_have_a_dot() -> None:
    (cut,) = parse_cuts("log10(rec.nHit) > 2")
    assert cut.names == ("rec.nHit",)
    assert cut.keeps({"rec.nHit": np.array([10.0, 1000.0])}).tolist() == [False, True]
    with pytest.raises(UserError, match=r"no column rec.nHit \(character 7\); did you mean rec.nHits"):
        check_names([cut], {"rec.nHits"}, ["rec.nHits"])
