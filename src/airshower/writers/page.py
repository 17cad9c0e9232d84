"""Pages: one HTML file each with figures, style and script inside, which opens without a network."""

import base64
import io
import math
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

from airshower import __version__
from airshower.writers.figures import Figure

SHARED = Path(__file__).parent / "templates"


def page(template: Path, generator: str, title: str, **values: Any) -> str:
    """The page that a template makes, which extends `base.html`, as text. All values but `Markup` are escaped."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader([template.parent, SHARED]), autoescape=True, undefined=jinja2.StrictUndefined,
        trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    style, script = (Markup((SHARED / name).read_text(encoding="utf-8")) for name in ("page.css", "page.js"))
    made = f"airshower {__version__}, {datetime.now(UTC):%Y-%m-%d %H:%M} UTC"
    return environment.get_template(template.name).render(
        generator=generator, title=title, made=made, style=style, script=script, number=number, **values
    )


def number(value: float | None) -> str:
    """A value as text; a dash for None and for what is not finite."""
    return "–" if value is None or not math.isfinite(value) else f"{value:.4g}"


def svg(figure: Figure, name: str) -> str:
    """The figure as SVG: black becomes the text's colour; ids follow from `name`."""
    import matplotlib

    text = io.StringIO()
    nothing = dict.fromkeys(("Creator", "Date", "Format", "Type"))
    with matplotlib.rc_context({"svg.hashsalt": name}):
        figure.savefig(text, format="svg", transparent=True, metadata=nothing)
    drawn = text.getvalue()
    return drawn[drawn.index("<svg") :].replace("#000000", "currentColor")


def embedded(png: Path) -> str:
    """The address of an image that is in the page itself."""
    return f"data:image/png;base64,{base64.b64encode(png.read_bytes()).decode()}"
