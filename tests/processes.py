"""Runs of airshower in processes of their own, to be signalled and killed."""

import multiprocessing
import os
import resource
import time
from multiprocessing.process import BaseProcess
from pathlib import Path

from tests.command import airshower_process

PRELOADED = ["tests.processes", "airshower.modes.train", "airshower.tasks.segmentation.task", "torch._dynamo"]


def start(
    output: Path, *overrides: str, environment: dict[str, str] | None = None, limits: dict[int, int] | None = None
) -> BaseProcess:
    """`airshower OVERRIDES`, printing into the file `output`, with more in its environment and limits of `resource`.

    The process is forked from a server that has imported torch, which takes seconds.
    """
    server = multiprocessing.get_context("forkserver")
    server.set_forkserver_preload(PRELOADED)
    process = server.Process(target=_run, args=(environment or {}, limits or {}, str(output), *overrides))
    process.start()
    return process


def _run(environment: dict[str, str], limits: dict[int, int], output: str, *overrides: str) -> None:
    os.environ.update(environment)
    for kind, limit in limits.items():
        resource.setrlimit(kind, (limit, limit))
    airshower_process(output, *overrides)


def wait_for(folder: Path, pattern: str, process: BaseProcess) -> Path:
    """The first file of that name that is there while the process runs."""
    deadline = time.monotonic() + 120
    while not (files := sorted(folder.glob(pattern))):
        assert process.is_alive()
        assert time.monotonic() < deadline
        time.sleep(0.005)
    return files[0]
