"""Option sets: every pair of values, in far fewer sets than all combinations."""

from itertools import combinations, product

from tests.pairwise import pairwise


def test_every_pair_of_values_occurs() -> None:
    choices = {"a": [1, 2, 3], "b": ["x", "y"], "c": [True, False], "d": [None, 0, 1, 2]}
    names, rows = pairwise("b", **choices).args
    assert names == ("b", "options")
    cases = [{"b": b, **options} for b, options in rows]
    for one, other in combinations(choices, 2):
        for pair in product(choices[one], choices[other]):
            assert any((case[one], case[other]) == pair and case.keys() == choices.keys() for case in cases)
    assert len(cases) <= 16
