"""The comparison of generated with reference events as `metrics.json` and figures."""

from pathlib import Path
from typing import Any

from airshower.runtime.log import logger
from airshower.statistics.roc import roc_curve
from airshower.tasks.generation.judgement.closure import Closure
from airshower.tasks.generation.judgement.judge import Differences, Judgement, Memorisation, cumulative_metric, judge
from airshower.tasks.generation.judgement.sample import Events
from airshower.tasks.generation.judgement.transfer import KINDS, Transfer
from airshower.writers import figures
from airshower.writers import generation_figures as drawing
from airshower.writers.tables import write_metrics

CLASSIFIER_LABELS = {
    "classifier_AUC_of_images": "images",
    "classifier_AUC": "parameters",
    "classifier_AUC_with_conditions": "with conditions",
}
"""The inputs of each classifier, keyed by metric."""


def write_judgement(
    reference: Events, generated: Events, training: Events, most: int, folder: Path, metrics: dict[str, float]
) -> list[Path]:
    """Compares generated with reference events, and writes figures and `metrics.json`, which includes `metrics`, into
    `folder`. Returns the paths of the figures."""
    judgement = judge(reference, generated, training, most)
    write_metrics(folder / "metrics.json", _record(reference, generated, judgement, metrics))
    for name in judgement.metrics:
        logger.info("  %-34s %s", name, judgement.text(name))
    drawn = _figures(reference, generated, judgement)
    return [figures.save(figure, folder / "figures" / f"{name}.png") for name, figure in drawn.items()]


def _record(reference: Events, generated: Events, judgement: Judgement, metrics: dict[str, float]) -> dict[str, Any]:
    """`floors` and errors have the names of the metrics that they belong to."""
    floor = judgement.floor or Differences()
    other = judgement.generated
    real_events, events, training_events = judgement.events
    record: dict[str, Any] = {
        "events": events, "real_events": real_events, "training_events": training_events,
        "metrics": metrics | judgement.metrics, "errors": other.errors,
        "floors": floor.values, "floor_errors": floor.errors,
        "curves": [curve.record() for closure in other.closures for curve in closure.curves()],
    }  # fmt: skip
    if judgement.enough:
        correlations = {"real": reference.correlations.tolist(), "generated": generated.correlations.tolist()}
        record["correlations"] = {"features": reference.feature_names, **correlations}
    return record


def _figures(reference: Events, generated: Events, judgement: Judgement) -> dict[str, figures.Figure]:
    both = reference.parameters, generated.parameters
    metrics = [cumulative_metric(quantity) for quantity in reference.parameters.quantities]
    texts = [f"{metric.split('/')[0]} {judgement.text(metric)}" for metric in metrics]
    drawn = {
        "distributions": drawing.histograms(*both),
        "cumulative": drawing.cumulative(*both, texts),
    }
    if judgement.enough:
        matrices = reference.correlations, generated.correlations
        drawn["correlations"] = drawing.correlation_figure(reference.feature_names, *matrices)
        floors = _rocs("training events, ", judgement.floor) if judgement.floor else []
        drawn["classifier"] = drawing.classifier_figure(_rocs("", judgement.generated), floors)
    for closure in judgement.generated.closures:
        drawn[f"closure_{closure.condition.name}"] = _closure(closure)
    if judgement.memorisation:
        drawn["nearest_training_events"] = _nearest(judgement.memorisation)
    if judgement.transfer:
        drawn["gamma_hadron"] = _transfer(judgement.transfer)
    return drawn


def _rocs(prefix: str, differences: Differences) -> list[drawing.Roc]:
    areas = {
        name: f"AUC {differences.values[name]:.3f} ± {differences.errors[name]:.3f}" for name in differences.scores
    }
    return [
        drawing.Roc(prefix + CLASSIFIER_LABELS[name], *scores, areas[name])
        for name, scores in differences.scores.items()
    ]


def _closure(closure: Closure) -> figures.Figure:
    shown = [moments.directed for moments in closure.reference]
    reference, other = (
        [moments.band(directed) for moments, directed in zip(side, shown, strict=True)]
        for side in (closure.reference, closure.other)
    )
    quantities = [moments.quantity for moments in closure.reference]
    return drawing.closure_figure(closure.condition, closure.edges, quantities, reference, other)


def _nearest(memorisation: Memorisation) -> figures.Figure:
    ratio, share = memorisation.metrics().values()
    text = f"ratio of medians {ratio:.3f}; {100 * share:.2f} % of generated are nearer than the line"
    return drawing.nearest_figure(memorisation.reference, memorisation.generated, memorisation.near, text)


def _transfer(transfer: Transfer) -> figures.Figure:
    areas = transfer.areas().values()
    names = [f"{kind}: AUC {area.value:.3f} ± {area.error:.3f}" for kind, area in zip(KINDS, areas, strict=True)]
    curves = [roc_curve(signal, background) for background, signal in (transfer.reference, transfer.generated)]
    return drawing.transfer_figure(
        transfer.classes, transfer.reference, transfer.generated, dict(zip(names, curves, strict=True))
    )
