"""A number with its statistical error."""

from typing import NamedTuple


class Measured(NamedTuple):
    """A number and its standard error, in one unit."""

    value: float
    error: float
