"""One run, from its composed config to the exit code: the path of the data from top to bottom."""

import contextlib
import importlib
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf

from airshower.assembly.components import components
from airshower.assembly.recorded import as_trained
from airshower.config import build, record
from airshower.config.schema import PRETRAINED, Settings
from airshower.runtime.launcher import launched
from airshower.runtime.stop import StopSignal, clean_end


def run(cfg: DictConfig, words: Sequence[str]) -> int:
    """Run the config `cfg`, which was composed of these `words`, and return the exit code. Collective."""
    cfg = as_trained(cfg, words)
    settings = build.settings(cfg)
    if getattr(settings.mode, "weights_location", "") == PRETRAINED:
        settings.mode.weights_location = HydraConfig.get().runtime.choices["network"]
    parts = components(cfg)
    os.environ.update(settings.framework.environment_variables)
    # only training can be stopped half-way and go on: in the other modes a signal ends the process
    with clean_end(), StopSignal() if settings.mode.name == "train" else contextlib.nullcontext() as stop:
        return _run(cfg, words, settings, parts, stop)


def _run(
    cfg: DictConfig,
    words: Sequence[str],
    settings: Settings,
    parts: dict[str, tuple[type, Any]],
    stop: StopSignal | None,
) -> int:
    from airshower.data.splits import Selection, Splits, digest
    from airshower.modes.job import Job
    from airshower.runtime import device, folders, log, mpi, seeds

    log.start_log(speaks=launched().rank == 0)
    connected = mpi.connect(settings.run.distributed, settings.run.timeout)
    text = OmegaConf.to_yaml(cfg, resolve=True)
    config = record.Resolved.of(text, {name: type(typed) for name, (_, typed) in parts.items()})
    record.check_same(connected.exchange(config.identity()))
    device.prepare_machine(settings.framework, connected)
    used = device.choose_device(settings.run.compute_mode, connected)
    connected.start_torch(used)
    seeds.seed_everything(settings.framework.seed, connected.rank, settings.framework.deterministic)
    (data, data_config), (network, network_config), (task, task_config) = parts.values()
    if connected.local_rank == 0:
        folders.sweep_cache()
    mode = importlib.import_module(f"airshower.modes.{settings.mode.name}")

    opener = data(data_config, settings.framework.seed)
    if settings.mode.name == "inspect":
        opener = opener.in_full()
    opener.prepare(connected)

    def open_data() -> tuple[Splits, list[Selection]]:
        splits = opener.open()
        return splits, splits.selections(mode.SPLITS)

    splits, selections = connected.in_turn(open_data)
    spec = selections[0].source.spec if selections else None
    record.check_same(connected.exchange({"the content of its data files": digest(selections)}))
    job = Job(
        settings=settings,
        config=config,
        overrides=list(words),
        folder=Path(settings.output_dir),
        ranks=connected,
        stop=stop,
        device=used,
        precision=device.Precision(settings.run, used),
        data=opener,
        splits=splits,
        order=data_config,
        build_task=lambda: task.for_network(task_config, spec, network),
        build_network=lambda outputs: device.place(
            network(network_config, spec, outputs, settings.framework), used, settings.framework
        ),
    )
    code = mode.run(job)
    connected.close()
    return code
