"""Conversion of recorded hits to one hit per PMT, with times optionally relative to the shower's front."""

import numpy as np

from airshower.data.hits import TankHits
from airshower.geometry.shower_front import LIGHT_SPEED

KEEP = ("largest", "first", "last")


def one_hit_each(hits: TankHits, keep: str) -> TankHits:
    """Of several hits on a PMT in an event, that of the largest charge, or the first or the last one in time; in the
    order of events and PMTs. Of hits with equal charges the first is taken, of those at equal times the largest."""
    pmt = hits.event * (hits.grid_id.max(initial=0) + 1) + hits.grid_id
    if keep == "largest":
        order = _order(pmt, -hits.charge, hits.time)
    else:
        assert hits.time is not None
        order = _order(pmt, hits.time if keep == "first" else -hits.time, -hits.charge)
    best = np.diff(pmt[order], prepend=-1) != 0
    return hits.rows(order[best])


def behind_plane(hits: TankHits, towards: np.ndarray, position: np.ndarray) -> np.ndarray:
    """The delays of hits (ns) to a plane from the direction `towards` [events, 2], the horizontal part of its unit
    vector. The offset of the plane is the charge-weighted median time.

    Charges are summed within their event, so that its times do not depend on the events that are read with it."""
    along = (position[hits.grid_id - 1, :2] * towards[hits.event]).sum(1)
    time = hits.time + along / LIGHT_SPEED
    order = _order(hits.event, time, hits.charge)
    ordered = time[order]
    charge = hits.charge[order]
    counts = np.bincount(hits.event, minlength=len(towards))
    middle = np.zeros(len(towards))
    begin = 0
    for event, end in enumerate(np.cumsum(counts).tolist()):
        if begin < end:
            collected = charge[begin:end].cumsum()
            middle[event] = ordered[begin + collected.searchsorted(collected[-1] / 2)]
        begin = end
    return time - middle[hits.event]


def _order(group: np.ndarray, value: np.ndarray, tie: np.ndarray | None) -> np.ndarray:
    """Indices that sort hits by group, then value, then `tie`, so that the result does not depend on the order of
    hits."""
    order = np.lexsort((value, group))
    equal = (np.diff(value[order]) == 0) & (np.diff(group[order]) == 0)
    if tie is not None and equal.any():  # seldom; a third key takes half as long again
        order = np.lexsort((tie, value, group))
    return order
