"""Kinds of generated events, keyed by container: view, report and display."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from airshower.data.spec import ImagesSpec, Spec
from airshower.tasks.generation.image_report import SHOWN, ImageReport
from airshower.tasks.generation.report import GenerationReport
from airshower.tasks.generation.views import ImageView, TableView, View
from airshower.writers.figures import Figure
from airshower.writers.generation_figures import histograms
from airshower.writers.image_figures import image_grid


@dataclass(frozen=True)
class Kind:
    """`view` is built from a spec and a container's name; `display` draws (view, recorded events, generated ones)."""

    view: Callable[[Spec, str], View]
    report: type[GenerationReport]
    display: Callable[[Any, Tensor, Tensor], Figure]


def table_display(view: TableView, recorded: Tensor, generated: Tensor) -> Figure:
    """Histograms of both."""
    return histograms(view.table(recorded), view.table(generated))


def image_display(view: ImageView, recorded: Tensor, generated: Tensor) -> Figure:
    """The first few images of both."""
    reference, drawn = (images[:SHOWN].cpu().numpy() for images in (recorded, generated))
    return image_grid(view.spec.channels, view.spec.dead, reference, drawn)


TABLES = Kind(TableView, GenerationReport, table_display)
IMAGES = Kind(ImageView, ImageReport, image_display)


def kind_of(spec: Spec, name: str) -> Kind:
    """The kind of the events in the container of this name."""
    return IMAGES if isinstance(spec[name], ImagesSpec) else TABLES
