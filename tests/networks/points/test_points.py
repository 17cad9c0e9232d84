"""Networks on points: the order of hits, of events and of groups does not matter; empty events are possible."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from airshower.config.schema import FrameworkConfig
from airshower.data.containers import Points
from airshower.data.spec import Spec
from airshower.detectors.hawc.points_spec import HawcPointsSpec
from airshower.geometry.shower_front import LIGHT_SPEED
from airshower.geometry.tank_array import hawc_array
from airshower.networks.layers.ragged import grouped
from airshower.networks.points.edge import PointsEdge
from airshower.networks.points.latent import PointsLatent
from airshower.networks.points.network import PointsNetwork
from airshower.networks.points.set import PointsSet
from airshower.networks.points.transformer import PointsTransformer
from tests.networks.points.ragged import shuffled

OUTPUTS = {"type": 2, "energy": 1, "direction": 2, "core": 2}
SPEC = HawcPointsSpec.of_array(["charge", "time", "central"], hawc_array())
NETWORKS = (PointsLatent, PointsSet, PointsTransformer, PointsEdge)


@pytest.fixture(params=NETWORKS, ids=lambda network: network.__name__)
def network(request: pytest.FixtureRequest) -> PointsNetwork:
    torch.manual_seed(1)
    kind = request.param
    network = kind(kind.Config(hit_width=16, width=32), Spec({"points": SPEC}), OUTPUTS, FrameworkConfig())
    for parameter in network.parameters():  # also where training starts from zero
        torch.nn.init.normal_(parameter, std=0.1)
    return network.double()


def points(counts: list[int], seed: int = 0) -> Points:
    """Random hits of events."""
    rng = np.random.default_rng(seed)
    pmt = np.concatenate([rng.choice(1200, n, replace=False) for n in counts]).astype(int)
    features = rng.normal(size=(len(pmt), 3)).astype(np.float32)
    features[:, 2] = np.where(hawc_array().central[pmt], 1.7, -0.6)
    return Points(hawc_array().position[pmt].astype(np.float32), features, np.array(counts))


def outputs(network: PointsNetwork, batch: Points) -> Tensor:
    moved = batch.to(torch.device("cpu"))
    wide: Any = moved.moved(lambda tensor: tensor.double())
    return torch.cat(list(network(grouped(wide)).values()), 1)


def test_the_order_of_hits_does_not_matter(network: PointsNetwork) -> None:
    batch = points([40, 300, 7])
    assert torch.allclose(outputs(network, batch), outputs(network, shuffled(batch)), atol=1e-9)


def test_events_do_not_depend_on_those_beside_them(network: PointsNetwork) -> None:
    counts = [40, 300, 0, 7, 1, 41, 2, 900]
    batch = points(counts)
    together = outputs(network, batch)
    assert together.isfinite().all()
    for row in range(len(counts)):
        alone = outputs(network, batch.taken(np.array([row])))
        assert torch.allclose(together[row], alone[0], atol=1e-9), row


def test_gradients_are_finite_and_reach_all_weights(network: PointsNetwork) -> None:
    outputs(network, points([30, 0, 1, 200])).square().sum().backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
        assert parameter.grad.any(), name


def test_a_batch_without_events(network: PointsNetwork) -> None:
    assert outputs(network, points([3]).taken(np.zeros(0, int))).shape == (0, 7)


def test_untrained_networks_begin_with_the_plane_and_the_middle_of_the_charge() -> None:
    """A plane front from a known direction, charges around a known core."""
    network = PointsSet(PointsSet.Config(), Spec({"points": SPEC}), OUTPUTS, FrameworkConfig())
    position = hawc_array().position
    towards = np.array([0.3, -0.2])
    core = hawc_array().centre + [10.0, -20.0]
    distance = np.hypot(*(position[:, :2] - core).T)
    near = distance < 60
    time = -position[near, :2] @ towards / LIGHT_SPEED
    columns = {"charge": np.ones(near.sum()), "time": time - time.mean(), "central": np.zeros(near.sum())}
    features = np.stack([quantity.scaled(columns[quantity.name]) for quantity in SPEC.features], 1)
    batch = Points(position[near].astype(np.float32), features, np.array([near.sum()]))
    result = network(grouped(batch.to(torch.device("cpu"))))
    up = np.sqrt(1 - (towards**2).sum())
    assert np.allclose(
        result["direction"][0].detach(), np.degrees([-towards[0] / up, towards[1] / up]), atol=0.5
    )  # the front is taken for a curved one
    middle = position[near, :2].mean(0) - hawc_array().centre
    assert np.allclose(100 * result["core"][0].detach(), middle, atol=0.01)
