"""The page of an inspection: tables, figures and events in one HTML file."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from markupsafe import Markup

from airshower.writers import page as writers_page
from airshower.writers.event_text import number_text
from airshower.writers.inspection.record import shape_text

TEMPLATE = Path(__file__).with_name("page.html")
GENERATOR = "airshower inspect"
SECTIONS = {
    "truth": ("Distributions of the truth", "Of all entries; by the first class, where there is one."),
    "inputs": ("Distributions of inputs", "Of the events that were read; a line for each plane or camera."),
}
Drawing = tuple[str, str, str]
"""Section, name and SVG of a figure."""


def page(
    title: str,
    report: dict[str, Any],
    drawings: Sequence[Drawing],
    displays: Sequence[tuple[str, Path]],
    provenance: dict[str, Any],
) -> str:
    """The page of a report, with drawings, and displays of events (caption and PNG)."""
    sections = [
        {"title": name, "caption": caption, "drawings": [(n, Markup(svg)) for of, n, svg in drawings if of == key]}
        for key, (name, caption) in SECTIONS.items()
        if any(of == key for of, _, _ in drawings)
    ]
    return writers_page.page(
        TEMPLATE,
        GENERATOR,
        title,
        notes_title="Worth a look",
        notes=report["remarks"],
        number_text=number_text,
        shape_text=shape_text,
        report=report,
        truth=truth_rows(report["truth"]),
        inputs=input_rows(report["inputs"]),
        sections=sections,
        displays=[(caption, writers_page.embedded(png)) for caption, png in displays],
        provenance=provenance,
    )


def truth_rows(truth: dict[str, Any]) -> list[dict[str, Any]]:
    """A row for each number of the truth that is no class: name, unit, missing values, range, mean, quantiles."""
    return [
        {"name": name if part == name else f"{name}: {part}", **about}
        for name, column in truth.items()
        for part, about in column.get("parts", {}).items()
    ]


def input_rows(inputs: dict[str, Any]) -> list[dict[str, Any]]:
    """A row for each channel that is no class."""
    return [
        {"name": f"{container}: {name}", **channel}
        for container, about in inputs.items()
        for name, channel in about["channels"].items()
        if "classes" not in channel
    ]
