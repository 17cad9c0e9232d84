"""From hits as files have them to one hit of a PMT, with its time relative to the shower's front if so wanted."""

import numpy as np

from airshower.data.shower_front import LIGHT_SPEED
from airshower.data.tanks import TankHits

KEEP = ("largest", "first", "last")


def one_hit_each(hits: TankHits, keep: str) -> TankHits:
    """Of several hits on a PMT in an event, that of the largest charge, or the first or the last one in time; in the
    order of events and PMTs."""
    if keep == "largest":
        preferred = -hits.charge
    else:
        assert hits.time is not None
        preferred = hits.time if keep == "first" else -hits.time
    order = np.lexsort((preferred, hits.grid_id, hits.event))
    event, grid_id = hits.event[order], hits.grid_id[order]
    best = np.ones(len(order), bool)
    best[1:] = (np.diff(event) != 0) | (np.diff(grid_id) != 0)
    return hits.rows(order[best])


def behind_plane(hits: TankHits, towards: np.ndarray, position: np.ndarray) -> np.ndarray:
    """When hits come (ns) after a plane from the direction `towards` [events, 2], the horizontal part of its unit
    vector. The plane is the one before which the half of the event's charge has come."""
    along = (position[hits.grid_id - 1, :2] * towards[hits.event]).sum(1)
    time = hits.time + along / LIGHT_SPEED
    order = np.lexsort((time, hits.event))
    event, total = hits.event[order], np.bincount(hits.event, hits.charge, len(towards))
    collected = np.cumsum(hits.charge[order])
    before = np.concatenate([[0.0], np.cumsum(total)])[event]
    late = np.flatnonzero(collected - before >= total[event] / 2)
    reached, first = np.unique(event[late], return_index=True)
    middle = np.zeros(len(towards))
    middle[reached] = time[order][late[first]]
    return time - middle[hits.event]
