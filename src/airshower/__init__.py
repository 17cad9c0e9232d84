"""Deep learning on astroparticle detectors: liquid argon, Cherenkov telescopes and water tanks.

    import airshower

    events = airshower.open("gammas.dl1.h5", mode="stereo")
    run = airshower.load("output/torch/cta_stereo_hex/run")
    table = run.predict(events)

Types are in `__init__.pyi`.
"""

from typing import Any

__version__ = "0.1.0"

_PLACES = {
    "Events": ("events", "Events"),
    "open": ("events", "open_events"),
    "Run": ("run", "Run"),
    "load": ("run", "load"),
    "train": ("training", "train"),
}


def __getattr__(name: str) -> Any:
    """What is asked for is imported then: torch takes seconds."""
    if name not in _PLACES:
        raise AttributeError(f"module 'airshower' has no attribute {name!r}")
    import importlib

    module, attribute = _PLACES[name]
    return getattr(importlib.import_module(f"airshower.library.{module}"), attribute)


def __dir__() -> list[str]:
    return sorted([*globals(), *_PLACES])
