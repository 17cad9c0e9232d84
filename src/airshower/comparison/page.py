"""The page of a comparison: one HTML file with its figures, style and script inside."""

import math
from pathlib import Path
from typing import Any

from markupsafe import Markup

from airshower.comparison.curves import COLOURS
from airshower.comparison.table import HIGHER, LOWER, ZERO, Comparison
from airshower.writers import page as writers_page

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
    abouts = comparison.about()
    names = [run.name for run in comparison.runs]
    return writers_page.page(
        Path(__file__).parent / "templates" / "page.html",
        GENERATOR,
        f"{len(names)} runs compared" if len(names) > 1 else names[0],
        notes_title="Before comparing",
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
        sortable=_sortable,
    )


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
