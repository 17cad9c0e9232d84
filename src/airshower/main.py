"""The command line: `bin/exec.py` and the installed command `airshower`."""

import argparse
import errno
import os
import sys
import time
import traceback
from pathlib import Path
from typing import NoReturn

from hydra import version
from hydra._internal.utils import _run_hydra, get_args_parser
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

from airshower.assembly.compose import conf_folder, one_line
from airshower.assembly.recorded import with_recorded
from airshower.assembly.run import run
from airshower.config import record, renamed
from airshower.errors import UserError, shortage
from airshower.runtime.launcher import launched


def cli() -> None:
    """Run the command line. A user's mistake is one line on stderr and exit code 2, on however many ranks."""
    os.environ.setdefault("HYDRA_FULL_ERROR", "1")  # lets hydra's errors reach us instead of being printed at length
    for word in sys.argv[1:]:  # hydra would print the usage of all its options
        if word.startswith("--") and (advice := renamed.advice(word.partition("=")[0])):
            _end(UserError(advice), advice, UserError.exit_code)
    os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")  # not its stack traces of lost connections: we name the rank
    version.setbase("1.3")
    parser = get_args_parser()
    arguments = parser.parse_args()
    try:
        _check(arguments)
        with_recorded(arguments.overrides, lambda words: _start(parser, arguments, words))
    except UserError as error:
        _end(error, str(error), error.exit_code)
    except (HydraException, OmegaConfBaseException) as error:
        _end(error, one_line(error), 2)
    except ValueError as error:  # of an override such as data=null
        if not _is_of_hydra(error):
            raise
        _end(error, one_line(error), 2)
    except OSError as error:
        _end(error, _system_line(error, error), 1)


def _check(arguments: argparse.Namespace) -> None:
    """Refuse options of hydra's that do something else than they seem to."""
    if arguments.experimental_rerun is not None:
        raise UserError("--experimental-rerun: would execute what is in a file; run.folder=FOLDER goes on with a run")
    folder = arguments.config_dir and Path(arguments.config_dir)
    if folder and record.is_sealed(folder / "config.yaml"):
        raise UserError(f"--config-dir={folder}: is the folder of a run; run.folder={folder} goes on with it")


def _start(parser: argparse.ArgumentParser, arguments: argparse.Namespace, words: list[str]) -> None:
    """What `hydra.main` does, with these words. It would take those of `sys.argv` alone."""
    _run_hydra(
        args=argparse.Namespace(**{**vars(arguments), "overrides": words}),
        args_parser=parser,
        task_function=_run_and_exit,
        config_path=str(conf_folder()),
        config_name="config",
    )


def _run_and_exit(cfg: DictConfig) -> None:
    try:
        if launched().size > 1 and HydraConfig.get().mode == RunMode.MULTIRUN:
            raise UserError(
                "--multirun: every rank would run every job into the same folders; launch each job by itself"
            )
        code = run(cfg, list(HydraConfig.get().overrides.task))
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
    """Print one line and exit; of several ranks, one prints, and all exit."""
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
    """True if other processes work on this run."""
    mpi = sys.modules.get("airshower.runtime.mpi")
    connected = mpi.connected() if mpi else None
    return launched().size > 1 or (connected is not None and connected.size > 1)


def _is_of_hydra(error: Exception) -> bool:
    """True if hydra raised it, not what it runs."""
    *_, (frame, _) = traceback.walk_tb(error.__traceback__)
    return frame.f_globals.get("__name__", "").startswith("hydra.")


if __name__ == "__main__":
    cli()
