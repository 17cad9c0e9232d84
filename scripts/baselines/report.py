"""What a baseline leaves: the files of a network's inference, for tools that lay runs beside each other."""

from pathlib import Path
from typing import Any

import numpy as np
from omegaconf import OmegaConf

from airshower.tasks.reconstruction import performance
from airshower.tasks.reconstruction.judged import Judged
from airshower.tasks.reconstruction.targets import Target
from airshower.writers.tables import write_events, write_metrics

RECONSTRUCTED = ("direction_separation", "energy_relative", "placement")
"""Errors of which the metrics say for what share of the signal there are any."""


def write(folder: Path, config: dict[str, Any], events: dict[str, np.ndarray], targets: dict[str, Target]) -> dict:
    """The folder of a run; returns the metrics. Errors are of gammas alone where there are any, and of the events about
    which the baseline says something."""
    classes = targets["type"].column.classes
    judged = [target.judged for target in targets.values()]
    signal = next((name for name in classes if "gamma" in name.split("+")), classes[0])
    errors = _errors(events, judged, signal)
    is_signal = events["true_type"] == signal
    metrics = performance.summary(errors, judged)
    if "auc" in metrics:
        metrics["AUC"] = metrics.pop("auc")
    for name in RECONSTRUCTED:
        if name in errors and is_signal.any():
            metrics[f"reconstructed/{name}"] = float(np.isfinite(errors[name][is_signal]).mean())
    curves = performance.curves(events, errors, judged, performance.ReportConfig().observables)
    record = {"events": len(is_signal), "metrics": metrics, "curves": [curve.record() for curve in curves]}
    predictions = folder / "predictions"
    predictions.mkdir(parents=True, exist_ok=True)
    (folder / "config.yaml").write_text(OmegaConf.to_yaml(OmegaConf.create(config)))
    write_metrics(predictions / "metrics.json", record)
    write_events(predictions / "events.csv", events)
    return metrics


def _errors(events: dict[str, np.ndarray], targets: list[Judged], signal: str) -> dict[str, np.ndarray]:
    """Those of all events, and of classification those of the events that have a score."""
    score = events.get(f"score_{signal}")
    scored = np.ones(len(events["entry"]), bool) if score is None else np.isfinite(score)
    errors = performance.event_errors(events, targets, signal, only_signal=True)
    if score is not None:
        with_score = {name: column[scored] for name, column in events.items()}
        errors["placement"] = np.full(len(scored), np.nan)
        errors["placement"][scored] = performance.event_errors(with_score, targets, signal, True)["placement"]
    return errors
