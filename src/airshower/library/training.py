"""`airshower.train`: what the command line does with `mode=train`."""

from collections.abc import Sequence
from pathlib import Path

from airshower.assembly.compose import compose, user_errors, word
from airshower.assembly.recorded import with_recorded
from airshower.assembly.run import run
from airshower.library.run import Run, load
from airshower.runtime import log


def train(
    network: str = "", overrides: Sequence[str] = (), *, data: str = "", task: str = "", folder: str | Path = ""
) -> Run:
    """Train as `airshower mode=train network=NETWORK OVERRIDES` does, and return the run.

    `folder` is where the run is kept; one that is there goes on. Ctrl-C stops at the next step with a checkpoint, in
    the main thread of a process. Raises `UserError` or `DataError`.
    """
    named = {"network": network, "data": data, "task": task}
    words = ["mode=train", *(f"{group}={name}" for group, name in named.items() if name)]
    words += [word("output_dir", folder)] if folder else []
    with user_errors():
        cfg, words = with_recorded([*words, *overrides], lambda words: (compose(words), words))
    try:
        run(cfg, words)
    finally:
        log.stop_log()
    return load(str(cfg.output_dir))
