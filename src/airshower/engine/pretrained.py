"""Trained networks that come with the package: a checkpoint and a card each, in the folder `pretrained`."""

from pathlib import Path
from typing import Any

import torch

from airshower.engine.average import averaged

FOLDER = Path(__file__).parents[1] / "pretrained"
KEPT = ("step", "outputs", "spec", "version", "data", "config")


def names() -> list[str]:
    """The networks that there are weights of."""
    return sorted(path.stem for path in FOLDER.glob("*.ckpt"))


def find(name: str) -> Path | None:
    """The checkpoint of a network, or None."""
    return FOLDER / f"{name}.ckpt" if name in names() else None


def condensed(state: dict[str, Any]) -> dict[str, Any]:
    """What is handed on of a checkpoint: the weights (their averages, if there are any) as float16, and what they are
    of. Half precision rounds them by up to 5e-4 of themselves."""
    weights = averaged(state).items()
    halves = {name: value.half() if value.dtype == torch.float32 else value for name, value in weights}
    return {**{name: state[name] for name in KEPT if name in state}, "model": halves}
