"""Trained networks with their tasks, built from a checkpoint alone."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf
from torch import Tensor, nn

from airshower.assembly.components import in_words
from airshower.config import build
from airshower.config.schema import FrameworkConfig, RunConfig
from airshower.data.described import described, restored
from airshower.data.spec import Spec
from airshower.engine import checkpoint, pretrained
from airshower.engine.checkpoint import load_weights
from airshower.errors import UserError
from airshower.runtime import device
from airshower.runtime.device import Precision
from airshower.runtime.ranks import Ranks
from airshower.tasks.task import Task


@dataclass(frozen=True, eq=False)
class Trained:
    """The checkpoint at `path` of a run with this `config` after `step` steps: its `network` and `task` for data of
    the `spec` that it was trained on, on a device."""

    path: Path
    step: int
    config: DictConfig
    spec: Spec
    task: Task
    network: nn.Module
    precision: Precision
    state: dict[str, Any]

    def suited(self, spec: Spec) -> tuple[Task, nn.Module]:
        """Task and network for data of another spec, such as other telescopes.

        Raises `UserError` where these are other containers than the network takes, or the weights do not fit.
        """
        kind: Any = type(self.network)
        for name in kind.takes:
            mine, theirs = (type(part.inputs.get(name)) for part in (self.spec, spec))
            if mine is not theirs:
                raise UserError(
                    f"{self.path}: the network takes {name} ({_word(mine)}), these events have {_word(theirs)}"
                )
        if spec is self.spec or _same(described(spec.inputs), described(self.spec.inputs)):
            return self.task, self.network
        return _built(self.config, spec, self.state, self.path, self.precision)


def load_trained(location: str | Path, compute_mode: str = "auto") -> Trained:
    """The network of a checkpoint, or of a run's folder: the best, else the newest; or one whose weights come with the
    package, by its name.

    Raises `UserError` where there is none, `DataError` for a damaged one. Nothing in the file is executed; its config
    names classes of installed packages.
    """
    if not (Path(location).expanduser().exists() or pretrained.find(str(location))):
        ours = ", ".join(pretrained.names())
        raise UserError(
            f"{location}: there is no such checkpoint or folder, nor a trained network of this name ({ours})"
        )
    path, state = checkpoint.find_and_load(str(location))
    if "spec" not in state or not state.get("config"):
        raise UserError(
            f"{path}: is of an older version and does not say what data its network is for; mode=inference with the "
            "network's options, and mode.weights_location, still reads it"
        )
    config = OmegaConf.create(state["config"])
    assert isinstance(config, DictConfig)
    with checkpoint.restoring(path):
        packages = {str(config[name]["_target_"]).partition(".")[0] for name in ("data", "network", "task")}
        spec = restored(state["spec"], {"airshower", *packages})
    run = build.typed(RunConfig, _known(config.run, RunConfig), "run")
    used = device.choose_device(compute_mode, Ranks())
    if run.precision == "mixed" and used.type == "cpu":
        run.precision = "float32"
    precision = Precision(run, used)
    task, network = _built(config, spec, state, path, precision)
    weights = {name: value for name, value in state.items() if name not in ("optimizers", "balances")}
    return Trained(path, state["step"], config, spec, task, network, precision, weights)


def _word(kind: type) -> str:
    """The class of a spec in words, such as sparse images."""
    return "none" if kind is type(None) else in_words(kind.__name__.removesuffix("Spec"))


def _built(
    config: DictConfig, spec: Spec, state: dict[str, Any], path: Path, precision: Precision
) -> tuple[Task, nn.Module]:
    network_kind, network_config = build.component(config.network, "network")
    task_kind, task_config = build.component(config.task, "task")
    framework = build.typed(FrameworkConfig, config.framework, "framework")
    task = task_kind.for_network(task_config, spec, network_kind)  # type: ignore[attr-defined]
    task.keep(state["outputs"])
    network = network_kind(network_config, spec, task.outputs, framework)
    network = device.place(network, precision.device, framework)
    load_weights(network, state, path)
    return task, network.eval()


def _known(section: DictConfig, kind: type) -> DictConfig:
    """The keys that this version has."""
    return OmegaConf.create({key: section[key] for key in kind.__dataclass_fields__ if key in section})


def _same(one: Any, other: Any) -> bool:
    """Whether two descriptions are equal."""
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(_same(one[key], other[key]) for key in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(_same, one, other))
    if isinstance(one, Tensor) and isinstance(other, Tensor):
        return one.dtype == other.dtype and one.shape == other.shape and bool(one.equal(other))
    return type(one) is type(other) and one == other
