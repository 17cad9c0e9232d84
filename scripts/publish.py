"""Make a run's best weights those that come with the package: `python scripts/publish.py RUN_FOLDER NAME`.

Writes `src/airshower/pretrained/NAME.ckpt`: averages of weights where there are any, in half precision, with the spec,
the outputs and the config of the run; `--drop` leaves out heads. Its card, NAME.md beside it, is written by hand.
"""

import argparse
from pathlib import Path

from omegaconf import DictConfig, OmegaConf

from airshower.engine import checkpoint, pretrained

SECTIONS = ("run", "data", "network", "task", "framework")
"""What of the config is kept: not where the run's files were."""


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="a run's folder, or a checkpoint")
    parser.add_argument("name", help="of the network, as in conf/network")
    parser.add_argument("--drop", nargs="*", default=[], help="outputs whose heads are left out, such as event vertex")
    options = parser.parse_args()
    path, state = checkpoint.find_and_load(str(options.run))
    config = OmegaConf.create(state["config"])
    assert isinstance(config, DictConfig)
    published = pretrained.condensed(state)
    published["outputs"] = [name for name in published["outputs"] if name not in options.drop]
    for name in options.drop:
        config.task[name].weight = 0.0
        weights = published["model"].items()
        published["model"] = {key: value for key, value in weights if not key.startswith(f"{name}_head.")}
    text = OmegaConf.to_yaml(OmegaConf.create({name: config[name] for name in SECTIONS}))
    target = pretrained.FOLDER / f"{options.name}.ckpt"
    checkpoint.write(target, {**published, "config": text})
    print(f"{target}: {target.stat().st_size / 1e6:.2f} MB, of {path} (step {state['step']})")


if __name__ == "__main__":
    main()
