"""From the command line to a run: `bin/exec.py` and the installed command `airshower`."""

import contextlib
import errno
import importlib
import os
import sys
import time
import traceback
from pathlib import Path
from typing import Any, NoReturn

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

from airshower.config import build, record
from airshower.config.schema import Settings
from airshower.errors import UserError, shortage
from airshower.runtime.launcher import launched
from airshower.runtime.stop import StopSignal, clean_end


def conf_folder() -> Path:
    """The yamls: inside the package where it was installed from a wheel, at the top of a checkout otherwise."""
    installed = Path(__file__).parent / "conf"
    return installed if installed.is_dir() else Path(__file__).parents[2] / "conf"


def cli() -> None:
    """Run the command line. A user's mistake is one line on stderr and exit code 2, on however many ranks."""
    os.environ.setdefault("HYDRA_FULL_ERROR", "1")  # lets hydra's errors reach us instead of being printed at length
    os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")  # not its stack traces of lost connections: we name the rank
    try:
        hydra.main(version_base="1.3", config_path=str(conf_folder()), config_name="config")(_run_and_exit)()
    except (HydraException, OmegaConfBaseException) as error:
        _end(error, _one_line(error), 2)
    except ValueError as error:  # of an override such as data=null
        if not _is_of_hydra(error):
            raise
        _end(error, _one_line(error), 2)
    except OSError as error:
        _end(error, _system_line(error, error), 1)


def run(cfg: DictConfig) -> int:
    """One run from its composed config to the exit code; the path of the data from top to bottom."""
    settings = build.settings(cfg)
    names = ("data", "network", "task")
    _check_fit({name: build.target(cfg[name], name) for name in names})
    parts = {name: build.component(cfg[name], name) for name in names}
    if launched().size > 1 and HydraConfig.get().mode == RunMode.MULTIRUN:
        raise UserError("--multirun: every rank would run every job into the same folders; launch each job by itself")
    os.environ.update(settings.framework.environment_variables)
    # only training can be stopped half-way and go on: in the other modes a signal ends the process
    with clean_end(), StopSignal() if settings.mode.name == "train" else contextlib.nullcontext() as stop:
        return _run(cfg, settings, parts, stop)


def _run(cfg: DictConfig, settings: Settings, parts: dict[str, tuple[type, Any]], stop: StopSignal | None) -> int:
    from airshower.modes.job import Job
    from airshower.runtime import device, folders, log, mpi, seeds

    log.start_log(speaks=launched().rank == 0)
    connected = mpi.connect(settings.run.distributed, settings.run.timeout)
    config = record.resolved(cfg)
    record.check_same(connected.exchange(record.identity(config)))
    device.prepare_machine(settings.framework, connected)
    used = device.choose_device(settings.run.compute_mode, connected)
    connected.start_torch(used)
    seeds.seed_everything(settings.framework.seed, connected.rank, settings.framework.deterministic)
    (data, data_config), (network, network_config), (task, task_config) = parts.values()
    if connected.local_rank == 0:
        folders.sweep_cache()
    splits = connected.in_turn(data(data_config, settings.framework.seed).open)
    spec = splits.train.source.spec
    record.check_same(connected.exchange({"the content of its data files": splits.digest}))
    job = Job(
        settings=settings,
        config=config,
        overrides=list(HydraConfig.get().overrides.task),
        folder=Path(settings.output_dir),
        ranks=connected,
        stop=stop,
        device=used,
        precision=device.Precision(settings.run, used),
        splits=splits,
        order=data_config.order,
        build_task=lambda: task(task_config, spec, network.sees(spec)),
        build_network=lambda outputs: device.place(
            network(network_config, spec, outputs, settings.framework), used, settings.framework
        ),
    )
    code = importlib.import_module(f"airshower.modes.{settings.mode.name}").run(job)
    connected.close()
    return code


def _run_and_exit(cfg: DictConfig) -> None:
    try:
        code = run(cfg)
    except UserError as error:
        _end(error, f"{error}{_advice(error)}", error.exit_code)
    except KeyboardInterrupt as error:
        _end(error, "interrupted", 130)
    except Exception as error:
        if cause := shortage(error) or (error if isinstance(error, OSError) else None):  # or a folder not to be read
            _end(error, _system_line(cause, error), 1)
        if not _among_several():
            raise
        _end(error, f"{type(error).__name__}: {error}".splitlines()[0], 1, traceback.format_exc())
    finally:
        if "airshower.runtime.log" in sys.modules:
            sys.modules["airshower.runtime.log"].stop_log()
    if code:
        raise SystemExit(code)


def _end(error: BaseException, message: str, exit_code: int, details: str = "") -> NoReturn:
    """Say what is wrong in one line and end; of several ranks, one speaks, and all end."""
    if _among_several():
        from airshower.runtime import failure, mpi

        if isinstance(error, failure.RanksError):
            message = str(error)
        try:
            connected = mpi.connected() or mpi.connect(True, 60.0)
            if connected.failures:
                connected.failures.leave(failure.report(error, message, exit_code, details))
        except (UserError, failure.RanksError) as other:
            message = str(other)
        # ranks that can't meet can't agree who speaks either; the first to end ends all: let rank 0 speak before
        time.sleep(min(launched().rank, 1))
    print(f"airshower: {message}", file=sys.stderr, flush=True)
    if _among_several() and (connected := mpi.connected()):
        connected.abort(exit_code)
    raise SystemExit(exit_code)


def _system_line(cause: OSError, error: Exception) -> str:
    return f"{os.fsdecode(cause.filename or 'output')}: {cause.strerror or cause}{_advice(error)}"


def _advice(error: Exception) -> str:
    cause = shortage(error)
    too_many = cause is not None and cause.errno in (errno.EMFILE, errno.ENFILE)
    return "; raise the limit of open files, as with ulimit -n 4096" if too_many else ""


def _among_several() -> bool:
    """Whether other processes work on this run, by what the launcher says or by what was found."""
    mpi = sys.modules.get("airshower.runtime.mpi")
    connected = mpi.connected() if mpi else None
    return launched().size > 1 or (connected is not None and connected.size > 1)


def _check_fit(parts: dict[str, type]) -> None:
    """Refuse a network or task that reads another kind of data, and a network that asks for another task, before any
    file is opened."""
    kind = parts["data"].kind
    for name in ("network", "task"):
        reads = parts[name].reads
        if reads != kind:
            fitting = ", ".join(_data_of_kind(reads)) or "none"
            raise UserError(f"{name}: reads {reads}, but this data gives {kind}; data that fits: {fitting}")
    wanted = getattr(parts["network"], "task", None)
    if wanted and wanted != getattr(parts["task"], "name", None):
        raise UserError(f"task: this network is trained with task={wanted}")


def _data_of_kind(kind: str) -> list[str]:
    from omegaconf import DictConfig, OmegaConf

    files = sorted((conf_folder() / "data").glob("*.yaml"))
    nodes = {path.stem: OmegaConf.load(path) for path in files}
    return [
        name for name, node in nodes.items() if isinstance(node, DictConfig) and build.target(node, "data").kind == kind
    ]


def _is_of_hydra(error: Exception) -> bool:
    """True if hydra raised it, not what it runs."""
    *_, (frame, _) = traceback.walk_tb(error.__traceback__)
    return frame.f_globals.get("__name__", "").startswith("hydra.")


def _one_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    cause = getattr(error, "__cause__", None)
    details = [line.strip() for line in str(cause).splitlines()[:1]] if cause else []
    return "; ".join(
        dict.fromkeys([line for line in lines if not line.startswith(("object_type", "full_key"))] + details)
    )


if __name__ == "__main__":
    cli()
