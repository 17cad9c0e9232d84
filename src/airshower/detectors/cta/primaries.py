"""Which primaries are a class: `data.classes`."""

import difflib
from collections.abc import Sequence

import numpy as np

from airshower.errors import UserError

OBSERVED, UNKNOWN = 1_000_000, 1_000_001  # what no simulation has as an id
# shower_primary_id as sim_telarray writes it; 14 is CORSIKA's own for protons
PRIMARIES = {
    "gamma": (0,),
    "electron": (1, -1),
    "muon": (2, -2),
    "proton": (101, 14),
    "helium": (402,),
    "nitrogen": (1407,),
    "silicon": (2814,),
    "iron": (5626,),
    "observed": (OBSERVED,),
    "unknown": (UNKNOWN,),
}


def class_ids(classes: Sequence[str]) -> list[tuple[int, ...]]:
    """Primary ids of each class; `proton+helium` is one class of two primaries, `observed` are real events, `unknown`
    simulated ones whose primary the file does not name, and numbers are ids as in the files."""
    found = []
    for name in classes:
        ids: tuple[int, ...] = ()
        for part in (part.strip() for part in str(name).split("+")):
            if part not in PRIMARIES and not part.lstrip("-").isdigit():
                near = difflib.get_close_matches(part, PRIMARIES, n=1)
                hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(PRIMARIES)}, and ids as numbers"
                raise UserError(f"data.classes: {part} is no primary; {hint}")
            ids += PRIMARIES.get(part) or (int(part),)
        found.append(ids)
    everything = [primary for ids in found for primary in ids]
    for primary in everything:
        if everything.count(primary) > 1:
            raise UserError(f"data.classes={classes}: primary {primary} is in two of them")
    if not found:
        raise UserError("data.classes: is empty; name the primaries to read, such as [gamma, proton]")
    return found


def classified(primary: np.ndarray, classes: Sequence[tuple[int, ...]]) -> np.ndarray:
    """The class of each primary, -1 for one that is in none, int64; a primary that is NaN was observed."""
    primary, found = np.nan_to_num(primary, nan=OBSERVED), np.full(len(primary), -1)
    for row, ids in enumerate(classes):
        found[np.isin(primary, ids)] = row
    return found
