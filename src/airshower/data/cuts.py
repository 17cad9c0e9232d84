"""Cuts on columns of what a file says of its images or events, written as expressions.

The expressions are parsed into a tree and walked; nothing of them is ever executed.
"""

import ast
import difflib
import keyword
import operator
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import reduce
from typing import NoReturn

import numpy as np

from airshower.errors import UserError
from airshower.runtime.log import logger

Columns = dict[str, np.ndarray]
Numbers = np.ndarray | np.number

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
DOTTED = re.compile(r"(?<![\w.])[^\W\d]\w*(?:\.[^\W\d]\w*)+")


@dataclass(frozen=True)
class Cut:
    """A condition on the columns `names`: `keeps(columns)` is bool [rows]. Comparing with a NaN is false."""

    text: str
    names: tuple[str, ...]
    condition: Callable[[Columns], np.ndarray]

    def keeps(self, columns: Columns) -> np.ndarray:
        """Which rows pass, bool [rows]; a name stands for the column [rows]. A column of whole numbers is compared
        exactly with a whole number, or with another such column; arithmetic is in f8."""
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
        tree = ast.parse(DOTTED.sub(_without_keywords, text.strip()), mode="eval").body
        parts = tree.values if isinstance(tree, ast.BoolOp) and isinstance(tree.op, ast.And) else [tree]
        return [_Parser(text.strip(), key).cut(part) for part in parts]
    except SyntaxError as error:
        character = error.offset or len(text.strip()) + 1  # 0 is the end
        raise UserError(f"{key}={text.strip()}: {error.msg} at character {character}") from None
    except (ValueError, RecursionError, MemoryError):
        raise UserError(f"{key}: is no expression that can be read") from None


def check_names(cuts: list[Cut], known: set[str], names: list[str], key: str = "data.cuts") -> None:
    """Raise `UserError` for the first name in the cuts that is not `known`, with the nearest of `names`."""
    for cut in cuts:
        for name in cut.names:
            if name not in known:
                near = difflib.get_close_matches(name, names, n=1)
                hint = f"did you mean {near[0]}? There are: " if near else "there are: "
                listed = ", ".join(names) or "none, the files have no image parameters"
                raise UserError(
                    f"{key}={cut.text}: there is no column {name} (character {cut.text.find(name) + 1}); {hint}{listed}"
                )


def passing(tests: dict[str, np.ndarray], events: int, files: int) -> tuple[np.ndarray, dict[str, int]]:
    """Which of the events of n files pass all tests, bool [events] each, keyed by what they test; and how many each
    test removed, of those that remove any.

    A line in the log says so. Raises `UserError` if no event is left.
    """
    kept = np.ones(events, bool)
    removed: dict[str, int] = {}
    for name, passes in tests.items():
        if lost := int((kept & ~passes).sum()):
            removed[name] = lost
        kept &= passes
    text = "".join(f"; {name} removed {lost}" for name, lost in removed.items())
    if not kept.any():
        raise UserError(f"data: no event is left of the {events} of {files} files{text}")
    logger.info("data: %d events of %d files%s", events, files, text)
    return kept, removed


class _Parser:
    """Turns the tree of one expression into functions of the columns."""

    def __init__(self, text: str, key: str):
        self.text = text
        self.key = key
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
                numbers = [self.compared(value) for value in (left, *comparators)]
                tests = [COMPARISONS[type(op)] for op in ops]
                return lambda columns: _chained([number(columns) for number in numbers], tests)
        return self._refuse(node, "a condition is needed here, such as hillas_intensity > 50")

    def compared(self, node: ast.expr) -> Callable[[Columns], Numbers]:
        """As `number`, but whole numbers stay such."""
        match node:
            case ast.Constant(int() as value) if not isinstance(value, bool) and value < 2**63:
                return lambda columns: np.int64(value)
            case ast.Name() | ast.Attribute() if _is_name(node):
                name = self._named(node)
                return lambda columns: columns[name]
        return self.number(node)

    def number(self, node: ast.expr) -> Callable[[Columns], Numbers]:
        match node:
            case ast.Constant(int() | float() as value) if not isinstance(value, bool):
                return lambda columns: np.float64(value)
            case ast.Name() | ast.Attribute() if _is_name(node):
                name = self._named(node)
                return lambda columns: np.asarray(columns[name], np.float64)
            case ast.UnaryOp(ast.USub() | ast.UAdd() as sign, operand):
                inner = self.number(operand)
                factor = -1.0 if isinstance(sign, ast.USub) else 1.0
                return lambda columns: factor * inner(columns)
            case ast.BinOp(left, op, right) if type(op) in ARITHMETIC:
                one = self.number(left)
                other = self.number(right)
                combine = ARITHMETIC[type(op)]
                return lambda columns: combine(one(columns), other(columns))
            case ast.Call(ast.Name(name), [argument], []) if name in FUNCTIONS:
                inner = self.number(argument)
                function = FUNCTIONS[name]
                return lambda columns: function(inner(columns))
        return self._refuse(node, "a number is needed here: of names, numbers, + - * /, abs() and log10()")

    def _named(self, node: ast.expr) -> str:
        name = re.sub(r"[^\w.]", "", ast.get_source_segment(self.text, node) or "")  # HAWCSim . Evt.class
        self.names.append(name)
        return name

    def _refuse(self, node: ast.expr, reason: str) -> NoReturn:
        part = ast.get_source_segment(self.text, node)
        raise UserError(f"{self.key}={self.text}: '{part}' at character {node.col_offset + 1}: {reason}")


def _without_keywords(name: re.Match) -> str:
    """A dotted name, as long as it was, whose parts Python takes for names: HAWCSim.Evt.class as HAWCSim.Evt.clas_."""
    parts = name[0].split(".")
    return ".".join(part[:-1] + "_" if keyword.iskeyword(part) else part for part in parts)


def _is_name(node: ast.expr) -> bool:
    """True for a name of any number of parts with dots between."""
    while isinstance(node, ast.Attribute):
        node = node.value
    return isinstance(node, ast.Name)


def _chained(values: list[Numbers], tests: list[Callable]) -> np.ndarray:
    return reduce(np.logical_and, [test(a, b) for test, a, b in zip(tests, values, values[1:], strict=False)])
