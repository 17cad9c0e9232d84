"""Every yaml: complete, typed and, for networks, run through the real path."""

import dataclasses
from pathlib import Path
from typing import get_args, get_origin

import pytest
from omegaconf import OmegaConf

from airshower.assembly.compose import conf_folder
from airshower.config import build, schema
from tests.command import TINY, TINY_FITS, TINY_HILLAS, TINY_SHOWERS, TINY_STACK, TINY_TANKS, airshower

CONF = conf_folder()
COMPONENTS = [*CONF.glob("data/*.yaml"), *CONF.glob("network/*.yaml"), *CONF.glob("task/*.yaml")]


def named_sections(kind: type) -> dict[str, type]:
    """Fields whose keys are names of the user's, with the dataclass of what is under each."""
    return {item.name: get_args(item.type)[1] for item in dataclasses.fields(kind) if get_origin(item.type) is dict}


def field_names(kind: type, prefix: str = "") -> set[str]:
    """All fields of a dataclass and of the sections in it, dotted."""
    names = set()
    for item in dataclasses.fields(kind):
        nested = dataclasses.is_dataclass(item.type)
        names |= field_names(item.type, f"{prefix}{item.name}.") if nested else {prefix + item.name}
    return names


def keys(node: dict, prefix: str = "") -> set[str]:
    """All leaf keys of a node, dotted."""
    found = set()
    for key, value in node.items():
        found |= keys(value, f"{prefix}{key}.") if isinstance(value, dict) and value else {prefix + key}
    return found


def component_node(path: Path) -> tuple[str, dict]:
    node = OmegaConf.to_container(OmegaConf.load(path))
    name = path.parent.name
    return name, node.get(name, node)


@pytest.mark.parametrize("path", COMPONENTS, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_component_yaml_lists_every_field(path: Path) -> None:
    name, node = component_node(path)
    kind = build.target(OmegaConf.create(node), name)
    for section, of_each in named_sections(kind.Config).items():
        for named, options in node[section].items():
            assert keys(options) <= field_names(of_each), named
        node[section] = None
    assert keys(node) - {"_target_"} == field_names(kind.Config)


@pytest.mark.parametrize(
    ("section", "kind"),
    [("run", schema.RunConfig), ("framework/torch", schema.FrameworkConfig)]
    + [(f"mode/{name}", kind) for name, kind in schema.MODES.items()],
)
def test_section_yaml_lists_every_field(section: str, kind: type) -> None:
    path = CONF / f"{section}.yaml"
    node = OmegaConf.load(path) if path.exists() else OmegaConf.load(CONF / "config.yaml")[section]
    assert keys(OmegaConf.to_container(node.get(section.partition("/")[0], node))) == field_names(kind)


@pytest.mark.parametrize("path", sorted(CONF.rglob("*.yaml")), ids=lambda path: str(path.relative_to(CONF)))
def test_every_key_has_a_comment(path: Path) -> None:
    if path.parent.name == "help":
        pytest.skip("text, not keys")
    bare = [
        line
        for line in path.read_text().splitlines()
        if line.strip()
        and "#" not in line
        and not line.rstrip().endswith(":")
        and not any(word in line for word in ("_target_", "name:", "producer:", "- ", "hydra", "output_dir"))
        and line.strip().split(":")[0] not in ("dir", "subdir", "output_subdir", "chdir")
    ]
    assert not bare


@pytest.mark.parametrize("network", [path.stem for path in sorted(CONF.glob("network/*.yaml"))])
def test_every_network_trains_and_predicts(network: str, tmp_path: Path) -> None:
    tiny, left = {
        "cta": (TINY_SHOWERS, "events.csv"),
        "hawc": (TINY_TANKS, "generated.npz"),
        "tank": (TINY_TANKS, "predictions.xcd"),
        "points": (TINY_TANKS, "predictions.xcd"),
    }.get(network.split("_", maxsplit=1)[0], (TINY, "predictions.h5"))
    if network == "cta_hillas":
        tiny = TINY_HILLAS
    if network == "cta_stack":
        tiny = TINY_STACK
        member = airshower("mode=train", *TINY_SHOWERS, "network=cta_stereo_hex", f"output_dir={tmp_path / 'member'}")
        assert member.code == 0, member.err
    if network == "hawc_fits":
        tiny, left = TINY_FITS, "predictions.xcd"
    if "_map_" in network or "pixelcnn" in network:
        tiny += ("data.test_events=10", "task.generate.events=3")
    if "pixelcnn" in network:  # the paper's takes a minute
        tiny += ("network.filters=4", "network.resnets=1")
    where = (*tiny, f"network={network}", f"output_dir={tmp_path}")
    weights = (f"mode.weights_location={tmp_path / 'member'}",) if network == "cta_stack" else ()
    trained = airshower("mode=train", *where, "mode.no_summary_images=true", *weights)
    assert trained.code == 0, trained.err
    predicted = airshower("mode=inference", *where, "mode.displays=0")
    assert predicted.code == 0, predicted.err
    assert (tmp_path / "predictions" / left).exists()
