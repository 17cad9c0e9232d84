"""The classical reconstruction: what it learns, what it says of single images and of none, and what it refuses."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from airshower.config.schema import FrameworkConfig
from airshower.data.batch import Batch
from airshower.data.containers import CameraImages
from airshower.data.splits import Selection
from airshower.detectors.cta.simulated import SimulatedCta
from airshower.detectors.cta.simulation import CtaSimulation
from airshower.errors import UserError
from airshower.geometry.sky import direction_at, seen_from, separation
from airshower.networks.telescopes.hillas import HillasConfig, HillasNetwork
from airshower.networks.telescopes.kind_trees import KindTrees, TreesConfig
from airshower.networks.telescopes.measured import array_images, cores_of, directions_of, to_frame
from tests.samples import simulated_showers

OUTPUTS = {"type": 2, "energy": 1, "direction": 2, "core": 2}
CONFIG = HillasConfig(trees=12, leaves=6, least=4, learning_rate=0.2)
CPU = torch.device("cpu")


@pytest.fixture(scope="module", params=["stereo", "mono"])
def showers(request: pytest.FixtureRequest) -> Selection:
    """Bright gammas and protons near the array."""
    simulation = CtaSimulation(lsts=4, msts=0, energy_min=1.0, gamma_radius=120.0, proton_radius=120.0)
    config = SimulatedCta.Config(events=120, mode=request.param, simulation=simulation)
    return SimulatedCta(config, seed=0).open().train


def examples(selection: Selection) -> tuple[Batch, dict[str, tuple[Tensor, Tensor]]]:
    """All events, and their targets as the task has them; gammas alone have a weight but for the type."""
    batch = selection.source.read(selection.entries).to(CPU)
    truth = {name: torch.from_numpy(values) for name, values in selection.source.truth(selection.entries).items()}
    truth = {name: values.float() if values.is_floating_point() else values for name, values in truth.items()}
    gammas = (truth["primary"] == 0).float()
    assert batch.frame is not None
    return batch, {
        "type": (truth["primary"], torch.ones(len(gammas))),
        "energy": (truth["energy"].log10()[:, None], gammas),
        "direction": (seen_from(batch.frame.axis, truth["direction"]), gammas),
        "core": ((truth["core"] - batch.frame.origin) / 100.0, gammas),
    }


def network(selection: Selection, outputs: dict[str, int] = OUTPUTS, config: HillasConfig = CONFIG) -> HillasNetwork:
    return HillasNetwork(config, selection.source.spec, outputs, FrameworkConfig())


def errors(outputs: dict[str, Tensor], targets: dict[str, tuple[Tensor, Tensor]]) -> dict[str, float]:
    """Medians of gammas: of the angle in degrees, of the distance in 100 m, and of the decades of energy."""
    of = targets["energy"][1] > 0
    tangent = torch.cat([torch.deg2rad(outputs["direction"]), torch.ones(len(of), 1)], 1)
    angle = separation(tangent.double(), targets["direction"][0].double())
    distance = (outputs["core"] - targets["core"][0]).norm(dim=1)
    decades = (outputs["energy"] - targets["energy"][0]).abs()[:, 0]
    return {name: float(values[of].median()) for name, values in (("angle", angle), ("m", distance), ("E", decades))}


def test_it_learns_and_repeats(showers: Selection) -> None:
    batch, targets = examples(showers)
    halves = [showers.entries[:70], showers.entries[70:]]
    stereo = showers.source.spec["images"].mode == "stereo"
    parts = [examples(Selection(showers.source, entries)) for entries in halves]
    one, two = network(showers), network(showers)
    one.fit([(array_images(part), of) for part, of in parts])
    two.fit([(array_images(batch), targets)])
    assert all(value.equal(two.state_dict()[name]) for name, value in one.state_dict().items())
    shapes = {name: value.shape for name, value in network(showers).state_dict().items()}
    assert shapes == {name: value.shape for name, value in one.state_dict().items()}
    outputs = one(array_images(batch))
    assert {name: tuple(output.shape) for name, output in outputs.items()} == {
        name: (len(batch), channels) for name, channels in OUTPUTS.items()
    }
    assert (outputs["type"].argmax(1) == targets["type"][0]).float().mean() > 0.9
    found = errors(outputs, targets)
    limits = {"angle": 0.05, "m": 0.1, "E": 0.1} if stereo else {"angle": 0.2, "m": 0.3, "E": 0.1}
    assert all(found[name] < limit for name, limit in limits.items()), found


def test_events_without_weight_are_not_learned_from(showers: Selection) -> None:
    batch, targets = examples(showers)
    one, two = network(showers), network(showers)
    one.fit([(array_images(batch), targets)])
    for name in ("energy", "direction", "core"):
        values, weight = targets[name]
        targets[name] = (torch.where(weight[:, None] > 0, values, torch.nan), weight)
    two.fit([(array_images(batch), targets)])
    assert all(value.equal(two.state_dict()[name]) for name, value in one.state_dict().items())


def test_an_event_without_a_bright_image_gets_the_mean_the_axis_and_the_origin() -> None:
    selection = simulated_showers()
    batch, targets = examples(selection)
    fitted = network(selection)
    fitted.fit([(array_images(batch), targets)])
    assert isinstance(batch["images"], CameraImages)
    dark = tuple(replace(camera, charge=torch.zeros_like(camera.charge)) for camera in batch["images"].cameras)
    outputs = fitted(array_images(replace(batch, inputs={"images": CameraImages(dark)})))
    energies, weight = targets["energy"]
    torch.testing.assert_close(outputs["energy"], (energies * weight[:, None]).sum(0).div(weight.sum()).expand(10, 1))
    share = torch.bincount(targets["type"][0], minlength=2) / 10
    torch.testing.assert_close(outputs["type"].softmax(1), share.expand(10, 2))
    assert not outputs["direction"].any()
    assert not outputs["core"].any()


def test_frames_there_and_back() -> None:
    selection = simulated_showers()
    batch, targets = examples(selection)
    assert batch.frame is not None
    direction = directions_of(targets["direction"][0].double().numpy(), batch.frame)
    outputs = to_frame(direction, cores_of(targets["core"][0].numpy(), batch.frame), batch.frame)
    truth = torch.from_numpy(selection.source.truth(selection.entries)["direction"])
    torch.testing.assert_close(direction_at(outputs["direction"], batch.frame.axis), truth.double(), atol=1e-6, rtol=0)
    torch.testing.assert_close(outputs["core"], targets["core"][0])


def test_kinds_of_telescope_learn_apart() -> None:
    """And of types only those that had all of them."""
    generator = np.random.default_rng(0)
    kind = np.arange(300) % 3
    features = generator.normal(size=(300, 2)).astype(np.float32)
    classes = np.where(kind == 2, 1, features[:, 0] * np.where(kind == 0, 1, -1) > 0).astype(np.int64)
    trees = KindTrees(TreesConfig(trees=20, leaves=4, least=5), 1, 3, classes=2)
    trees.fit(features, kind, classes, np.ones(300))
    assert trees.known.tolist() == [True, True, False]
    logits = trees(torch.from_numpy(features), torch.from_numpy(kind))
    assert logits.argmax(1)[kind < 2].tolist() == classes[kind < 2].tolist()
    assert not logits[kind == 2].any()
    trees.fit(features, kind, classes, np.where(kind == 0, 1.0, 0.0))
    assert trees.known.tolist() == [True, False, False], "of the others no image has a weight"
    of_three = KindTrees(TreesConfig(trees=20, leaves=4, least=5), 1, 1, classes=3)
    thirds = np.digitize(features[:, 0], [-0.5, 0.5])
    of_three.fit(features, np.zeros(300, int), thirds, np.ones(300))
    found = of_three(torch.from_numpy(features), torch.zeros(300, dtype=torch.int64))
    assert (found.argmax(1).numpy() == thirds).mean() > 0.95


@pytest.mark.parametrize(
    ("outputs", "said"),
    [({"energy": 2}, "targets.energy"), ({"direction": 3}, "targets.direction"), ({"first": 3}, "targets.first")],
)
def test_what_it_cannot_give_is_refused_by_name(outputs: dict[str, int], said: str) -> None:
    with pytest.raises(UserError, match=said):
        network(simulated_showers(), outputs)


def test_nothing_to_learn_from_is_one_line() -> None:
    selection = simulated_showers()
    batch, targets = examples(selection)
    with pytest.raises(UserError, match=r"network\.least_charge"):
        network(selection, config=replace(CONFIG, least_charge=1e9)).fit([(array_images(batch), targets)])
    classes, _ = targets["type"]
    targets["type"] = classes, (classes == 0).float()
    with pytest.raises(UserError, match=r"task\.type\.class_weights"):
        network(selection).fit([(array_images(batch), targets)])
