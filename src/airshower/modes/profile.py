"""The profile of training steps: `run.profile=true`."""

import csv
from pathlib import Path
from typing import Any

import torch

from airshower.modes.job import Job
from airshower.runtime.log import logger
from airshower.runtime.timers import Timers
from airshower.writers import figures

TRACED = 3
"""Steps in the trace, after two that only warm up."""


class StepProfile:
    """A row of timers per step and rank (`profiles/timers.csv`), a figure of them, and torch's trace of the master's
    third to fifth step, to be opened in Perfetto. A context manager; does nothing unless the timers are enabled."""

    def __init__(self, job: Job, timers: Timers):
        self.job = job
        self.timers = timers
        self.folder = job.folder / "profiles"
        self.rows: list[dict[str, Any]] = []
        self.trace = None
        if timers.enabled and job.ranks.master:
            self.folder.mkdir(exist_ok=True)
            schedule = torch.profiler.schedule(wait=1, warmup=1, active=TRACED, repeat=1)
            self.trace = torch.profiler.profile(schedule=schedule, on_trace_ready=self._export)

    def __enter__(self) -> "StepProfile":
        if self.trace:
            self.trace.start()
        self.timers.restart()
        return self

    def step(self, number: int) -> None:
        """Close the row of optimizer step `number`."""
        if not self.timers.enabled:
            return
        self.rows.append({"step": number, "rank": self.job.ranks.rank, **self.timers.row()})
        if self.trace:
            self.trace.step()
        self.timers.restart()

    def __exit__(self, kind: type | None, *_: Any) -> None:
        """Writes the table and the figure. Collective, unless there was an error."""
        if self.trace:
            self.trace.stop()
        if not self.timers.enabled or kind is not None:
            return
        rows = [row for part in self.job.ranks.gather(self.rows) for row in part]
        if not rows:
            return
        rows.sort(key=lambda row: (row["step"], row["rank"]))
        with open(self.folder / "timers.csv", "w", newline="") as handle:
            writer = csv.DictWriter(handle, list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)
        path = figures.save(figures.step_times(rows), self.folder / "step_times.png")
        logger.info("where the time of a step goes: %s", path)

    def _export(self, profile: torch.profiler.profile) -> None:
        path = Path(self.folder) / "trace.json"
        profile.export_chrome_trace(str(path))
