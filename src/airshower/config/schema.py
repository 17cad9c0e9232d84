"""The sections that every run has. This file does not import torch, so that mistakes show within a second."""

from dataclasses import dataclass, field
from typing import Generic, TypeVar

from omegaconf import MISSING

from airshower.config.fields import choice, folder_name, location, number, section

PRETRAINED = "pretrained"
"""As `mode.weights_location`: the weights of the chosen network that come with the package."""


@dataclass
class RunConfig:
    """`run.*`: how much is done, where and in which arithmetic."""

    id: str = folder_name("run")
    folder: str = location(free=True)
    iterations: int = number(100, low=0)
    aux_iterations: int = number(6, low=1)
    minibatch_size: int = number(2, low=1, free=False)
    aux_minibatch_size: int = number(0, low=0)
    compute_mode: str = choice("auto", "cpu", "gpu", "xpu", "mps")
    precision: str = choice("float32", "bfloat16", "mixed", "auto", free=False)
    distributed: bool = False
    timeout: float = number(600.0, low=1.0)
    profile: bool = False
    overwrite: bool = False


@dataclass
class FrameworkConfig:
    """`framework.*`: what torch does with the machine."""

    name: str = choice("torch")
    seed: int = number(1, low=0, free=False)
    deterministic: bool = False
    compile: bool = False
    channels_last: bool = True
    inter_op_parallelism_threads: int = number(0, low=0)
    intra_op_parallelism_threads: int = number(0, low=0)
    reading_threads: int = number(1, low=1, high=256)
    environment_variables: dict[str, str] = field(default_factory=dict)
    distributed_mode: str = choice("ddp", "fsdp")
    sparse_backend: str = choice("auto", "torch", "spconv")


@dataclass
class ScheduleConfig:
    """`mode.optimizer.schedule.*`: the learning rate as a function of the step."""

    name: str = choice("constant", "warmup_flat_decay", "cosine", "one_cycle")
    warmup: float = number(1.0, low=0.0)
    flat: float = number(20.0, low=0.0)
    decay: float = number(0.999, above=0.0)
    floor: float = number(1.0e-4, low=0.0)


@dataclass
class OptimizerConfig:
    """`mode.optimizer.*`."""

    name: str = choice("adam", "adamw", "rmsprop", "sgd")
    learning_rate: float = number(3.0e-4, above=0.0)
    weight_decay: float = number(0.0, low=0.0)
    gradient_accumulation: int = number(1, low=1)
    clip_norm: float = number(0.0, low=0.0)
    average: float = number(0.0, low=0.0, high=0.99999)
    schedule: ScheduleConfig = section(ScheduleConfig)


@dataclass
class TrainConfig:
    """`mode=train`."""

    name: str = choice("train", free=False)
    weights_location: str = ""
    checkpoint_iteration: int = number(50, low=1)
    keep_checkpoints: int = number(3, low=1)
    validation_iteration: int = number(25, low=0)
    training_set_epochs: int = number(0, low=0)
    logging_iteration: int = number(10, low=1)
    summary_iteration: int = number(1, low=1)
    no_summary_images: bool = False
    extension: str = choice("keep", "restart", "stretch")
    optimizer: OptimizerConfig = section(OptimizerConfig, free=False)


@dataclass
class IotestConfig:
    """`mode=iotest`."""

    name: str = choice("iotest", free=False)
    start_index: int = number(0, low=0)


@dataclass
class InspectConfig:
    """`mode=inspect`."""

    name: str = choice("inspect", free=False)
    events: int = number(2000, low=0)
    displays: int = number(4, low=0)


@dataclass
class SimulateConfig:
    """`mode=simulate`."""

    name: str = choice("simulate", free=False)
    file: str = location(MISSING)
    split: str = choice("train", "validation", "test")


@dataclass
class InferenceConfig:
    """`mode=inference`."""

    name: str = choice("inference", free=False)
    weights_location: str = ""
    start_index: int = number(0, low=0)
    displays: int = number(4, low=0)
    scores: bool = True


Mode = TypeVar("Mode", TrainConfig, IotestConfig, InspectConfig, SimulateConfig, InferenceConfig)
MODES = {
    "train": TrainConfig,
    "iotest": IotestConfig,
    "inspect": InspectConfig,
    "simulate": SimulateConfig,
    "inference": InferenceConfig,
}


@dataclass
class Settings(Generic[Mode]):
    """The typed root sections of one run. A run may go on with others, but for the fields that say otherwise."""

    run: RunConfig = field(metadata={"free": True})
    mode: Mode = field(metadata={"free": True})
    framework: FrameworkConfig = field(metadata={"free": True})
    output_dir: str = field(metadata={"free": True})
