"""Which images are used: cuts on their parameters, written as expressions, and a count of what each cut removes.

The expressions are parsed into a tree and walked; nothing of them is ever executed.
"""

import ast
import difflib
import operator
from collections.abc import Callable
from dataclasses import dataclass
from functools import reduce
from typing import NoReturn

import numpy as np

from airshower.errors import UserError

Columns = dict[str, np.ndarray]

COMPARISONS = {
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
}
ARITHMETIC = {ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul, ast.Div: operator.truediv}
FUNCTIONS = {"abs": np.abs, "log10": np.log10}


@dataclass(frozen=True)
class Cut:
    """A condition on the columns `names`: `keeps(columns)` is bool [rows]. Comparing with a NaN is false."""

    text: str
    names: tuple[str, ...]
    condition: Callable[[Columns], np.ndarray]

    def keeps(self, columns: Columns) -> np.ndarray:
        """Which rows pass, bool [rows]; a name stands for the column f8 [rows]."""
        with np.errstate(divide="ignore", invalid="ignore"):
            return self.condition(columns)


def parse_cuts(text: str, key: str = "data.cuts") -> list[Cut]:
    """The cuts of an expression such as `hillas_intensity > 50 and leakage_pixels_width_2 < 0.2`, one for each part
    that `and` joins; none for an empty one.

    It has names, numbers, comparisons, and, or, not, + - * /, abs() and log10(). Raises `UserError` naming `key` and
    the character where anything else stands.
    """
    if not text.strip():
        return []
    try:
        tree = ast.parse(text.strip(), mode="eval").body
        parts = tree.values if isinstance(tree, ast.BoolOp) and isinstance(tree.op, ast.And) else [tree]
        return [_Parser(text.strip(), key).cut(part) for part in parts]
    except SyntaxError as error:
        raise UserError(f"{key}={text.strip()}: {error.msg} at character {error.offset or 1}") from None
    except (ValueError, RecursionError, MemoryError):
        raise UserError(f"{key}: is no expression that can be read") from None


def check_names(cuts: list[Cut], known: set[str], names: list[str], key: str = "data.cuts") -> None:
    """Raise `UserError` for the first name in the cuts that is not `known`, with the nearest of `names`."""
    for cut in cuts:
        for name in cut.names:
            if name not in known:
                near = difflib.get_close_matches(name, names, n=1)
                hint = f"did you mean {near[0]}? There are: " if near else "there are: "
                there = ", ".join(names) or "none, the files have no image parameters"
                raise UserError(
                    f"{key}={cut.text}: there is no column {name} (character {cut.text.index(name) + 1}); {hint}{there}"
                )


class _Parser:
    """Turns the tree of one expression into functions of the columns."""

    def __init__(self, text: str, key: str):
        self.text, self.key = text, key
        self.names: list[str] = []

    def cut(self, node: ast.expr) -> Cut:
        self.names = []
        condition = self.condition(node)
        if not self.names:
            self._refuse(node, "names no column")
        return Cut(ast.get_source_segment(self.text, node) or self.text, tuple(dict.fromkeys(self.names)), condition)

    def condition(self, node: ast.expr) -> Callable[[Columns], np.ndarray]:
        match node:
            case ast.BoolOp(op, values):
                join = np.logical_and if isinstance(op, ast.And) else np.logical_or
                parts = [self.condition(value) for value in values]
                return lambda columns: reduce(join, [part(columns) for part in parts])
            case ast.UnaryOp(ast.Not(), operand):
                inner = self.condition(operand)
                return lambda columns: ~inner(columns)
            case ast.Compare(left, ops, comparators):
                if any(type(op) not in COMPARISONS for op in ops):
                    self._refuse(node, "numbers are compared by > >= < <= == !=")
                numbers = [self.number(value) for value in (left, *comparators)]
                tests = [COMPARISONS[type(op)] for op in ops]
                return lambda columns: _chained([number(columns) for number in numbers], tests)
        return self._refuse(node, "a condition is needed here, such as hillas_intensity > 50")

    def number(self, node: ast.expr) -> Callable[[Columns], np.ndarray]:
        match node:
            case ast.Constant(int() | float() as value) if not isinstance(value, bool):
                return lambda columns: np.float64(value)
            case ast.Name(name):
                self.names.append(name)
                return lambda columns: columns[name]
            case ast.UnaryOp(ast.USub() | ast.UAdd() as sign, operand):
                inner, factor = self.number(operand), -1.0 if isinstance(sign, ast.USub) else 1.0
                return lambda columns: factor * inner(columns)
            case ast.BinOp(left, op, right) if type(op) in ARITHMETIC:
                one, other, combine = self.number(left), self.number(right), ARITHMETIC[type(op)]
                return lambda columns: combine(one(columns), other(columns))
            case ast.Call(ast.Name(name), [argument], []) if name in FUNCTIONS:
                inner, function = self.number(argument), FUNCTIONS[name]
                return lambda columns: function(inner(columns))
        return self._refuse(node, "a number is needed here: of names, numbers, + - * /, abs() and log10()")

    def _refuse(self, node: ast.expr, reason: str) -> NoReturn:
        there = ast.get_source_segment(self.text, node)
        raise UserError(f"{self.key}={self.text}: '{there}' at character {node.col_offset + 1}: {reason}")


def _chained(values: list[np.ndarray], tests: list[Callable]) -> np.ndarray:
    return reduce(np.logical_and, [test(a, b) for test, a, b in zip(tests, values, values[1:], strict=False)])


class CutFlow:
    """How many images and events there were, and how many each cut removed, summed over files."""

    def __init__(self) -> None:
        self.images = self.events = 0
        self.removed: dict[str, tuple[int, int]] = {}

    def add(self, name: str, images: int, events: int) -> None:
        """A cut removed this many images and this many events."""
        before = self.removed.get(name, (0, 0))
        self.removed[name] = before[0] + images, before[1] + events

    @property
    def left(self) -> tuple[int, int]:
        """Images and events that passed all cuts."""
        images, events = (sum(counts[i] for counts in self.removed.values()) for i in (0, 1))
        return self.images - images, self.events - events

    def __str__(self) -> str:
        cuts = [f"{name} removed {n} ({m} events)" for name, (n, m) in self.removed.items() if n or m]
        return "; ".join([f"{self.images} images of {self.events} events", *cuts])


class Selector:
    """Narrows down the images of one file, cut by cut, and counts in a `CutFlow` that other files share.

    `event` int64 [images] is the row of each image's event, of `events` in all; `kept` bool [images] what is left.
    An event is left while one of its images is.
    """

    def __init__(self, event: np.ndarray, events: int, flow: CutFlow):
        self.event, self.flow = event, flow
        self.kept = np.ones(len(event), bool)
        flow.images, flow.events = flow.images + len(event), flow.events + events
        flow.add("having no image", 0, events - self._count())

    def cut(self, name: str, keep: np.ndarray) -> None:
        """Remove the images where `keep` (bool [images]) is false."""
        images, events = int(self.kept.sum()), self._count()
        self.kept = self.kept & keep
        self.flow.add(name, images - int(self.kept.sum()), events - self._count())

    def cut_multiplicity(self, least: int) -> None:
        """Remove events of which less than `least` images are left."""
        if least > 1 and len(self.event):
            images = np.bincount(self.event[self.kept], minlength=self.event.max() + 1)
            self.cut(f"multiplicity {least}", images[self.event] >= least)

    def _count(self) -> int:
        return len(np.unique(self.event[self.kept]))
