"""Metrics over steps, as CSV and in TensorBoard."""

import csv
import os
from pathlib import Path


class ScalarTable:
    """One CSV file, a row a step. Rows of steps after `step` are dropped when a run resumes there."""

    def __init__(self, path: Path, step: int):
        self.path, self.columns = path, None
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.exists():
            rows = read_table(path)
            kept = [row for row in rows if row["step"] <= step]
            self.columns = list(rows[0]) if rows else None
            self._rewrite(kept)

    def append(self, row: dict[str, float]) -> None:
        """Add a row; it must hold `step`, and the columns of the rows before."""
        self.columns = self.columns or list(row)
        new = not self.path.exists() or not self.path.stat().st_size
        with open(self.path, "a", newline="") as handle:
            writer = csv.DictWriter(handle, self.columns, restval="nan", extrasaction="ignore")
            if new:
                writer.writeheader()
            writer.writerow(row)

    def rows(self) -> list[dict[str, float]]:
        """What the file holds."""
        return read_table(self.path) if self.path.exists() else []

    def _rewrite(self, rows: list[dict[str, float]]) -> None:
        partial = self.path.with_name(f".{self.path.name}.partial")
        with open(partial, "w", newline="") as handle:
            if self.columns:
                writer = csv.DictWriter(handle, self.columns)
                writer.writeheader()
                writer.writerows(rows)
        os.replace(partial, self.path)


def read_table(path: Path) -> list[dict[str, float]]:
    """The rows of a CSV file of numbers; a last row that was cut short by a crash is left out."""
    with open(path, newline="") as handle:
        rows = list(csv.DictReader(handle))
    whole = [row for row in rows if all(value not in (None, "") for value in row.values())]
    return [
        {key: int(value) if key in ("step", "rank") else float(value) for key, value in row.items()} for row in whole
    ]


class Scalars:
    """The metrics of a run: `metrics/train.csv`, `metrics/validation.csv`, both in TensorBoard too, and, with several
    ranks, `metrics/ranks.csv`.

    `step` is where the run starts or resumes; later rows of an interrupted run are dropped.
    """

    def __init__(self, folder: Path, step: int):
        from torch.utils.tensorboard import SummaryWriter

        self.tables = {
            name: ScalarTable(folder / "metrics" / f"{name}.csv", step) for name in ("train", "validation", "ranks")
        }
        self.boards = {
            name: SummaryWriter(str(folder / "tensorboard" / name), purge_step=step + 1)
            for name in ("train", "validation")
        }

    def write(self, name: str, step: int, values: dict[str, float]) -> None:
        """Add one row to the table `name` (train or validation)."""
        self.tables[name].append({"step": step, **values})
        for key, value in values.items():
            self.boards[name].add_scalar(key, value, step)

    def write_image(self, name: str, step: int, key: str, path: Path) -> None:
        """Show a PNG file in TensorBoard."""
        from matplotlib.image import imread

        self.boards[name].add_image(key, imread(path)[..., :3], step, dataformats="HWC")

    def close(self) -> None:
        """Flush all to disk."""
        for board in self.boards.values():
            board.close()
