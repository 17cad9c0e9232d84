#!/usr/bin/env python
"""A figure that holds simulated data beside real or official ones: wire images (larcv3), telescopes' (DL1), or the hits
of water tanks, for which the showers of a Geant4 file are simulated again.

python scripts/against_real.py simulated.h5 real.h5... figure.png
python scripts/against_real.py hawc_like_g4_showers.h5 figure.png
"""

import sys
from pathlib import Path

import h5py
import matplotlib

matplotlib.use("Agg")
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "src"))

from comparisons import showers, tanks, wires


def main() -> None:
    """What the first file holds decides what is compared."""
    if len(sys.argv) < 3:
        raise SystemExit(__doc__)
    first, *others, made = map(Path, sys.argv[1:])
    with h5py.File(first) as file:
        of_tanks = "hit_pmt" in file
        of_showers = "dl1" in file
    if bool(others) == of_tanks:
        raise SystemExit(__doc__)
    if of_tanks:
        drawn = tanks.figure(first)
    else:
        drawn = showers.figure(first, others) if of_showers else wires.figure(first, others)
    drawn.savefig(made, dpi=110)


if __name__ == "__main__":
    main()
