"""The primaries of each class: `data.classes`."""

import difflib
from collections.abc import Sequence

import numpy as np

from airshower.errors import UserError

OBSERVED, UNKNOWN = 1_000_000, 1_000_001  # not an id in any simulation
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
    ids_of_classes = []
    for name in classes:
        ids: tuple[int, ...] = ()
        for part in (part.strip() for part in str(name).split("+")):
            if part not in PRIMARIES and not part.lstrip("-").isdigit():
                near = difflib.get_close_matches(part, PRIMARIES, n=1)
                hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(PRIMARIES)}, and ids as numbers"
                raise UserError(f"data.classes: {part} is no primary; {hint}")
            ids += PRIMARIES.get(part) or (int(part),)
        ids_of_classes.append(ids)
    everything = [primary for ids in ids_of_classes for primary in ids]
    for primary in everything:
        if everything.count(primary) > 1:
            raise UserError(f"data.classes={classes}: primary {primary} is in two of them")
    if not ids_of_classes:
        raise UserError("data.classes: is empty; name the primaries to read, such as [gamma, proton]")
    return ids_of_classes


def classified(primary: np.ndarray, classes: Sequence[tuple[int, ...]]) -> np.ndarray:
    """The class of each primary, -1 for one that is in none, int64; a primary that is NaN was observed."""
    primary, class_rows = np.nan_to_num(primary, nan=OBSERVED), np.full(len(primary), -1)
    for row, ids in enumerate(classes):
        class_rows[np.isin(primary, ids)] = row
    return class_rows
