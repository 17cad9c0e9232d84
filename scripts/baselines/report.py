"""What a baseline leaves: the files of a network's inference, for tools that lay runs beside each other."""

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np

from airshower.tasks.shower_metrics import (
    angular_resolution,
    angular_separation,
    binned,
    energy_bias,
    energy_resolution,
    log_edges,
)

BOOTSTRAPS = 100
MERITS = {
    "angular_resolution": ("separation", angular_resolution, "angular resolution", "deg"),
    "energy_resolution": ("relative_energy", energy_resolution, "energy resolution", ""),
    "energy_bias": ("relative_energy", energy_bias, "energy bias", ""),
    "core_resolution": ("distance", angular_resolution, "core resolution", "m"),
}
"""Of which errors each figure of merit is made, by what, its label and its unit."""


def write(folder: Path, config: dict[str, Any], events: dict[str, np.ndarray], classes: tuple[str, ...]) -> dict:
    """The folder of a run; returns the metrics. Errors are of gammas alone where there are any."""
    from omegaconf import OmegaConf

    signal = next((name for name in classes if "gamma" in name.split("+")), classes[0])
    chosen = (events["true_type"] == signal) & (events["true_energy"] > 0)
    energy, errors = events["true_energy"][chosen], {}
    for name, column in event_errors(events).items():
        errors[name] = column[chosen]
    metrics = {}
    for name, (of, statistic, *_) in MERITS.items():
        there = np.isfinite(errors[of])
        metrics[name] = statistic(errors[of][there])
        metrics[f"reconstructed/{of}"] = float(there.mean()) if len(there) else np.nan
    if f"score_{signal}" in events:
        metrics |= separation_power(events[f"score_{signal}"], events["true_type"] == signal)
    record = {"events": len(events["entry"]), "metrics": metrics, "curves": curves(energy, errors)}
    (folder / "predictions").mkdir(parents=True, exist_ok=True)
    (folder / "config.yaml").write_text(OmegaConf.to_yaml(OmegaConf.create(config)))
    (folder / "predictions" / "metrics.json").write_text(json.dumps(_no_nan(record), indent=1) + "\n")
    with open(folder / "predictions" / "events.csv", "w", newline="") as handle:
        writer = csv.writer(handle, lineterminator="\n")
        writer.writerow(events)
        for row in zip(*events.values(), strict=True):
            writer.writerow(f"{cell:.8g}" if isinstance(cell, np.floating) else cell for cell in row)
    return metrics


def event_errors(events: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Of each event: `separation` in deg, `relative_energy`, `distance` of the core in m."""
    angle = angular_separation(events["true_alt"], events["true_az"], events["alt"], events["az"])
    return {
        "separation": np.degrees(angle),
        "relative_energy": events["energy"] / events["true_energy"] - 1.0,
        "distance": np.hypot(*(events[f"core_{axis}"] - events[f"true_core_{axis}"] for axis in "xy")),
    }


def separation_power(score: np.ndarray, is_signal: np.ndarray) -> dict[str, float]:
    """Area under the ROC curve of the events that have a score, and its standard error by bootstrap."""
    from sklearn.metrics import roc_auc_score

    there = np.isfinite(score)
    score, is_signal = score[there], is_signal[there]
    if not 0 < is_signal.sum() < len(score):
        return {"AUC": np.nan, "AUC/error": np.nan}
    generator = np.random.default_rng(0)
    groups = np.flatnonzero(is_signal), np.flatnonzero(~is_signal)
    drawn = [np.concatenate([generator.choice(rows, len(rows)) for rows in groups]) for _ in range(BOOTSTRAPS)]
    spread = np.std([roc_auc_score(is_signal[rows], score[rows]) for rows in drawn], ddof=1)
    return {"AUC": float(roc_auc_score(is_signal, score)), "AUC/error": float(spread)}


def curves(energy: np.ndarray, errors: dict[str, np.ndarray]) -> list[dict[str, Any]]:
    """Each figure of merit in bins of true energy."""
    found = []
    for name, (of, statistic, label, unit) in MERITS.items():
        there = np.isfinite(errors[of])
        if there.any():
            edges = log_edges(energy[there])
            value, error, events = binned(energy[there], errors[of][there], edges, statistic)
            arrays = {"edges": edges, "value": value, "error": error, "events": events}
            against = {"against": "true_energy", "against_label": "true energy", "against_unit": "TeV", "log": True}
            lists = {key: array.tolist() for key, array in arrays.items()}
            found.append({"name": name, "label": label, "unit": unit, **against, **lists})
    return found


def _no_nan(node: Any) -> Any:
    """JSON has no NaN: what has no events is null."""
    if isinstance(node, dict):
        return {key: _no_nan(value) for key, value in node.items()}
    if isinstance(node, list):
        return [_no_nan(value) for value in node]
    return None if isinstance(node, float) and not np.isfinite(node) else node
