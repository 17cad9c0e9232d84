"""How much of each class of events an epoch has."""

import numpy as np

from airshower.data.order import OrderConfig
from airshower.data.source import Source
from airshower.data.truth import CLASS
from airshower.errors import UserError


class Shares:
    """Draws the entries of epochs: `data.share` of those of the classes `data.share_of`, and all others. So rare ones
    are seen more often beside the rest, and no entry twice an epoch.

    The classes are those of a column of truth. Raises `UserError` for a class that the data lack.
    """

    def __init__(self, entries: np.ndarray, source: Source, config: OrderConfig):
        names = set(config.share_of)
        columns = [column for column in source.spec.truth if column.kind == CLASS and column.name in source.spec.known]
        column = next((column for column in columns if names <= set(column.classes)), None)
        if column is None or not names:
            known = "; ".join(f"{column.name}: {', '.join(column.classes)}" for column in columns)
            raise UserError(
                f"data.share_of={config.share_of}: must name classes of one column of truth ({known or 'none'})"
            )
        if config.order == "random_blocks":
            raise UserError(f"data.share={config.share}: works with data.order=shuffled and serial")
        rows = [row for row, name in enumerate(column.classes) if name in names]
        frequent = np.isin(source.truth(entries, (column.name,))[column.name], rows)
        self._frequent, self._rest = entries[frequent], entries[~frequent]
        self._drawn = round(config.share * len(self._frequent))
        self.count = self._drawn + len(self._rest)
        """Entries of an epoch."""
        if not self.count:
            raise UserError(f"data.share={config.share}: leaves nothing to train on")

    def draw(self, generator: np.random.Generator) -> np.ndarray:
        """The entries of an epoch in ascending order."""
        drawn = generator.choice(self._frequent, self._drawn, replace=False)
        return np.sort(np.concatenate([drawn, self._rest]))
