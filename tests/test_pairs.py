"""Every pair of a network and data of its kind: composed and typed, or refused for a reason; no file is opened."""

import itertools
from collections.abc import Iterator
from pathlib import Path

import hydra
import pytest
from omegaconf import DictConfig, OmegaConf

from airshower.assembly.components import components
from airshower.assembly.compose import conf_folder
from airshower.config import build
from airshower.errors import UserError

CONF = conf_folder()
PARAMETERS = ("hawc_param_cgan", "hawc_param_flow", "hawc_param_wgan")
POINTS = ("points_edge", "points_latent", "points_set", "points_transformer")
REFUSED = {(network, "hawc_crab"): "network.conditional: this data has no conditions" for network in PARAMETERS}
REFUSED |= {(network, "points"): "a.file: there is no such file" for network in POINTS}  # it says what its truth is
"""Pairs that fit by their containers, but not as they are configured."""


def compose(*overrides: str) -> DictConfig:
    with hydra.initialize_config_dir(str(CONF), version_base="1.3"):
        return hydra.compose("config", list(overrides))


def composed(network: str, data: str, *overrides: str) -> DictConfig:
    """The config of a pair, with names of files where it needs some."""
    needed = [key for key, value in OmegaConf.load(CONF / "data" / f"{data}.yaml").items_ex(False) if value == "???"]
    return compose(f"network={network}", f"data={data}", *(f"data.{key}=a.file" for key in needed), *overrides)


def pairs() -> Iterator[tuple[str, str, bool]]:
    """Names of all networks and data, and if the data have the containers that the network takes."""
    for network, data in itertools.product(sorted(CONF.glob("network/*.yaml")), sorted(CONF.glob("data/*.yaml"))):
        takes = build.target(OmegaConf.load(network).network, "network").takes
        given = build.target(OmegaConf.load(data), "data").containers
        yield network.stem, data.stem, takes.items() <= given.items()


FITTING = [(network, data) for network, data, fits in pairs() if fits]
EXAMPLES = (
    "uresnet",
    "cta_stereo_hex",
    "hawc_param_flow",
    "hawc_map_flow",
    "hawc_fits",
    "tank_resnet",
    "points_latent",
)
"""A network for each set of containers that is taken."""
OTHERS = [(network, data) for network, data, fits in pairs() if not fits and network in EXAMPLES]


@pytest.mark.parametrize(("network", "data"), FITTING)
def test_a_fitting_pair_is_typed_or_refused(network: str, data: str) -> None:
    cfg = composed(network, data)
    if reason := REFUSED.get((network, data)):
        with pytest.raises(UserError) as error:
            components(cfg)
        assert str(error.value).startswith(reason)
    else:
        assert set(components(cfg)) == {"data", "network", "task"}


@pytest.mark.parametrize(("network", "data"), OTHERS)
def test_data_without_the_containers_are_refused_as_such(network: str, data: str) -> None:
    with pytest.raises(UserError) as error:
        components(composed(network, data))
    assert str(error.value).startswith("network: takes ")
    fitting = sorted(name for other, name in FITTING if other == network)
    assert f"data that fits: {', '.join(fitting)}" in str(error.value)


def test_all_shapes_are_paired() -> None:
    wires, telescopes, parameters, images, both, points = 8 * 3, 8 * 2, 4 * 5, 6 * 4, 1 * 4, 4 * 7
    assert len(FITTING) == wires + telescopes + parameters + images + both + points
    assert set(REFUSED) <= set(FITTING)


@pytest.mark.parametrize("data", ["hawc", "hawc_simulated", "hawc_images_simulated", "hawc_mixed_simulated"])
def test_data_have_the_channels_that_the_network_asks_for(data: str) -> None:
    for network, channels in (("hawc_param_flow", []), ("hawc_map_flow", ["charge"])):
        assert components(composed(network, data))["data"][1].channels == channels
    both = ["charge", "time"]
    for overrides in (["network.channels=[charge,time]"], ["network.channels=[charge,time]", f"data.channels={both}"]):
        assert components(composed("hawc_map_flow", data, *overrides))["data"][1].channels == both
    assert components(composed("hawc_param_flow", data, "data.channels=[charge]"))["data"][1].channels == ["charge"]


@pytest.mark.parametrize("channels", ["[]", "[charge,time]"])
def test_channels_that_differ_are_named(channels: str) -> None:
    cfg = composed("hawc_map_flow", "hawc_simulated", f"data.channels={channels}")
    with pytest.raises(UserError) as error:
        components(cfg)
    assert str(error.value).startswith(
        f"data.channels={channels}: but network.channels=[charge]; give network.channels"
    )
    cfg.mode.name = "iotest"
    assert components(cfg)["data"][1].channels is not None, "iotest builds no network"


def test_observed_events_without_conditions_go_with_an_unconditional_network() -> None:
    assert components(composed("hawc_param_flow", "hawc_crab", "network.conditional=false"))


@pytest.mark.parametrize("path", sorted(CONF.glob("experiment/*.yaml")), ids=lambda path: path.stem)
def test_experiments_are_typed(path: Path) -> None:
    cfg = compose(f"experiment={path.stem}")
    if OmegaConf.is_missing(cfg.data, "file"):
        cfg.data.file = "a.file"
    assert components(cfg)
