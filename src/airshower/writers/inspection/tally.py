"""Statistics of a channel, which are the same however its events are cut into batches and dealt to ranks."""

from typing import Any, Self

import numpy as np

from airshower.data.channels import Channel
from airshower.statistics.value_counts import ValueCounts

QUANTILES = {"q01": 0.01, "q05": 0.05, "q16": 0.16, "q50": 0.5, "q84": 0.84, "q95": 0.95, "q99": 0.99}
PLACE, NUMBER, SUM, LOW, HIGH, ZEROS, NOT_FINITE = range(7)


class Tally:
    """Values of one channel: their counts, and of each event sum, range and numbers. `container`, `name`, `unit`,
    `names`, `count` and `log` are those of the channel."""

    def __init__(self, channel: Channel):
        self.container = channel.container
        self.name = channel.name
        self.unit = channel.unit
        self.names = channel.names
        self.count = channel.count
        self.log = channel.log
        self.counts = ValueCounts()
        self._events: list[np.ndarray] = []

    def add(self, channel: Channel, places: np.ndarray) -> None:
        """Add a batch, whose events have these places among all that are read, int64 [events]."""
        finite = np.isfinite(channel.values)
        values = np.asarray(channel.values[finite], np.float64)
        event = channel.event[finite]
        rows = np.zeros((len(places), 7))
        rows[:, PLACE] = places
        rows[:, NUMBER] = np.bincount(event, minlength=len(places))
        rows[:, SUM] = np.bincount(event, values, len(places))
        rows[:, LOW], rows[:, HIGH] = np.inf, -np.inf
        np.minimum.at(rows[:, LOW], event, values)
        np.maximum.at(rows[:, HIGH], event, values)
        rows[:, ZEROS] = np.bincount(event[values == 0], minlength=len(places))
        rows[:, NOT_FINITE] = np.bincount(channel.event[~finite], minlength=len(places))
        self._events.append(rows)
        self.counts.add(values)

    def joined(self, other: Self) -> None:
        """Add the events of another rank."""
        self._events += other._events
        self.counts.joined(other.counts)

    @property
    def events(self) -> np.ndarray:
        """A row for each event, in the order of their places, f8 [events, 7]; see the constants."""
        rows = np.concatenate(self._events)
        return rows[np.argsort(rows[:, PLACE])]

    @property
    def exact(self) -> np.ndarray | None:
        """The values themselves, where no event has more than one: f8 [values]."""
        rows = self.events
        return rows[rows[:, NUMBER] == 1, SUM] if (rows[:, NUMBER] <= 1).all() else None

    def record(self) -> dict[str, Any]:
        """The channel in the report: see `described`."""
        rows = self.events
        number = int(rows[:, NUMBER].sum())
        about: dict[str, Any] = {
            "unit": self.unit,
            "values": number,
            "events": int((rows[:, NUMBER] > 0).sum()),
            "not_finite": int(rows[:, NOT_FINITE].sum()),
            "zeros": int(rows[:, ZEROS].sum()),
            "empty": int(rows[:, ZEROS].sum()) if self.count else 0,
        }
        if self.names:
            return about | {"classes": {name: self.counts.of(row) for row, name in enumerate(self.names)}}
        exact = self.exact
        if exact is not None:
            return about | described(exact)
        if not number:
            return about | described(np.zeros(0))
        low, high = float(rows[:, LOW].min()), float(rows[:, HIGH].max())
        quantiles = self.counts.quantiles(np.array(list(QUANTILES.values()))).clip(low, high)
        mean = float(rows[:, SUM].sum()) / number
        return about | {"min": low, "max": high, "mean": mean} | _named(quantiles)


def described(values: np.ndarray) -> dict[str, Any]:
    """Range, mean and quantiles of finite values [n]; None without any."""
    if not len(values):
        return dict.fromkeys(("min", "max", "mean")) | {"quantiles": dict.fromkeys(QUANTILES)}
    values = np.asarray(values, np.float64)
    ends = {"min": float(values.min()), "max": float(values.max()), "mean": float(values.mean())}
    return ends | _named(np.quantile(values, list(QUANTILES.values())))


def _named(quantiles: np.ndarray) -> dict[str, dict[str, float]]:
    return {"quantiles": dict(zip(QUANTILES, quantiles.tolist(), strict=True))}
