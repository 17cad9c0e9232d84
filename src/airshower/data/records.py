"""Events as rows of quantities, in the units of files and as network inputs."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np

from airshower.data.quantity import Quantity


@dataclass(frozen=True, eq=False)
class Records:
    """`values` f8 [events, quantities] in the quantities' units; there may be none of either."""

    quantities: tuple[Quantity, ...]
    values: np.ndarray

    def __len__(self) -> int:
        return len(self.values)

    @classmethod
    def of_scaled(cls, quantities: tuple[Quantity, ...], scaled: np.ndarray) -> Self:
        """From network inputs [events, quantities]: multiples of the quantities' steps, as files have them. Counts are
        not below 0, and nothing is below what it has a logarithm of."""
        columns = [_stepped(quantity, column) for quantity, column in zip(quantities, scaled.T, strict=True)]
        return cls(quantities, np.stack(columns, 1) if columns else np.zeros((len(scaled), 0)))

    @classmethod
    def joined(cls, tables: Sequence[Self]) -> Self:
        """The events of all, which have the same quantities."""
        return cls(tables[0].quantities, np.concatenate([table.values for table in tables]))

    @property
    def scaled(self) -> np.ndarray:
        """Network inputs, float32 [events, quantities]."""
        columns = [quantity.scaled(column) for quantity, column in self.columns()]
        return np.stack(columns, 1) if columns else np.zeros(self.values.shape, np.float32)

    def columns(self) -> list[tuple[Quantity, np.ndarray]]:
        """Each quantity with its values."""
        return list(zip(self.quantities, self.values.T, strict=True))

    def rows(self, chosen: np.ndarray) -> Self:
        """Some of the events."""
        return type(self)(self.quantities, self.values[chosen])


def _stepped(quantity: Quantity, scaled: np.ndarray) -> np.ndarray:
    with np.errstate(over="ignore"):  # what is too large is infinite
        values = quantity.physical(scaled)
    if quantity.step:
        values = quantity.step * np.round(values / quantity.step)
        if quantity.logarithmic or quantity.step == 1.0:
            values = np.maximum(values, quantity.step if quantity.logarithmic and not quantity.floor else 0.0)
    return values
