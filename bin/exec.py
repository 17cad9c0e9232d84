#!/usr/bin/env python
"""Train, time and run networks: `python bin/exec.py mode=train network=uresnet`; `--help` says the rest."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "src"))

from airshower.main import cli

if __name__ == "__main__":
    cli()
