"""Where files that can be made again are kept."""

import os
from pathlib import Path


def cache_folder() -> Path:
    """`AIRSHOWER_CACHE`, or `airshower` in the user's cache folder (`XDG_CACHE_HOME`, else ~/.cache)."""
    chosen = os.environ.get("AIRSHOWER_CACHE")
    base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return Path(chosen).expanduser() if chosen else base / "airshower"
