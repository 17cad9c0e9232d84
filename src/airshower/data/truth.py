"""The simulated truth of events: named columns with kind and unit, read when they are asked for."""

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from airshower.data.containers import Container

CLASS, NUMBER, DIRECTION, POSITION = "class", "number", "direction", "position"


@dataclass(frozen=True)
class Column:
    """One column of truth.

    kind       values of n events
    class      int64 [n], rows of `classes`; -1 where the event is of none of them
    number     [n] in `unit`
    direction  [n, 2], altitude and azimuth in rad of where it comes from
    position   [n, ..., 2 or 3] in `unit`

    Numbers are of the type that files have, NaN where they are not known. `parts` names the numbers of a direction or
    position as columns of a table of events. Directions of `whole_sky` are learned as unit vectors, others in a plane
    that touches the sky at the frame's axis.
    """

    name: str
    kind: str
    unit: str = ""
    classes: tuple[str, ...] = ()
    parts: tuple[str, ...] = ()
    whole_sky: bool = False


Columns = dict[str, np.ndarray]


@dataclass(frozen=True, eq=False)
class Truth:
    """The truth of a batch's events, int64 `entries` [n] of a source: `read(entries, names)`, the source's, gives those
    columns of these names that the files have."""

    read: Callable[[np.ndarray, tuple[str, ...]], Columns]
    entries: np.ndarray

    def get(self, *names: str) -> Columns:
        """Columns by name; those that files lack are left out."""
        return self.read(self.entries, names)

    def taken(self, rows: np.ndarray) -> Self:
        """The truth of some of the events."""
        return dataclasses.replace(self, entries=self.entries[rows])

    @classmethod
    def joined(cls, parts: Sequence[Self]) -> Self | None:
        """The truth of the events of all parts, which are of one source; None without parts."""
        return cls(parts[0].read, np.concatenate([part.entries for part in parts])) if parts else None


@dataclass(frozen=True, eq=False)
class Frame(Container):
    """What directions and positions are learned relative to, of each event.

    `axis` float32 [n, 2]: altitude and azimuth in rad where the plane touches the sky in whose coordinates directions
    are learned, such as a telescope's pointing or the zenith; None where the whole sky is seen.
    `origin` float32 [n, 2 or 3] in m, as are columns of positions that are learned: what these are relative to.
    """

    axis: Any
    origin: Any
