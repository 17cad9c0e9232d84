"""A step of segmentation on small wire images."""

from dataclasses import replace

import numpy as np
import torch

from airshower.config.schema import FrameworkConfig, OptimizerConfig, RunConfig
from airshower.data.batch import Batch
from airshower.data.containers import SparseImages
from airshower.data.sites import Sites
from airshower.data.spec import SparseImagesSpec, Spec
from airshower.engine.step import Step, TrainedPhase
from airshower.networks.uresnet.network import UResNet, UResNetConfig
from airshower.runtime.device import Precision
from airshower.runtime.ranks import Ranks
from airshower.runtime.timers import Timers
from airshower.tasks.segmentation.task import Segmentation, SegmentationSample

SPEC = Spec({"images": SparseImagesSpec(3, (16, 8), 0, ("background", "cosmic", "neutrino"))})
DEVICE = torch.device("cpu")


def batch(entries: list[int], value: float | None = None) -> Batch:
    """Random events, the same for the same entry."""
    parts = []
    for entry in entries:
        generator = np.random.default_rng(entry)
        pixel = generator.choice(3 * 16 * 8, 40, replace=False)
        pixel.sort()
        charge = generator.exponential(5, 40)
        parts.append((pixel % 128 // 8, pixel % 8, charge, np.digitize(charge, (2, 6)), pixel))
    nothing = (np.empty(0, int),) * 5
    row, column, charge, label, pixel = (np.concatenate(column) for column in zip(nothing, *parts, strict=True))
    if value is not None:
        charge[:] = value
    counts = np.array([np.bincount(p // 128, minlength=3) for *_, p in parts], int).reshape(-1, 3)
    arrays = (row.astype(np.int32), column.astype(np.int32), charge.astype(np.float32), label.astype(np.uint8))
    images = SparseImages(*arrays, counts, (16, 8))
    return Batch({"images": images}, np.array(entries), np.zeros((len(entries), 3), int)).to(DEVICE)


class DoubleTask(Segmentation):
    """The task in float64."""

    def _outputs(self, module: torch.nn.Module, sample: SegmentationSample) -> dict[str, torch.Tensor]:
        given = sample.pixels.input
        return module(replace(given, value=given.value.double()) if isinstance(given, Sites) else given.double())


def make(scheme: str, normalization: str, kind: type = DoubleTask, **optimizer: object) -> tuple[UResNet, Step]:
    torch.manual_seed(0)
    config = UResNetConfig(
        n_initial_filters=4, depth=2, bottleneck_deepest=8, blocks_deepest_layer=1, blocks_final=1,
        normalization=normalization,
    )  # fmt: skip
    network = UResNet(config, SPEC, {"pixels": 3}, FrameworkConfig())
    network = network.double() if kind is DoubleTask else network
    task = kind(Segmentation.Config(scheme), SPEC, UResNet.view(SPEC))
    options = OptimizerConfig(**{"name": "sgd", "learning_rate": 0.1, **optimizer})
    phases = [TrainedPhase.of(phase, network, options, Ranks()) for phase in task.phases(network)]
    timers = Timers(DEVICE, enabled=False)
    return network, Step(task, phases, Precision(RunConfig(), DEVICE), Ranks(), options.clip_norm, timers)
