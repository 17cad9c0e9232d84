"""Targets as the command line and the yaml ask for them, and what of that is refused before a file is opened."""

import logging
from dataclasses import replace
from types import SimpleNamespace

import pytest

from airshower.assembly.components import components
from airshower.assembly.compose import compose
from airshower.data.truth import DIRECTION, NUMBER, POSITION, Column
from airshower.errors import DataError, UserError
from airshower.networks.network import FITS
from airshower.tasks.reconstruction.config import ReconstructionConfig, asked_targets
from airshower.tasks.reconstruction.targets import TargetConfig
from airshower.tasks.reconstruction.task import Reconstruction, logger
from tests.networks.telescopes.arrays import SPEC
from tests.targets import reconstruction

FIRST = "+task.targets.first={column: h_first_interaction, unit: km, scale: 10}"

CORE_IN_KM = "+task.targets.place={column: core, unit: km, scale: 3}"


def composed(*overrides: str) -> ReconstructionConfig:
    """`task` of a command line on simulated telescopes."""
    return components(compose(["network=cta_stereo_hex", "data=cta_simulated", *overrides]))["task"][1]


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [
        ("energy.weight", "2", 2.0),
        ("energy.loss", "l1", "l1"),
        ("x_max.weight", "0.5", 0.5),
        ("type.class_weights", "[1,3]", [1.0, 3.0]),
        ("type.class_weights", "balanced", "balanced"),
    ],
)
def test_short_keys_are_those_of_targets(key: str, value: str, expected: object) -> None:
    name, option = key.split(".")
    short, full = (composed(f"task.{prefix}{key}={value}") for prefix in ("", "targets."))
    targets = [asked_targets(config, SPEC.truth) for config in (short, full)]
    assert getattr(targets[0][name].config, option) == getattr(targets[1][name].config, option) == expected
    others = [{other: target.config for other, target in each.items() if other != name} for each in targets]
    assert others[0] == others[1]


def test_a_new_target_from_the_command_line() -> None:
    made = Reconstruction(composed(FIRST), SPEC, None)
    assert made.outputs == {"type": 2, "energy": 1, "direction": 2, "core": 2, "first": 1}
    first = made.targets["first"]
    assert (first.unit, first.column.name, first.config.scale) == ("km", "h_first_interaction", 10.0)
    assert made.headline["first/error"] == "first (km)"


@pytest.mark.parametrize(
    ("overrides", "says"),
    [
        (["task.targets.energy.unit=furlong"], r"targets\.energy\.unit=furlong: must be a unit of energy: MeV, GeV,"),
        (["task.targets.core.unit=TeV"], r"targets\.core\.unit=TeV: must be a unit of length: cm, m, km"),
        (["+task.targets.direction.log10=true"], r"targets\.direction\.log10: does not fit direction, a direction"),
        (
            ["+task.targets.type.scale=3"],
            r"targets\.type\.scale: does not fit primary, a class that has class_w",
        ),
        (
            ["+task.targets.core.middle=3"],
            r"targets\.core\.middle: does not fit core, a position that has loss, unit",
        ),
        (["+task.targets.core.class_weights=[1,2]"], r"targets\.core\.class_weights: does not fit core"),
        (["~task.targets.energy"], r"energy\.weight: refers to a key that is missing; give it a value, or delete it"),
        (
            ["task.targets.energy.column=enregy"],
            r"targets\.energy\.column=enregy: .* no such .*; did you mean energy\?",
        ),
        (["+task.targets.first={unit: km}"], r"targets\.first\.column=first: .*; it has primary, energy, direction, "),
        (["+task.targets.first={wieght: 1}"], r"targets\.first\.wieght: there is no such key; did you mean .*weight\?"),
        (["task.targets.core.scale=0"], r"targets\.core\.scale=0\.0: must be above 0"),
        (["task.energy.weight=-1"], r"targets\.energy\.weight=-1\.0: must be at least 0"),
        (["task.core.loss=l3"], r"targets\.core\.loss=l3: must be one of huber, l1"),
        (["task.type.class_weights=[1,2,3]"], r"targets\.type\.class_weights=\[1, 2, 3\]: must be 2 numbers"),
        ([f"task.{name}.weight=0" for name in ("type", "energy", "direction", "core")], "targets: all weights are 0;"),
        (["task.signal=electron"], r"only_gammas: none of the classes gamma, proton is task\.signal=electron"),
        (["task.report.observables=[true_enrgy]"], r"report\.observables: there is no true_enrgy; did you mean true_e"),
        (["+task.report.bins.true_enrgy={bins: 3}"], r"report\.bins: there is no true_enrgy; did you mean true_energy"),
        (
            ["+task.report.bins.true_energy={low: 0, high: 1, bins: 3}"],
            r"report\.bins\.true_energy: needs low above 0 and a",
        ),
        (
            ["+task.report.bins.true_energy={low: 1, hgih: 2}"],
            r"report\.bins\.true_energy\.hgih: there is no such key; did y",
        ),
        (["+task.report.bins.true_energy={low: 0, bins: 3}"], r"report\.bins\.true_energy: needs low above 0 and a hi"),
        (["task.report.metrics=[os.nothing]"], r"report\.metrics: os\.nothing can't be imported"),
        (["task.report.metrics=[os.sep]"], r"report\.metrics: os\.sep is no function"),
    ],
)
def test_what_can_not_be_learned_is_refused(overrides: list[str], says: str) -> None:
    with pytest.raises(UserError, match=rf"^task\.{says}") as error:
        composed(*overrides)
    assert "\n" not in str(error.value)


STARTS = ("cta_stereo_hex", "cta_hillas", "cta_stack", "tank_resnet", "hawc_fits", "points_latent", "points_set")


@pytest.mark.parametrize("network", STARTS)
def test_what_begins_as_a_fit_has_the_scale_of_the_fit(network: str) -> None:
    """Once the fit was put beside outputs of any scale, and cores were wrong by its ratio without a word."""
    core = "task.targets.core"
    for fitting in ([f"{core}.scale=100"], [f"{core}.unit=km", f"{core}.scale=0.1"], [f"{core}.weight=0", CORE_IN_KM]):
        components(compose([f"network={network}", *fitting]))
    says = r"this network's core begins as a fit in 100 m; use task\.targets\.core\.scale="
    with pytest.raises(UserError, match=rf"^task\.targets\.core\.scale=1000: {says}100 with this unit, m$"):
        components(compose([f"network={network}", f"{core}.scale=1000"]))
    with pytest.raises(UserError, match=rf"^task\.targets\.core\.scale=100: {says}0\.1 with this unit, km$"):
        components(compose([f"network={network}", f"{core}.unit=km"]))
    another = [f"{core}.{option}" for option in ("column=direction", "unit=''", "scale=1")]
    says = "core: the column direction is a direction, but core of this network begins as"
    with pytest.raises(UserError, match=says):
        components(compose([f"network={network}", *another, "task.report.observables=[true_energy]"]))


def test_without_a_start_any_scale_is_possible() -> None:
    scaled = ["network=cta_stereo_hex", "task.targets.core.scale=1000"]
    assert components(compose([*scaled, "network.axes=0"]))
    assert components(compose([*scaled, "mode=iotest"]))
    whole_sky = Column("direction", DIRECTION, "rad", parts=("alt", "az"), whole_sky=True)
    Reconstruction.check_starts(reconstruction(), (whole_sky,), {})
    with pytest.raises(UserError, match=r"column direction is a direction of the whole sky, but direction of this"):
        Reconstruction.check_starts(reconstruction(), (whole_sky,), FITS)


def test_data_without_the_columns_are_refused() -> None:
    """Data may lack columns of the usual targets, but not all of them."""
    truth = tuple(column for column in SPEC.truth if column.name in ("energy", "primary"))
    assert list(asked_targets(reconstruction(), truth)) == ["type", "energy"]
    with pytest.raises(UserError, match=r"this data has no true primary, energy, direction, core; it has charge$"):
        asked_targets(reconstruction(), (Column("charge", NUMBER, "p.e."),))
    with pytest.raises(UserError, match="it has no truth"):
        asked_targets(reconstruction(), ())


def test_positions_that_an_event_has_several_of_are_refused() -> None:
    config = ReconstructionConfig({"vertex": TargetConfig()})
    with pytest.raises(UserError, match=r"task\.targets\.vertex\.column=vertex: is not one position of each event"):
        asked_targets(config, (Column("vertex", POSITION, "pixel"),))


def test_another_signal_is_possible_where_all_is_learned_from() -> None:
    made = Reconstruction(reconstruction(signal="electron", only_gammas=False), SPEC, None)
    assert not any(target.signal_only for target in made.targets.values())


def test_a_target_whose_column_the_files_lack_is_left_out(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(logger, "propagate", True)
    lacking = replace(SPEC, known=SPEC.known - {"core", "h_first_interaction"})
    made = Reconstruction(composed(FIRST), lacking, None)
    with caplog.at_level(logging.WARNING):
        made.check(SimpleNamespace(spec=lacking))
    assert list(made.outputs) == ["type", "energy", "direction"]
    said = list(dict.fromkeys(record.getMessage() for record in caplog.records))
    assert said == [
        "task.targets.core: the files have no true core; left out",
        "task.targets.first: the files have no true h_first_interaction; left out",
    ]
    with pytest.raises(DataError, match="training needs simulated events, but these are observations"):
        made.check(SimpleNamespace(spec=replace(SPEC, known=frozenset())))
    with pytest.raises(DataError, match="the files have the truth of none of them"):
        made.check(SimpleNamespace(spec=replace(SPEC, known=frozenset({"x_max"}))))
