"""Which files are read, and which of their events are held out."""

import glob
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from airshower.data.source import Selection, Source, Splits
from airshower.errors import DataError, UserError


def matching_files(directory: str, files: str | Sequence[str], key: str = "data.file") -> list[Path]:
    """The files that a path, a pattern or a list of them names, each once."""
    found: dict[Path, None] = {}
    for file in [files] if isinstance(files, str) else files:
        pattern = str(Path(directory).expanduser() / Path(str(file)).expanduser())
        matching = sorted(glob.glob(pattern)) if glob.has_magic(pattern) and not Path(pattern).exists() else [pattern]
        if not matching:
            raise DataError(f"{pattern}: no file matches")
        found |= dict.fromkeys(map(Path, matching))
    if not found:
        raise UserError(f"{key}: is empty")
    return list(found)


def split_by_shower(source: Source, showers: np.ndarray, validation: float, test: float, seed: int) -> Splits:
    """Train, validation and test, so large fractions of the showers: entries of which `showers` [entries] is the same
    are all in one of them. Inference runs over the test, or over everything where none is held out as such. Raises
    `UserError` if nothing is left to train on."""
    shower = np.unique(showers, return_inverse=True)[1].reshape(-1)
    count = int(shower.max()) + 1
    held = [int(np.ceil(count * fraction)) for fraction in (validation, test)]
    if sum(held) >= count:
        raise UserError(
            f"data.validation_fraction={validation}, data.test_fraction={test}: leave none of {count} showers to "
            "train on"
        )
    place = np.random.default_rng(seed).permutation(count)[shower]
    edges = (sum(held), count), (0, held[0]), (held[0], sum(held))
    train, validated, tested = (Selection(source, np.flatnonzero((a <= place) & (place < b))) for a, b in edges)
    whole = tested if test else Selection(source, np.arange(len(source)))
    return Splits(train, validated if len(validated.entries) else None, whole)
