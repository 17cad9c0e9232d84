#!/usr/bin/env python
"""Classical reconstruction of the same events that a network trains on and is judged by.

    python scripts/baseline.py data=cta_simulated
    python scripts/baseline.py --name sst1m data=cta data.mode=stereo data.file=gamma.dl1.h5 data.test_fraction=0.3
    python scripts/baseline.py --folds 5 data=cta data.file=gammas_and_protons.dl1.h5

Images are cleaned by tail cuts and described by Hillas parameters; the direction and the core are where the axes of two
or more images meet; energy and type are means over images of random forests, one for each kind of telescope, weighted
with the images' intensity. Energy is learned from gammas, where there are any.

`data` and `framework.seed` are given as to the application and split showers as there: forests learn from what a
network would train on, and results are of what inference would run over; with `--folds` they are of all events of
`data.file`, each predicted by forests that learned from other showers. What is left in output/baseline/NAME is what
inference leaves, without figures: config.yaml, predictions/metrics.json and predictions/events.csv.
"""

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "src"))

from airshower.errors import UserError

if TYPE_CHECKING:
    from airshower.data.splits import Splits
    from airshower.tasks.reconstruction.targets import Target


def main() -> None:
    """Read, reconstruct, write, and print the metrics."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("overrides", nargs="+", metavar="KEY=VALUE", help="of data, and framework.seed")
    parser.add_argument("--name", default="hillas")
    parser.add_argument("--output", type=Path, default=Path("output") / "baseline")
    parser.add_argument("--picture", type=float, default=10.0, help="p.e. of a bright pixel with two bright neighbours")
    parser.add_argument("--boundary", type=float, default=5.0, help="p.e. of a pixel beside one")
    parser.add_argument("--least", type=float, default=50.0, help="p.e. of an image that is used")
    parser.add_argument("--trees", type=int, default=100)
    parser.add_argument("--folds", type=int, default=0, help="0: the split that a network has")
    arguments = parser.parse_args()
    try:
        metrics = run(arguments)
    except UserError as error:
        sys.exit(f"airshower: {error}")
    for name, value in metrics.items():
        print(f"{name} {value:.4g}")
    print(arguments.output / arguments.name)


def run(arguments: argparse.Namespace) -> dict[str, float]:
    """One baseline from its arguments to its metrics."""
    from baselines.events import reconstruct
    from baselines.forests import Forest
    from baselines.hillas import Cleaning
    from baselines.report import write

    node, seed, splits, targets = open_data(arguments.overrides)
    cleaning = Cleaning(arguments.picture, arguments.boundary, arguments.least)
    forest = Forest(arguments.trees, seed=seed)
    events = reconstruct(splits, targets, cleaning, forest, arguments.folds)
    config = {
        "run": {"id": arguments.name},
        "data": node,
        "framework": {"seed": seed},
        "network": {"_target_": "baselines.forests", **vars(cleaning), **vars(forest), "folds": arguments.folds},
        "output_dir": str(arguments.output / arguments.name),
    }
    return write(arguments.output / arguments.name, config, events, targets)


def open_data(overrides: list[str]) -> tuple[dict, int, "Splits", dict[str, "Target"]]:
    """The resolved section `data`, the seed, the splits that the application would make of them, and the targets that a
    network would be trained for."""
    from airshower.assembly.compose import compose, user_errors
    from airshower.config.build import component, plain
    from airshower.data.containers import CameraImages
    from airshower.tasks.reconstruction.config import asked_targets

    with user_errors():
        cfg = compose(["network=cta_stereo_hex", *overrides])
    kind, config = component(cfg.data, "data")
    _, task = component(cfg.task, "task")
    data = plain(cfg.data)
    seed = int(cfg.framework.seed)
    if kind.containers.get("images") is not CameraImages:
        raise UserError("data: gives no images of telescopes' cameras, which Hillas parameters are of")
    targets = asked_targets(task, kind.columns(config))
    return data, seed, kind(config, seed).open(), {name: of for name, of in targets.items() if of.config.weight}


if __name__ == "__main__":
    main()
