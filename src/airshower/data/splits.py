"""Which events are trained on, validated on and tested on."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Generic, Self, TypeVar

import numpy as np

from airshower.data.containers import Container
from airshower.data.source import Source
from airshower.data.truth import Column
from airshower.errors import UserError
from airshower.runtime.ranks import Ranks

SourceT_co = TypeVar("SourceT_co", bound=Source, covariant=True)


@dataclass(frozen=True)
class Selection(Generic[SourceT_co]):
    """Some entries of a source, int64 [n]."""

    source: SourceT_co
    entries: np.ndarray


Part = Selection[SourceT_co] | Callable[[], Selection[SourceT_co]]
"""A selection, or a function that makes it."""


class Splits(Generic[SourceT_co]):
    """The selections that are trained on, validated on (None: nothing is) and tested on.

    Inference and iotest run over `test`. A part that is given as a function is made when it is first used.
    """

    def __init__(self, train: Part[SourceT_co], validation: Part[SourceT_co] | None, test: Part[SourceT_co]):
        self._parts: dict[str, Part[SourceT_co] | None] = {"train": train, "validation": validation, "test": test}

    @property
    def train(self) -> Selection[SourceT_co]:
        """The events to train on."""
        train = self._selection("train")
        assert train is not None
        return train

    @property
    def validation(self) -> Selection[SourceT_co] | None:
        """The events to validate on."""
        return self._selection("validation")

    @property
    def test(self) -> Selection[SourceT_co]:
        """The events that inference and iotest run over."""
        test = self._selection("test")
        assert test is not None
        return test

    def selections(self, names: tuple[str, ...]) -> list[Selection[SourceT_co]]:
        """The selections of these names, without a validation that is None."""
        return [part for part in map(self._selection, names) if part is not None]

    def held_out(self, seed: int) -> "Splits[SourceT_co]":
        """The same splits where the events to validate on take the place of those to train on: one half of their
        showers is trained on, the other validated on. For what learns from the outputs of a network that was trained
        on the others. Raises `UserError` where there are none."""
        validation = self.validation
        if validation is None:
            raise UserError(
                "data: no events are held out from the network's training, which a stack learns from; give "
                "data.validation_fraction or data.aux_file, as for the network"
            )
        source: Any = validation.source
        entries = validation.entries
        train, validated, _ = split_by_shower(entries, source.showers[entries], 0.5, 0.0, seed)
        return Splits(Selection(source, train), Selection(source, validated), self._parts["test"] or validation)

    def tested_on(self, test: Selection[SourceT_co]) -> "Splits[SourceT_co]":
        """The same splits with another `test`."""
        train, validation, _ = self._parts.values()
        assert train is not None
        return Splits(train, validation, test)

    def _selection(self, name: str) -> Selection[SourceT_co] | None:
        part = self._parts[name]
        if callable(part):
            part = self._parts[name] = part()
        return part


def digest(selections: list[Selection]) -> str:
    """A hash of the content of all files that the selections read."""
    return " ".join(dict.fromkeys(selection.source.digest for selection in selections))


def split_by_shower(
    entries: np.ndarray, showers: np.ndarray, validation: float, test: float, seed: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Entries to train on, to validate on and to test: the last two are of the given fractions of the showers.

    Entries int64 [n] whose `showers` [n] are equal are all in one part. Raises `UserError` if none is left to train on.
    """
    shower = np.unique(showers, return_inverse=True)[1].reshape(-1)
    count = int(shower.max()) + 1
    held_out = [int(np.ceil(count * fraction)) for fraction in (validation, test)]
    if sum(held_out) >= count:
        raise UserError(
            f"data.validation_fraction={validation}, data.test_fraction={test}: leave none of {count} showers to "
            "train on"
        )
    rank = np.random.default_rng(seed).permutation(count)[shower]
    edges = (sum(held_out), count), (0, held_out[0]), (held_out[0], sum(held_out))
    train, validated, tested = (entries[(low <= rank) & (rank < high)] for low, high in edges)
    return train, validated, tested


class Data(ABC):
    """What `data=NAME` names: opens the sources of a run. It has a dataclass `Config`, an `OrderConfig`;
    `containers` are those of its batches by name, whatever the config."""

    Config: type
    containers: ClassVar[Mapping[str, type[Container]]]

    def __init__(self, config: Any, seed: int):
        self.config = config
        self.seed = seed

    @classmethod
    def gives(cls, config: Any) -> Mapping[str, type[Container]]:
        """The containers of its batches with this config, by name."""
        return cls.containers

    @classmethod
    def recognises(cls, path: Path) -> bool:
        """Whether a file has data of this kind, by its content; never for simulated data."""
        return False

    @classmethod
    def columns(cls, config: Any) -> tuple[Column, ...]:
        """The columns of truth that such files may have."""
        return ()

    def prepare(self, ranks: Ranks) -> None:
        """Does what ranks can share before each of them opens the data. Collective."""

    def in_full(self) -> Self:
        """These data for a look at them: with what the files hold and only some networks ask for, and without what they
        lack."""
        return self

    @abstractmethod
    def everything(self) -> Selection:
        """All events that pass the cuts, not split."""

    @abstractmethod
    def open(self) -> Splits:
        """Opens what is trained on, validated on and predicted."""
