"""Where files that can be made again are kept, and the names of files that are being written."""

import os
import platform
from pathlib import Path


def cache_folder() -> Path:
    """`AIRSHOWER_CACHE`, or `airshower` in the user's cache folder (`XDG_CACHE_HOME`, else ~/.cache)."""
    chosen = os.environ.get("AIRSHOWER_CACHE")
    base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return Path(chosen).expanduser() if chosen else base / "airshower"


def partial(path: Path) -> Path:
    """A name beside `path`, of this process alone, to write to before the file is whole."""
    return path.with_name(f".{path.name}.{platform.node()}.{os.getpid()}.partial")
