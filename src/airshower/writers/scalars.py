"""Metrics over steps, as CSV and in TensorBoard."""

import csv
import io
import threading
from pathlib import Path
from typing import TYPE_CHECKING

from airshower.errors import DataError
from airshower.runtime.folders import write_whole

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter


class ScalarTable:
    """One CSV file with a row for each step. Rows of steps after `step` are dropped when a run resumes there."""

    def __init__(self, path: Path, step: int):
        self.path = path
        self.columns = None
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.exists():
            rows = read_table(path)
            self.columns = list(rows[0]) if rows else None
            kept = [row for row in rows if row["step"] <= step]
            write_whole(path, _lines(self.columns, kept, header=True) if self.columns else "")

    def append(self, row: dict[str, float]) -> None:
        """Add a row; it must hold `step`, and the columns of the rows before."""
        self.columns = self.columns or list(row)
        new = not self.path.exists() or not self.path.stat().st_size
        with open(self.path, "a", newline="") as handle:
            handle.write(_lines(self.columns, [row], header=new))

    def rows(self) -> list[dict[str, float]]:
        """The rows of the file."""
        return read_table(self.path) if self.path.exists() else []


def read_table(path: Path) -> list[dict[str, float]]:
    """The rows of a CSV file of numbers with a column `step`; an incomplete last line, as after a crash, is ignored.
    Raises `DataError` for anything else, naming the line."""
    number = 1
    rows = []
    try:
        *whole, rest = path.read_bytes().decode().split("\n")
        if not whole and not "step,".startswith(rest[:5]):
            raise ValueError("there is no column step")
        header, *lines = csv.reader(whole, strict=True) if whole else [["step"]]
        if header.count("step") != 1:
            raise ValueError("there is no column step")
        for cells in lines:
            number += 1
            if len(cells) != len(header):
                raise ValueError(f"{len(cells)} values for {len(header)} columns")
            pairs = zip(header, cells, strict=True)
            rows.append({key: int(cell) if key in ("step", "rank") else float(cell) for key, cell in pairs})
    except (ValueError, csv.Error) as error:
        reason = f"line {number}: {error}"
        raise DataError(f"{path}: is not a table of numbers ({reason}); mend it or move it away") from None
    return rows


def _lines(columns: list[str], rows: list[dict[str, float]], header: bool) -> str:
    """Rows as text, for a single write."""
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, restval="nan", extrasaction="ignore")
    if header:
        writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


class Scalars:
    """The metrics of a run: `metrics/train.csv`, `validation.csv` and `training_set.csv`, all in TensorBoard too, and,
    with several ranks, `ranks.csv`.

    `step` is the last step of the run so far, `evaluated` that of the last row of `validation` and `training_set`, -1
    before the first; later rows of an interrupted run are dropped.
    """

    def __init__(self, folder: Path, step: int, evaluated: dict[str, int]):
        _silence_threads()
        self.folder = folder
        self.last = {"train": step, "validation": -1, "training_set": -1, "ranks": step} | evaluated
        self.tables = {name: ScalarTable(folder / "metrics" / f"{name}.csv", last) for name, last in self.last.items()}
        self.boards: dict[str, SummaryWriter] = {}

    def write(self, name: str, step: int, values: dict[str, float]) -> None:
        """Add one row to the table `name`."""
        self.tables[name].append({"step": step, **values})
        board = self._board(name)
        for key, value in values.items():
            board.add_scalar(key, value, step)

    def write_image(self, name: str, step: int, key: str, path: Path) -> None:
        """Show a PNG file in TensorBoard."""
        from matplotlib.image import imread

        self._board(name).add_image(key, imread(path)[..., :3], step, dataformats="HWC")

    def close(self) -> None:
        """Flush all to disk."""
        for board in self.boards.values():
            board.close()

    def _board(self, name: str) -> "SummaryWriter":
        """TensorBoard's writer, opened with the first value, as most runs use at most two."""
        from torch.utils.tensorboard import SummaryWriter

        if name not in self.boards:
            path = self.folder / "tensorboard" / name
            self.boards[name] = SummaryWriter(str(path), purge_step=self.last[name] + 1)
        return self.boards[name]


def _silence_threads() -> None:
    """Print no traceback of an OSError in a thread: TensorBoard raises it again at the next value."""
    before = threading.excepthook
    if getattr(before, "silent", False):
        return

    def hook(error: threading.ExceptHookArgs) -> None:
        if not issubclass(error.exc_type, OSError):
            before(error)

    hook.silent = True
    threading.excepthook = hook
