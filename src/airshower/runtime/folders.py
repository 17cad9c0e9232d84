"""Where files that can be made again are kept, and the names of files that are being written."""

import hashlib
import json
import os
import platform
from pathlib import Path
from typing import Any


def cache_folder() -> Path:
    """`AIRSHOWER_CACHE`, or `airshower` in the user's cache folder (`XDG_CACHE_HOME`, else ~/.cache)."""
    chosen = os.environ.get("AIRSHOWER_CACHE")
    base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return Path(chosen).expanduser() if chosen else base / "airshower"


def partial(path: Path) -> Path:
    """A name beside `path`, of this process alone, to write to before the file is whole."""
    return path.with_name(f".{path.name}.{platform.node()}.{os.getpid()}.partial")


def simulated_file(folder: str, stem: str, made_from: dict[str, Any], suffix: str) -> tuple[Path, str]:
    """Where simulated events lie in the cache, and `made_from` as text, of which the name has a hash: events made from
    anything else have another file."""
    text = json.dumps(made_from, sort_keys=True)
    key = hashlib.sha256(text.encode()).hexdigest()[:16]
    return cache_folder() / folder / f"{stem}_{key}{suffix}", text
