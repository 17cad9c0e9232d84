"""Small sources of each detector, and the arrays of their batches."""

import dataclasses
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

from airshower.data.source import Source
from airshower.detectors.hawc.simulated import SimulatedHawc
from airshower.detectors.lartpc.source import LartpcConfig, LartpcEvents
from tests.samples import simulated, simulated_showers


def lartpc(**options: Any) -> Source:
    return LartpcEvents(LartpcConfig(downsample=0, **options), str(simulated(9)))


def larcv() -> Source:
    pytest.importorskip("larcv")
    return lartpc(reader="larcv")


def cta() -> Source:
    return simulated_showers().source


def hawc() -> Source:
    config = SimulatedHawc.Config(events=230, validation_events=1, channels=["charge", "time"])
    return SimulatedHawc(config, 0).open().train.source


SOURCES: dict[str, Callable[[], Source]] = {
    "lartpc": lartpc,
    "lartpc cached": lambda: lartpc(cache=True),
    "lartpc larcv": larcv,
    "cta": cta,
    "hawc": hawc,
}


def arrays(value: Any) -> Iterator[np.ndarray]:
    """All arrays in a batch, in order."""
    if isinstance(value, np.ndarray):
        yield value
    elif dataclasses.is_dataclass(value):
        for item in dataclasses.fields(value):
            yield from arrays(getattr(value, item.name))
    elif isinstance(value, tuple | dict):
        for item in value.values() if isinstance(value, dict) else value:
            yield from arrays(item)
