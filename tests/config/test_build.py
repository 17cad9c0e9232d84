"""What `_target_` may name: a class with a `Config`, which is not called before all is checked."""

from dataclasses import dataclass, field

import pytest
from omegaconf import OmegaConf

from airshower.config import build
from airshower.config.fields import number
from airshower.errors import UserError


class Called:
    """Has all that a network has but a dataclass."""

    takes, tasks, Config = {}, (), dict

    def __init__(self, *_: object):
        raise AssertionError("it was called")


def function() -> None:
    raise AssertionError("it was called")


@pytest.mark.parametrize("section", ["data", "network", "task"])
@pytest.mark.parametrize(
    "target",
    [
        "os.system", "builtins.exec", "builtins.dict", "builtins.print", "subprocess.Popen", "os.path", "sys.exit",
        "tests.config.test_build.Called", "tests.config.test_build.function", "airshower.config.schema.RunConfig",
        "airshower.detectors.lartpc.source.LartpcConfig", "airshower.tasks.task.Task", "torch.nn.Linear",
    ],
)  # fmt: skip
def test_a_target_that_owns_no_config_is_refused(section: str, target: str) -> None:
    node = OmegaConf.create({"_target_": target, "command": "true"})
    for read in (build.target, build.component):
        with pytest.raises(UserError, match=rf"^{section}._target_={target}: must name a class for {section}"):
            read(node, section)


@pytest.mark.parametrize(
    "target", ["os", "", "os.", ".system", "..os.system", "nowhere.Thing", "os.nothing", 5, "a b.c"]
)
def test_a_target_that_is_not_there_is_refused(target: object) -> None:
    with pytest.raises(UserError, match=r"^network(\._target_=.*: can't be imported|: has no _target_)"):
        build.target(OmegaConf.create({"_target_": target}), "network")


@pytest.mark.parametrize(
    ("section", "target"),
    [
        ("data", "airshower.networks.uresnet.network.UResNet"),
        ("data", "airshower.tasks.segmentation.task.Segmentation"),
        ("network", "airshower.detectors.lartpc.simulated.SimulatedLartpc"),
        ("network", "airshower.tasks.segmentation.task.Segmentation"),
        ("task", "airshower.detectors.lartpc.simulated.SimulatedLartpc"),
    ],
)
def test_a_class_of_another_section_is_refused(section: str, target: str) -> None:
    with pytest.raises(UserError, match=rf"^{section}._target_={target}: must name a class for {section}"):
        build.target(OmegaConf.create({"_target_": target}), section)


@dataclass
class Options:
    """What is under each name."""

    weight: float = number(1.0, low=0.0)


@dataclass
class Named:
    """A section with names of the user's."""

    parts: dict[str, Options] = field(default_factory=dict)


@pytest.mark.parametrize(
    ("node", "says"),
    [
        (
            {"wieght": 1.0},
            r"^task\.parts\.mine\.wieght: there is no such key; did you mean task\.parts\.mine\.weight\?$",
        ),
        ({"weight": "much"}, r"^task\.parts\.mine\.weight: "),
        ({"weight": -1.0}, r"^task\.parts\.mine\.weight=-1\.0: must be at least 0\.0$"),
    ],
)
def test_options_under_names_of_the_users_are_typed(node: dict, says: str) -> None:
    config = build.typed(Named, OmegaConf.create({"parts": {"mine": {"weight": 2.0}}}), "task")
    assert config.parts == {"mine": Options(2.0)}
    with pytest.raises(UserError, match=says):
        build.typed(Named, OmegaConf.create({"parts": {"mine": node}}), "task")
