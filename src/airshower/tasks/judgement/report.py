"""How generated events were judged, as `metrics.json` and figures."""

from pathlib import Path
from typing import Any

from airshower.runtime.log import logger
from airshower.tasks.judgement.closure import Closure
from airshower.tasks.judgement.judge import Differences, Judgement, Memorisation, cumulative_metric, judge
from airshower.tasks.judgement.sample import Events
from airshower.tasks.judgement.transfer import KINDS, Transfer
from airshower.tasks.shower_metrics import roc_curve
from airshower.writers import figures
from airshower.writers import generation_figures as drawing
from airshower.writers.tables import write_metrics

SEEN = {
    "classifier_AUC_of_images": "images",
    "classifier_AUC": "parameters",
    "classifier_AUC_with_conditions": "with conditions",
}
"""What a classifier is given, by its metric."""


def write_judgement(
    real: Events, generated: Events, training: Events, most: int, folder: Path, metrics: dict[str, float]
) -> list[Path]:
    """Judges generated events and writes `metrics.json`, with other `metrics` in it, and figures into `folder`; returns
    the figures."""
    judgement = judge(real, generated, training, most)
    write_metrics(folder / "metrics.json", _record(real, generated, judgement, metrics))
    for name in judgement.metrics:
        logger.info("  %-34s %s", name, judgement.said(name))
    drawn = _figures(real, generated, judgement)
    return [figures.save(figure, folder / "figures" / f"{name}.png") for name, figure in drawn.items()]


def _record(real: Events, generated: Events, judgement: Judgement, metrics: dict[str, float]) -> dict[str, Any]:
    """`floors` and errors have the names of the metrics that they belong to."""
    floor, made = judgement.floor or Differences(), judgement.generated
    real_events, events, training_events = judgement.events
    record: dict[str, Any] = {
        "events": events, "real_events": real_events, "training_events": training_events,
        "metrics": metrics | judgement.metrics, "errors": made.errors,
        "floors": floor.values, "floor_errors": floor.errors,
        "curves": [curve.record() for closure in made.closures for curve in closure.curves()],
    }  # fmt: skip
    if judgement.enough:
        correlations = {"real": real.correlations.tolist(), "generated": generated.correlations.tolist()}
        record["correlations"] = {"features": real.feature_names, **correlations}
    return record


def _figures(real: Events, generated: Events, judgement: Judgement) -> dict[str, figures.Figure]:
    both = real.parameters, generated.parameters
    metrics = [cumulative_metric(quantity) for quantity in real.parameters.quantities]
    texts = [f"{metric.split('/')[0]} {judgement.said(metric)}" for metric in metrics]
    drawn = {
        "distributions": drawing.histograms(*both),
        "cumulative": drawing.cumulative(*both, texts),
    }
    if judgement.enough:
        matrices = real.correlations, generated.correlations
        drawn["correlations"] = drawing.correlation_figure(real.feature_names, *matrices)
        floors = _rocs("training events, ", judgement.floor) if judgement.floor else []
        drawn["classifier"] = drawing.classifier_figure(_rocs("", judgement.generated), floors)
    for closure in judgement.generated.closures:
        drawn[f"closure_{closure.condition.name}"] = _closure(closure)
    if judgement.memorisation:
        drawn["nearest_training_events"] = _nearest(judgement.memorisation)
    if judgement.transfer:
        drawn["gamma_hadron"] = _transfer(judgement.transfer)
    return drawn


def _rocs(prefix: str, found: Differences) -> list[drawing.Roc]:
    areas = {name: f"AUC {found.values[name]:.3f} ± {found.errors[name]:.3f}" for name in found.scores}
    return [drawing.Roc(prefix + SEEN[name], *scores, areas[name]) for name, scores in found.scores.items()]


def _closure(closure: Closure) -> figures.Figure:
    shown = [moments.directed for moments in closure.real]
    real, other = (
        [moments.band(there) for moments, there in zip(side, shown, strict=True)]
        for side in (closure.real, closure.other)
    )
    quantities = [moments.quantity for moments in closure.real]
    return drawing.closure_figure(closure.condition, closure.edges, quantities, real, other)


def _nearest(found: Memorisation) -> figures.Figure:
    ratio, share = found.metrics().values()
    text = f"ratio of medians {ratio:.3f}; {100 * share:.2f} % of generated are nearer than the line"
    return drawing.nearest_figure(found.real, found.generated, found.near, text)


def _transfer(found: Transfer) -> figures.Figure:
    areas = found.areas().values()
    names = [f"{kind}: AUC {area.value:.3f} ± {area.error:.3f}" for kind, area in zip(KINDS, areas, strict=True)]
    curves = [roc_curve(signal, background) for background, signal in (found.real, found.generated)]
    return drawing.transfer_figure(found.classes, found.real, found.generated, dict(zip(names, curves, strict=True)))
