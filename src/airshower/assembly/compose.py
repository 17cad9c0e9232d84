"""The config of a run, composed of words such as `network=uresnet`."""

import re
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import hydra
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from airshower.config import renamed
from airshower.errors import UserError

REFUSED = {
    r"Could not override '([^']+)'": "{}",
    r"Could not find '([^'/]+)/([^']+)'": "{}={}",
    r"Cannot find primary config '([^']+)'": "--config-name={}",
}
"""Hydra's messages for an unknown key, choice or config, and the word that was given."""

_composing = threading.Lock()


def conf_folder() -> Path:
    """The yamls: inside the package where it was installed from a wheel, at the top of a checkout otherwise."""
    installed = Path(__file__).parents[1] / "conf"
    return installed if installed.is_dir() else Path(__file__).parents[3] / "conf"


def compose(words: Sequence[str]) -> DictConfig:
    """The config of these words, which needs no state of hydra's any more.

    Hydra's own state is as before afterwards, and threads may call it beside each other. Raises hydra's errors, see
    `one_line`.
    """
    with _composing, _untouched():
        with hydra.initialize_config_dir(str(conf_folder()), version_base="1.3"):
            cfg = hydra.compose("config", list(words), return_hydra_config=True)
        HydraConfig.instance().set_config(cfg)
        place = str(cfg.output_dir)  # which has the network's choice
    composed = OmegaConf.masked_copy(cfg, [str(key) for key in cfg if key != "hydra"])
    composed.output_dir = place
    return composed


def parsed(words: Sequence[str]) -> list[Override]:
    """Words by hydra's grammar. Raises its errors."""
    return OverridesParser.create().parse_overrides(list(words))


def word(key: str, value: Any) -> str:
    """The word that gives a key this text, whatever characters it has."""
    # in quotes a backslash stands for itself, unless a quote follows those that are in a row
    escaped = re.sub(r"(\\+)(?='|$)", r"\1\1", str(value)).replace("'", "\\'")
    return f"{key}='{escaped}'"


def one_line(error: Exception) -> str:
    """An error of hydra's or omegaconf's in one line; a key of another program is answered with its name here."""
    for pattern, given in REFUSED.items():
        if (match := re.search(pattern, str(error))) and (advice := renamed.advice(given.format(*match.groups()))):
            return advice
    lines = [line.strip() for line in str(error).partition("Config search path:")[0].splitlines() if line.strip()]
    cause = getattr(error, "__cause__", None)
    details = [line.strip() for line in str(cause).splitlines()[:1]] if cause else []
    return "; ".join(
        dict.fromkeys([line for line in lines if not line.startswith(("object_type", "full_key"))] + details)
    )


@contextmanager
def user_errors() -> Iterator[None]:
    """In this context errors of hydra and omegaconf are raised as `UserError`, in one line."""
    try:
        yield
    except (HydraException, OmegaConfBaseException) as error:
        raise UserError(one_line(error)) from None


@contextmanager
def _untouched() -> Iterator[None]:
    """In this context hydra may be initialised; its state, as that of a program that uses it, is restored."""
    state, config = GlobalHydra.instance().hydra, HydraConfig.instance().cfg
    GlobalHydra.instance().clear()
    try:
        yield
    finally:
        GlobalHydra.instance().hydra = state
        HydraConfig.instance().cfg = config
