"""Classical fits of tanks: what they take from files, what they learn, and what they refuse."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from airshower.config.schema import FrameworkConfig
from airshower.data.quantity import Quantity
from airshower.data.spec import ImagesSpec, Spec, TableSpec
from airshower.data.truth import Frame
from airshower.errors import UserError
from airshower.geometry.sky import direction_at
from airshower.geometry.tank_array import hawc_array
from airshower.networks.tanks.fits import OUTPUTS, HawcFits, HawcFitsConfig
from airshower.networks.tanks.shower_numbers import AZIMUTH, CORE, NEEDED, PINC, ZENITH, ShowerNumbers

ARRAY = hawc_array()
CHARGE = Quantity("charge", "p.e.", math.log(0.1), math.log(1e5), logarithmic=True)
TABLE = TableSpec(tuple(Quantity(name, "", 1.0, 2.0) for name in NEEDED))
SPEC = Spec({"images": ImagesSpec((CHARGE,), ARRAY.position, ARRAY.cell, ARRAY.pmt), "parameters": TABLE})
ORIGIN = torch.from_numpy(ARRAY.centre).float()
CONFIG = HawcFitsConfig(trees=20, leaves=4, least=2)
CLASSICAL = replace(CONFIG, energy="annuli", type="cuts")
Given = tuple[Tensor, Tensor, Tensor]


def network(config: HawcFitsConfig = CONFIG) -> HawcFits:
    return HawcFits(config, SPEC, OUTPUTS, FrameworkConfig())


def showers(count: int, **columns: float) -> Given:
    """Events with random hits and quantities, of which some have one value."""
    random = np.random.default_rng(count)
    hit = (random.random((count, 1, *ARRAY.pmt.shape)) < 0.1) & (ARRAY.pmt >= 0)
    images = (hit * random.random(hit.shape)).astype(np.float32)
    values = {name: random.uniform(0.1, 1.0, count) for name in NEEDED}
    values |= {name: random.normal(middle, 50.0, count) for name, middle in zip(CORE, ARRAY.centre, strict=True)}
    values |= {name: np.full(count, value) for name, value in columns.items()}
    scaled = np.stack([quantity.scaled(values[quantity.name]) for quantity in TABLE.quantities], 1)
    return torch.from_numpy(images), torch.from_numpy(scaled), ORIGIN.expand(count, 2)


def learned(given: Given, count: int) -> dict[str, tuple[Tensor, Tensor]]:
    """Energies and classes that follow from the PINC, with weights."""
    pinc = given[1][:, NEEDED.index(PINC)]
    return {"energy": (pinc[:, None], torch.ones(count)), "type": ((pinc > -0.2).long(), torch.ones(count))}


def test_direction_and_core_are_those_of_the_file() -> None:
    given = showers(1, **{ZENITH: 0.5, AZIMUTH: -2.0, CORE[0]: 70.0, CORE[1]: 200.0})
    outputs = network()(given)
    frame = Frame(torch.tensor([[math.pi / 2, 0.0]]), ORIGIN[None])
    direction = direction_at(outputs["direction"], frame.axis)[0]
    assert direction.tolist() == pytest.approx([math.pi / 2 - 0.5, 2 * math.pi - 2.0], abs=1e-6)
    assert (100 * outputs["core"] + ORIGIN)[0].tolist() == pytest.approx([70.0, 200.0], abs=1e-3)


@pytest.mark.parametrize("config", [CONFIG, CLASSICAL], ids=["forest", "classical"])
def test_a_failed_direction_fit_is_the_zenith(config: HawcFitsConfig) -> None:
    """All else is as of a shower with a typical zenith angle from above, and finite."""
    failed = showers(30, **{ZENITH: math.pi, AZIMUTH: 0.0})
    fits = network(config)
    fits.fit([(given := showers(100), learned(given, 100))])
    outputs = fits(failed)
    assert outputs["direction"].abs().max() == 0.0
    assert all(output.isfinite().all() for output in outputs.values())
    scores = [fits(showers(30, **{ZENITH: zenith}))["energy"] for zenith in (0.4, 1.0)]
    assert config.energy == "forest" or not scores[0].allclose(scores[1])


@pytest.mark.parametrize("config", [CONFIG, CLASSICAL], ids=["forest", "classical"])
def test_fits_learn_and_repeat(config: HawcFitsConfig) -> None:
    given = showers(400)
    targets = learned(given, 400)
    halves = [
        (tuple(part[rows] for part in given), {name: (a[rows], b[rows]) for name, (a, b) in targets.items()})
        for rows in (slice(200), slice(200, 400))
    ]
    one, two = network(config), network(config)
    one.fit(halves)
    two.fit([(given, targets)])
    assert all(value.equal(two.state_dict()[name]) for name, value in one.state_dict().items())
    assert {name: tuple(output.shape) for name, output in one(given).items()} == {
        name: (400, channels) for name, channels in OUTPUTS.items()
    }
    accuracy = (one(given)["type"].argmax(1) == targets["type"][0]).float().mean()
    assert accuracy > (0.95 if config.type == "forest" else 0.8)


def test_events_without_weight_are_not_learned_from() -> None:
    given = showers(200)
    targets = learned(given, 200)
    wrong = torch.arange(200) % 2 == 0
    energy, weight = targets["energy"]
    one, two = network(CLASSICAL), network(CLASSICAL)
    targets["energy"] = (torch.where(wrong[:, None], torch.nan, energy), weight.masked_fill(wrong, 0.0))
    one.fit([(given, targets)])
    targets["energy"] = (torch.where(wrong[:, None], 99.0, energy), weight.masked_fill(wrong, 0.0))
    two.fit([(given, targets)])
    assert one(given)["energy"].isfinite().all()
    assert one(given)["energy"].equal(two(given)["energy"])


def test_charge_is_summed_in_annuli_around_the_axis() -> None:
    """The only hit is 35 m from the core; seen along an axis inclined towards it, it is nearer."""
    pmt = 600
    images = torch.zeros(2, 1, *ARRAY.pmt.shape)
    images[:, 0, *ARRAY.cell[pmt]] = 0.5
    x, y = ARRAY.position[pmt, :2]
    vertical, inclined = (
        showers(1, **{ZENITH: zenith, AZIMUTH: 0.0, CORE[0]: x - 35.0, CORE[1]: y})[1] for zenith in (0.0, 0.8)
    )
    numbers = ShowerNumbers(SPEC, [10.0, 30.0, 40.0])(images, torch.cat([vertical, inclined]), ORIGIN.expand(2, 2))
    assert numbers.energy[:, :4].argmax(1).tolist() == [2, 1], "35 m, and 35 m times the cosine"
    assert (numbers.energy[:, :4] > -2).sum(1).tolist() == [1, 1]


def test_what_does_not_fit_is_refused_by_name() -> None:
    for radii in ([], [0.0, 10.0], [20.0, 10.0]):
        with pytest.raises(UserError, match=r"network\.annuli=.*ascending"):
            network(replace(CONFIG, annuli=radii))
    with pytest.raises(UserError, match=r"task\.targets\.depth: hawc_fits gives type, energy, direction, core"):
        HawcFits(CONFIG, SPEC, {"energy": 1, "depth": 1}, FrameworkConfig())
    classes, weight = (targets := learned(given := showers(50), 50))["type"]
    with pytest.raises(UserError, match=r"task\.type\.class_weights: hawc_fits needs two classes"):
        network().fit([(given, targets | {"type": (classes, weight * (classes == 0))})])
    lacking = replace(SPEC, inputs={**SPEC.inputs, "parameters": TableSpec(TABLE.quantities[1:])})
    with pytest.raises(UserError, match=r"data\.parameters: classical fits need rec\.nHit, too"):
        HawcFits(CONFIG, lacking, OUTPUTS, FrameworkConfig())
