"""From the command line to a run: `bin/exec.py` and the installed command `airshower`."""

import importlib
import os
import sys
from pathlib import Path

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

from airshower.config import build, record
from airshower.errors import UserError


def conf_folder() -> Path:
    """The yamls: inside the package where it was installed from a wheel, at the top of a checkout otherwise."""
    installed = Path(__file__).parent / "conf"
    return installed if installed.is_dir() else Path(__file__).parents[2] / "conf"


def cli() -> None:
    """Run the command line. A user's mistake is one line on stderr and exit code 2."""
    os.environ.setdefault("HYDRA_FULL_ERROR", "1")  # lets hydra's errors reach us instead of being printed at length
    try:
        hydra.main(version_base="1.3", config_path=str(conf_folder()), config_name="config")(_run_and_exit)()
    except (HydraException, OmegaConfBaseException) as error:
        fail(_one_line(error))


def fail(message: str, exit_code: int = 2) -> None:
    """Say what is wrong in one line and end."""
    print(f"airshower: {message}", file=sys.stderr, flush=True)
    raise SystemExit(exit_code)


def run(cfg: DictConfig) -> int:
    """One run from its composed config to the exit code; the path of the data from top to bottom."""
    settings = build.settings(cfg)
    parts = {name: build.component(cfg[name], name) for name in ("data", "network", "task")}
    _check_fit(parts)

    from airshower.modes.job import Job
    from airshower.runtime import device, log, ranks, seeds

    log.start_log(speaks=True)
    connected = ranks.connect(settings.run.distributed)
    device.prepare_machine(settings.framework)
    used = device.choose_device(settings.run.compute_mode)
    seeds.seed_everything(settings.framework.seed, connected.rank, settings.framework.deterministic)
    (data, data_config), (network, network_config), (task, task_config) = parts.values()
    splits = data(data_config, settings.framework.seed).open()
    spec = splits.train.source.spec
    job = Job(
        settings=settings,
        config=record.resolved(cfg),
        overrides=list(HydraConfig.get().overrides.task),
        folder=Path(settings.output_dir),
        ranks=connected,
        device=used,
        precision=device.Precision(settings.run, used),
        splits=splits,
        order=data_config.order,
        build_network=lambda: device.place(network(network_config, spec), used, settings.framework),
        build_task=lambda: task(task_config, spec, data_config.img_transform),
    )
    return importlib.import_module(f"airshower.modes.{settings.mode.name}").run(job)


def _run_and_exit(cfg: DictConfig) -> None:
    try:
        code = run(cfg)
    except UserError as error:
        fail(str(error), error.exit_code)
    except OSError as error:  # a full disk, a folder without permission
        fail(f"{error.filename or 'output'}: {error.strerror or error}", 1)
    except KeyboardInterrupt:
        fail("interrupted", 130)
    finally:
        from airshower.runtime import log

        log.stop_log()
    if code:
        raise SystemExit(code)


def _check_fit(parts: dict[str, tuple[type, object]]) -> None:
    """Refuse a network or task that reads another kind of data, before any file is opened."""
    kind = parts["data"][0].kind
    for name in ("network", "task"):
        reads = parts[name][0].reads
        if reads != kind:
            fitting = ", ".join(_data_of_kind(reads)) or "none"
            raise UserError(f"{name}: reads {reads}, but this data gives {kind}; data that fits: {fitting}")


def _data_of_kind(kind: str) -> list[str]:
    from omegaconf import OmegaConf

    files = sorted((conf_folder() / "data").glob("*.yaml"))
    return [path.stem for path in files if build.target(OmegaConf.load(path), "data").kind == kind]


def _one_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    cause = getattr(error, "__cause__", None)
    details = [line.strip() for line in str(cause).splitlines()[:1]] if cause else []
    return "; ".join(
        dict.fromkeys([line for line in lines if not line.startswith(("object_type", "full_key"))] + details)
    )


if __name__ == "__main__":
    cli()
