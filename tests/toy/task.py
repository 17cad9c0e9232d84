"""A task of the toy's own: the median of a column of the truth."""

import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from airshower.data.batch import Batch
from airshower.data.spec import Spec
from airshower.data.splits import Splits
from airshower.data.truth import NUMBER, Column
from airshower.errors import UserError
from airshower.tasks.loss_terms import LossTerms
from airshower.tasks.task import Phase, Task
from airshower.writers.tables import write_events, write_metrics


@dataclass(frozen=True)
class MedianSample:
    """The network's `input` and the logarithm of the true values [n, 1]."""

    input: Any
    target: Tensor


class Median(Task):
    """Least absolute deviations: the network's output is the median of log10 of a positive number."""

    name = "median"
    outputs = {"median": 1}  # noqa: RUF012
    headline = {"loss": "loss"}  # noqa: RUF012
    score = "negative_loss"

    @dataclass
    class Config:
        """`task.*`."""

        column: str = "energy"

    def __init__(self, config: Config, spec: Spec, view: Callable[[Batch], Any]):
        self.config, self.view = config, view

    @classmethod
    def check_columns(cls, config: Any, columns: tuple[Column, ...]) -> None:
        """See `Task`."""
        if config.column not in [column.name for column in columns if column.kind == NUMBER]:
            raise UserError(f"task.column={config.column}: is no number of this data's truth")

    def prepare(self, batch: Batch) -> MedianSample:
        """See `Task`."""
        assert batch.truth is not None
        values = batch.truth.get(self.config.column)[self.config.column]
        return MedianSample(self.view(batch), torch.from_numpy(np.log10(values)).float()[:, None].to(batch.device))

    def phases(self, network: nn.Module) -> list[Phase]:
        """See `Task`."""

        def loss(module: nn.Module, sample: MedianSample, _: Tensor) -> tuple[LossTerms, dict[str, Tensor]]:
            outputs = module(sample.input)
            return self.loss(outputs, sample), outputs

        return [Phase("median", network, loss)]

    def totals(self, sample: MedianSample) -> Tensor:
        """The number of events [1]."""
        return sample.target.new_tensor([len(sample.target)], dtype=torch.float64)

    def loss(self, outputs: dict[str, Tensor], sample: MedianSample) -> LossTerms:
        """The sum of absolute deviations, and the number of events."""
        error = (outputs["median"] - sample.target).abs().sum()
        return LossTerms(error[None], error.new_tensor([len(sample.target)]))

    def evaluate(
        self, network: nn.Module, sample: MedianSample, over_ranks: Callable[[Tensor], Tensor]
    ) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """See `Task`."""
        outputs = network(sample.input)
        return outputs, self.count(sample, outputs, self.loss(outputs, sample))

    def count(self, sample: MedianSample, outputs: dict[str, Tensor], terms: LossTerms) -> dict[str, Tensor]:
        """See `Task`."""
        return {"total": terms.total.detach().double(), "events": terms.weight.double()}

    def metrics(self, counters: dict[str, Tensor]) -> dict[str, float]:
        """See `Task`."""
        loss = float(counters["total"] / counters["events"])
        return {"loss": loss, "negative_loss": -loss}

    def report(self, splits: Splits, folder: Path, provenance: dict[str, str], scores: bool) -> "MedianReport":
        """See `Task`."""
        return MedianReport(folder, self.config.column)


class MedianReport(contextlib.ExitStack):
    """See `tasks.task.Report`: a table of events and metrics."""

    def __init__(self, folder: Path, column: str):
        super().__init__()
        self.folder, self.column = folder, column
        self.values: list[np.ndarray] = []

    def pack(self, batch: Batch, sample: MedianSample, outputs: dict[str, Tensor]) -> np.ndarray:
        """The medians of a batch."""
        return 10.0 ** outputs["median"][:, 0].double().cpu().numpy()

    def add(self, packed: np.ndarray) -> None:
        """Keep them."""
        self.values.append(packed)

    def finish(self, entries: np.ndarray, metrics: dict[str, float], counters: dict[str, Tensor]) -> list[Path]:
        """See `Report`."""
        write_events(self.folder / "events.csv", {"entry": entries, self.column: np.concatenate(self.values)})
        write_metrics(self.folder / "metrics.json", {"events": len(entries), "metrics": metrics})
        return []
