"""The page of a comparison: one HTML file with its figures, style and script inside."""

import math
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

from airshower import __version__
from airshower.writers.comparison.curves import COLOURS
from airshower.writers.comparison.table import HIGHER, LOWER, ZERO, Comparison

GENERATOR = "airshower compare"
ARROWS = {HIGHER: "↑", LOWER: "↓", ZERO: "→0"}
NUMBERS = ("weights", "step", "predicted at step", "entries")
SECTIONS = {
    "performance": ("Performance", "Each figure of merit with its errors, as inference left it."),
    "scores": ("Scores", "From the scores of all events in predictions/events.csv."),
    "learning": (
        "Learning curves",
        "With dots: validation. Thin: training; long runs are drawn as means of stretches of steps.",
    ),
}
Drawn = tuple[str, str, str]
"""Section, name and SVG of a figure."""


def page(comparison: Comparison, drawn: list[Drawn]) -> str:
    """The whole page. All but the drawings, the style and the script is escaped."""
    folder = Path(__file__).parent / "templates"
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(folder), autoescape=True, undefined=jinja2.StrictUndefined,
        trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    style, script = (Markup((folder / name).read_text(encoding="utf-8")) for name in ("page.css", "page.js"))
    abouts, names = comparison.about(), [run.name for run in comparison.runs]
    return environment.get_template("page.html").render(
        generator=GENERATOR,
        title=f"{len(names)} runs compared" if len(names) > 1 else names[0],
        made=f"airshower {__version__}, {datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
        runs=comparison.runs,
        notes=comparison.notes(),
        abouts=abouts,
        about_columns={name: "number" if name in NUMBERS else "text" for name in abouts[0]},
        predicted=comparison.predicted,
        validated=comparison.validated,
        differences=comparison.differences,
        sections=_sections(drawn),
        colours=COLOURS,
        arrows=ARROWS,
        number=number,
        sortable=_sortable,
        style=style,
        script=script,
    )


def number(value: float) -> str:
    """For reading; a dash where there is none."""
    return f"{value:.4g}" if math.isfinite(value) else "–"


def _sortable(value: float, better: str) -> str:
    if not math.isfinite(value):
        return ""
    return repr(abs(value) if better == ZERO else value)


def _sections(drawn: list[Drawn]) -> list[dict[str, Any]]:
    return [
        {
            "title": title,
            "caption": caption,
            "drawings": [(name, Markup(svg)) for section, name, svg in drawn if section == key],
        }
        for key, (title, caption) in SECTIONS.items()
        if any(section == key for section, _, _ in drawn)
    ]
