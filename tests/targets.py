"""The configuration of `conf/task/reconstruction.yaml` with other options, and batches of which only truth matters."""

import numpy as np
import torch
from omegaconf import OmegaConf

from airshower.assembly.compose import conf_folder
from airshower.config import build
from airshower.data.batch import Batch
from airshower.data.containers import Table
from airshower.data.truth import Columns, Frame, Truth
from airshower.tasks.reconstruction.config import ReconstructionConfig

Options = dict[str, object]


def reconstruction(targets: dict[str, Options] | None = None, **options: object) -> ReconstructionConfig:
    """The preset's five targets with some other options, new targets, and other options of the task."""
    node = OmegaConf.load(conf_folder() / "task" / "reconstruction.yaml")
    return build.component(OmegaConf.merge(node, {"targets": targets or {}}, options), "task")[1]


def truth_of(columns: Columns) -> Truth:
    """A truth that has these columns."""
    events = len(next(iter(columns.values())))
    return Truth(
        lambda entries, names: {name: columns[name][entries] for name in names if name in columns}, np.arange(events)
    )


def truth_batch(columns: Columns, frame: Frame | None = None, weight: np.ndarray | None = None) -> Batch:
    """Events with these columns of truth [n] and an empty table, on the CPU."""
    events = len(next(iter(columns.values())))
    inputs = {"parameters": Table(np.zeros((events, 0), np.float32))}
    batch = Batch(inputs, np.arange(events), np.zeros((events, 3), int), truth_of(columns), frame, weight)
    return batch.to(torch.device("cpu"))
