"""Values of events in words: numbers with units, and the truth of an event in a line."""

import math

import numpy as np

from airshower.data.spec import Spec
from airshower.data.truth import CLASS, DIRECTION, NUMBER, Column, Columns

DIGITS = 4  # significant ones


def number_text(value: float, unit: str = "") -> str:
    """A value with its unit, without an exponent where that is short; a dash for NaN."""
    if not math.isfinite(value):
        text = "–" if math.isnan(value) else str(value)
    elif value == 0 or 1e-3 <= abs(value) < 1e7:
        digits = max(DIGITS - 1 - math.floor(math.log10(abs(value) or 1)), 0)
        text = f"{value:,.{digits}f}"
        text = text.rstrip("0").rstrip(".") if "." in text else text
    else:
        text = f"{value:.{DIGITS - 1}g}"
    return f"{text} {unit}" if unit else text


def truth_text(spec: Spec, truth: Columns, row: int) -> str:
    """The truth of one event in words, such as "gamma, energy 1.2 TeV, core (12, -40) m"; empty without truth. Values
    that are not known are left out, and positions in several images, too."""
    words = (_words(column, truth[column.name][row]) for column in spec.truth if column.name in truth)
    return ", ".join(filter(None, words))


def _words(column: Column, value: np.ndarray) -> str:
    if column.kind == CLASS:
        return column.classes[int(value)] if value >= 0 else f"{column.name} of no class"
    if not np.isfinite(value).all() or np.ndim(value) > 1:
        return ""
    if column.kind == NUMBER:
        return f"{column.name} {number_text(float(value), column.unit)}"
    if column.kind == DIRECTION:
        altitude, azimuth = np.degrees(value)
        return f"{column.name}: altitude {altitude:.2f}°, azimuth {azimuth:.2f}°"
    return f"{column.name} ({', '.join(number_text(float(part)) for part in value)}) {column.unit}".rstrip()
