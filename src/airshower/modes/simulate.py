"""mode=simulate: simulated events as a file of the detector's own format, where the user wants it."""

from pathlib import Path

from airshower.config.schema import SimulateConfig
from airshower.data.simulated import SimulatedData, SimulatedFile
from airshower.errors import UserError
from airshower.modes.job import Job
from airshower.runtime.log import logger

SPLITS = ()
"""What is opened before the run starts: nothing."""


def run(job: Job[SimulateConfig]) -> int:
    """Write the events of `mode.split` to `mode.file` and return 0; the master works. Collective.

    Raises `UserError` on all ranks where the file can't be written, or would replace another one unasked.
    """
    mode = job.settings.mode
    assert isinstance(job.data, SimulatedData)
    name, events, seed = job.data.sample(mode.split)
    files = job.data.files(name, events, seed)
    paths = destinations(Path(mode.file).expanduser(), files)
    overwrite = job.settings.run.overwrite
    refusals = job.ranks.broadcast([text for path in paths.values() if (text := refusal(path, overwrite))])
    if refusals:
        raise UserError(f"mode.file={refusals[0]}")
    if job.ranks.master:
        for part, path in paths.items():
            files[part].write_to(path)
            size = path.stat().st_size / 1e6
            logger.info("%s: %s events of the %s split, %.1f MB", path, part or "all", name, size)
    job.ranks.barrier(patient=True)
    return 0


def destinations(path: Path, files: dict[str, SimulatedFile]) -> dict[str, Path]:
    """Where each file goes: to `path`, several with what tells them apart before the suffix, as events_gamma.xcd."""
    if len(files) == 1:
        return dict.fromkeys(files, path)
    suffix = next(iter(files.values())).suffix
    suffix = suffix if path.name.endswith(suffix) else path.suffix
    stem = path.name.removesuffix(suffix)
    return {part: path.with_name(f"{stem}_{part}{suffix}") for part in files}


def refusal(path: Path, overwrite: bool) -> str:
    """Why a file is not to be written here, in words; empty if it may be."""
    if not path.parent.is_dir():
        return f"{path}: there is no folder {path.parent}; make it first"
    if path.is_dir():
        return f"{path}: is a folder; name a file in it"
    if path.exists() and not overwrite:
        return f"{path}: exists; choose another name, or run.overwrite=true to replace it"
    return ""
