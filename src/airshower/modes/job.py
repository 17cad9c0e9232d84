"""The inputs of a mode, built by `main`."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Generic

import torch
from torch import nn

from airshower.config.record import Resolved
from airshower.config.schema import Mode, Settings
from airshower.data.order import OrderConfig
from airshower.data.splits import Data, Splits
from airshower.runtime.device import Precision
from airshower.runtime.ranks import Ranks
from airshower.runtime.stop import StopSignal
from airshower.tasks.task import Task


@dataclass(frozen=True)
class Job(Generic[Mode]):
    """One run on one rank.

    `config` is the whole config as it is recorded, `folder` the run's output; `build_task` and `build_network`, which
    is given the task's outputs, construct from the typed config, so that a mode without a network builds none. `stop`
    is for modes that can resume.
    """

    settings: Settings[Mode]
    config: Resolved
    overrides: list[str]
    folder: Path
    ranks: Ranks
    stop: StopSignal | None
    device: torch.device
    precision: Precision
    data: Data
    splits: Splits
    order: OrderConfig
    build_task: Callable[[], Task]
    build_network: Callable[[dict[str, int]], nn.Module]
