"""Named timers of the parts of a step."""

import contextlib
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager
from typing import Any

import torch
from torch import nn

from airshower.runtime.device import synchronize

PARTS = ("read", "copy", "forward", "loss", "backward", "reduce", "optimizer", "metrics", "validation", "checkpoint")


class Timers:
    """Seconds keyed by name. One timer runs at a time: an inner one stops the outer, so that the sum is the total.

    Each change synchronises the device, which is slow. If not `enabled`, nothing is measured or synchronised.
    """

    def __init__(self, device: torch.device, enabled: bool):
        self.device = device
        self.enabled = enabled
        self._running: list[str] = []
        self.restart()

    def restart(self) -> None:
        """Start a new row."""
        self.seconds: dict[str, float] = dict.fromkeys(PARTS, 0.0)
        self._start = self._changed = time.perf_counter()

    def __call__(self, name: str) -> AbstractContextManager:
        """Time this context as `name`."""
        return self._time(name) if self.enabled else contextlib.nullcontext()

    def row(self) -> dict[str, float]:
        """Seconds by part since `restart`, the rest as `other`, and `total`."""
        total = time.perf_counter() - self._start
        return {**self.seconds, "other": max(0.0, total - sum(self.seconds.values())), "total": total}

    def move(self, source: str, target: str, seconds: float) -> None:
        """Count some of the seconds of `source` as `target`'s."""
        self.seconds[source] -= seconds
        self.seconds[target] += seconds

    def watch(self, module: nn.Module) -> None:
        """Time the module's calls as `forward`."""
        if self.enabled:
            module.register_forward_pre_hook(lambda *_: self._enter("forward"))
            module.register_forward_hook(lambda *_: self._leave())

    @contextlib.contextmanager
    def _time(self, name: str) -> Iterator[None]:
        self._enter(name)
        try:
            yield
        finally:
            self._leave()

    def _enter(self, name: str, *_: Any) -> None:
        self._count()
        self._running.append(name)

    def _leave(self) -> None:
        self._count()
        self._running.pop()

    def _count(self) -> None:
        synchronize(self.device)
        now = time.perf_counter()
        if self._running:
            # parts inside a validation count as validation
            name = "validation" if "validation" in self._running else self._running[-1]
            self.seconds[name] += now - self._changed
        self._changed = now
