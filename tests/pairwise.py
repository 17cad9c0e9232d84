"""Sets of options that try every pair of values together."""

from collections.abc import Sequence
from itertools import combinations
from typing import Any

import pytest


def pairwise(*names: str, **choices: Sequence[Any]) -> pytest.MarkDecorator:
    """Parametrize a test over a few option sets, in which any two values of any two options occur together.

    `names` are options that the test takes as arguments of their own; all others are in its argument `options`.
    """
    cases, open_pairs = [], set(_pairs({name: range(len(values)) for name, values in choices.items()}))
    while open_pairs:
        case = dict(min(open_pairs))
        for name, values in choices.items():
            if name not in case:
                gains = [len(open_pairs & _of({**case, name: value})) for value in range(len(values))]
                case[name] = gains.index(max(gains))
        open_pairs -= _of(case)
        cases.append({name: values[case[name]] for name, values in choices.items()})
    rows = [
        (*(case[name] for name in names), {name: value for name, value in case.items() if name not in names})
        for case in cases
    ]
    return pytest.mark.parametrize((*names, "options"), rows, ids=[_label(case) for case in cases])


def _pairs(choices: dict[str, Sequence[int]]) -> list[tuple]:
    return [
        ((one, a), (other, b)) for one, other in combinations(choices, 2) for a in choices[one] for b in choices[other]
    ]


def _of(case: dict[str, int]) -> set[tuple]:
    """The pairs of a case, in the order in which `_pairs` names options."""
    return {pair for one, other in combinations(case.items(), 2) for pair in ((one, other), (other, one))}


def _label(case: dict[str, Any]) -> str:
    return ",".join(str(getattr(value, "__name__", value)) for value in case.values())
