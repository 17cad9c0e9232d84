#!/usr/bin/env python
"""A figure that holds simulated data beside real or official ones: wire images (larcv3) or telescopes' (DL1).

python scripts/against_real.py simulated.h5 real.h5... figure.png
"""

import sys
from pathlib import Path

import h5py
import matplotlib

matplotlib.use("Agg")
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "src"))

from comparisons import showers, wires


def main() -> None:
    """What the first file holds decides what is compared."""
    if len(sys.argv) < 4:
        raise SystemExit(__doc__)
    simulated, *real, made = map(Path, sys.argv[1:])
    with h5py.File(simulated) as file:
        kind = showers if "dl1" in file else wires
    kind.figure(simulated, real).savefig(made, dpi=110)


if __name__ == "__main__":
    main()
