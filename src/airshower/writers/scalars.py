"""Metrics over steps, as CSV and in TensorBoard."""

import csv
import io
import threading
from pathlib import Path

from airshower.errors import DataError
from airshower.runtime.folders import write_whole


class ScalarTable:
    """One CSV file, a row a step. Rows of steps after `step` are dropped when a run resumes there."""

    def __init__(self, path: Path, step: int):
        self.path, self.columns = path, None
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
        """What the file holds."""
        return read_table(self.path) if self.path.exists() else []


def read_table(path: Path) -> list[dict[str, float]]:
    """The rows of a CSV file of numbers with a column `step`; a last line that was cut short by a crash is left out.
    Raises `DataError` for anything else, naming the line."""
    number, rows = 1, []
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
    """Rows as text, so that they are written at once."""
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, restval="nan", extrasaction="ignore")
    if header:
        writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


class Scalars:
    """The metrics of a run: `metrics/train.csv`, `metrics/validation.csv`, both in TensorBoard too, and, with several
    ranks, `metrics/ranks.csv`.

    `step` and `validated` are the last steps of the run so far and of its last validation, -1 before the first; later
    rows of an interrupted run are dropped.
    """

    def __init__(self, folder: Path, step: int, validated: int):
        from torch.utils.tensorboard import SummaryWriter

        _silence_threads()
        last = {"train": step, "validation": validated, "ranks": step}
        self.tables = {name: ScalarTable(folder / "metrics" / f"{name}.csv", last[name]) for name in last}
        self.boards = {
            name: SummaryWriter(str(folder / "tensorboard" / name), purge_step=last[name] + 1)
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


def _silence_threads() -> None:
    """No traceback of an OSError in a thread: TensorBoard's raises it again where the next value is written."""
    before = threading.excepthook
    if getattr(before, "silent", False):
        return

    def hook(error: threading.ExceptHookArgs) -> None:
        if not issubclass(error.exc_type, OSError):
            before(error)

    hook.silent = True
    threading.excepthook = hook
