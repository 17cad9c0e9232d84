"""Names in cuts, as files have them."""

import numpy as np
import pytest

from airshower.data.cuts import check_names, parse_cuts
from airshower.errors import UserError

COLUMNS = {"a.b.c.d": np.array([1.0, 5.0, -3.0]), "HAWCSim.Evt.Num": np.array([7.0, 8.0, 9.0]), "a.b": np.zeros(3)}


@pytest.mark.parametrize(
    ("text", "names", "kept"),
    [
        ("HAWCSim.Evt.Num > 7", ("HAWCSim.Evt.Num",), [False, True, True]),
        ("7 < HAWCSim.Evt.Num < 9", ("HAWCSim.Evt.Num",), [False, True, False]),
        ("abs(a.b.c.d) >= 3 or a.b != 0", ("a.b.c.d", "a.b"), [False, True, True]),
        ("-a.b.c.d * 2 + HAWCSim.Evt.Num > 0", ("a.b.c.d", "HAWCSim.Evt.Num"), [True, False, True]),
        ("a . b.c. d == 5", ("a.b.c.d",), [False, True, False]),
    ],
)
def test_names_have_any_number_of_dots(text: str, names: tuple[str, ...], kept: list[bool]) -> None:
    (cut,) = parse_cuts(text)
    assert cut.names == names
    assert cut.keeps(COLUMNS).tolist() == kept


@pytest.mark.parametrize(
    ("text", "name", "kept"),
    [
        ("HAWCSim.Evt.class > 7", "HAWCSim.Evt.class", [False, True, True]),
        ("not rec.lambda <= 8. and 1 < 2 * rec.lambda", "rec.lambda", [False, False, True]),
        ("a.if.b<8 or a.if.b>8", "a.if.b", [True, False, True]),
        ("rec.None == 7", "rec.None", [True, False, False]),
        ("not.is.or > 1. and not.is.or < 9", "not.is.or", [True, True, False]),
        ("(rec.in) == 7", "rec.in", [True, False, False]),
    ],
)
def test_parts_of_names_may_be_keywords_of_python(text: str, name: str, kept: list[bool]) -> None:
    cuts = parse_cuts(text)
    assert {cut.names for cut in cuts} == {(name,)}
    columns = {name: COLUMNS["HAWCSim.Evt.Num"]}
    assert np.logical_and.reduce([cut.keeps(columns) for cut in cuts]).tolist() == kept


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a.if.b > 1 and 3", "data.cuts=a.if.b > 1 and 3: '3' at character 16: a condition is needed"),
        ("1 < 2 * rec.class ** 2", "'rec.class ** 2' at character 9: a number is needed"),
        ("rec.class > 1 and", "data.cuts=rec.class > 1 and: invalid syntax at character 18"),
    ],
)
def test_what_is_wrong_beside_such_a_name_is_told_with_its_place(text: str, said: str) -> None:
    with pytest.raises(UserError) as error:
        parse_cuts(text)
    assert said in str(error.value)


def test_a_name_of_three_levels_that_is_missing_is_answered_by_the_nearest() -> None:
    with pytest.raises(UserError, match=r"no column HAWCSim.Evt.Nun \(character 1\); did you mean HAWCSim.Evt.Num\?"):
        check_names(parse_cuts("HAWCSim.Evt.Nun > 3"), set(COLUMNS), list(COLUMNS))


def test_whole_numbers_are_compared_exactly() -> None:
    """In f8, the numbers beside 2^60 are 2^60."""
    columns = {"a": 2**60 + np.arange(4), "b": 2**60 + np.array([1, 1, 1, 3]), "x": np.array([0.5, 1.0, 1.5, 2.0])}
    for text, kept in (
        (f"a == {2**60 + 1}", [False, True, False, False]),
        (f"{2**60} < a <= {2**60 + 2}", [False, True, True, False]),
        ("a == b", [False, True, False, True]),
        (f"a < {2**63} and a < {2**64}", [True] * 4),
        ("a * a > 1e36", [True] * 4),
        ("x >= 1", [False, True, True, True]),
        ("x == 3 / 2", [False, False, True, False]),
    ):
        assert np.logical_and.reduce([cut.keeps(columns) for cut in parse_cuts(text)]).tolist() == kept, text
