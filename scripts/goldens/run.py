"""One command line of airshower in this process, with the sources that are on the path, and a note of what it reads.

Little of the sources is named here: `modes.train.run` is given a job with `splits`, each of which has `entries` and a
`source` with `read` and `truth`. All else that is recorded is what runs leave in their folder.
"""

import contextlib
import io
import json
import os
import runpy
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np

SPLITS = ("train", "validation", "test")


def run(source: Path, notes: Path, *overrides: str) -> str:
    """`bin/exec.py OVERRIDES` of a checkout; returns what was printed if it failed, else "". What was read goes to the
    folder `notes`, as JSON."""
    printed = io.StringIO()
    with contextlib.ExitStack() as context:
        context.enter_context(mock.patch.object(sys, "argv", ["airshower", *overrides]))
        context.enter_context(contextlib.redirect_stdout(printed))
        context.enter_context(contextlib.redirect_stderr(printed))
        context.enter_context(without_figures())
        context.enter_context(noting(notes))
        try:
            runpy.run_path(str(source / "bin" / "exec.py"), run_name="__main__")
        except SystemExit as stop:
            return printed.getvalue() or f"exit code {stop.code}" if stop.code else ""
        except Exception as error:
            return f"{printed.getvalue()}{type(error).__name__}: {error}"
    return ""


@contextlib.contextmanager
def without_figures() -> Iterator[None]:
    """Files of figures are empty, which saves most of the time of small runs; frames of animations are drawn."""
    from matplotlib.figure import Figure

    draw = Figure.savefig

    def savefig(self: Figure, target: Any, **options: Any) -> None:
        if isinstance(target, str | Path):
            Path(target).touch()
        else:
            draw(self, target, **options)

    with mock.patch.object(Figure, "savefig", savefig):
        yield


@contextlib.contextmanager
def noting(folder: Path) -> Iterator[None]:
    """In this context a training notes its splits, and the entries that it reads, thread by thread."""
    from airshower.modes import train

    reads: dict[threading.Thread, list[list[int]]] = {}
    splits: dict[str, Any] = {}
    with contextlib.ExitStack() as patched:
        begin = train.run

        def noted(job: Any) -> int:
            selections = {name: getattr(job.splits, name) for name in SPLITS}
            splits.update({name: _described(selection) for name, selection in selections.items() if selection})
            for kind in {type(selection.source) for selection in selections.values() if selection}:
                patched.enter_context(mock.patch.object(kind, "read", _reading(kind.read, reads)))
            return begin(job)

        patched.enter_context(mock.patch.object(train, "run", noted))
        yield
    if splits:
        folder.mkdir(parents=True, exist_ok=True)
        rank = os.environ.get("OMPI_COMM_WORLD_RANK", "0")
        number = len(list(folder.glob(f"{rank}_*.json")))  # 1 for a training that is resumed
        record = {"splits": splits, "reads": list(reads.values())}
        (folder / f"{rank}_{number}.json").write_text(json.dumps(record))


def _described(selection: Any) -> dict[str, Any]:
    """Entries of a split, and energy and class of their truth, by which events are known."""
    source = selection.source
    truth = source.truth(selection.entries)
    described = {"entries": selection.entries.tolist()}
    if "energy" in truth:
        described["energy"] = truth["energy"].tolist()
    for column in getattr(source.spec, "truth", ()):
        if column.kind == "class" and column.name in truth:
            names = np.array([*column.classes, "other"])
            described["interaction"] = names[truth[column.name]].tolist()
    return described


def _reading(read: Any, reads: dict[threading.Thread, list[list[int]]]) -> Any:
    def reading(self: Any, entries: Any) -> Any:
        reads.setdefault(threading.current_thread(), []).append([int(entry) for entry in entries])
        return read(self, entries)

    return reading


if __name__ == "__main__":
    if failed := run(Path(sys.argv[1]), Path(sys.argv[2]), *sys.argv[3:]):
        print(failed, file=sys.stderr)
        sys.exit(1)
