"""Networks on the pixels of telescopes: neither the order of pixels nor that of telescopes matters."""

import numpy as np
import pytest
import torch
from torch import Tensor

from airshower.config.schema import FrameworkConfig
from airshower.data.containers import Points
from airshower.data.spec import PointsSpec, Spec
from airshower.detectors.cta.points import POINT_FEATURES
from airshower.errors import UserError
from airshower.geometry.sky import rising, with_pointing
from airshower.networks.points.edge import PointsEdge
from airshower.networks.points.latent import PointsLatent
from airshower.networks.points.network import PointsNetwork
from airshower.networks.points.set import PointsSet
from airshower.networks.points.sky import sky_groups
from airshower.networks.points.transformer import PointsTransformer
from tests.networks.points.ragged import shuffled

OUTPUTS = {"type": 2, "energy": 1, "direction": 2, "core": 2}
FEATURES = tuple(POINT_FEATURES.values())
SPEC = PointsSpec(("altitude", "azimuth"), "deg", FEATURES, np.zeros(2), np.zeros((0, 2)))
POINTING = torch.tensor([[1.2, 2.0]])
NETWORKS = (PointsLatent, PointsSet, PointsTransformer, PointsEdge)
PLACES = np.array([[-80.0, -60.0], [90.0, -40.0], [10.0, 100.0], [150.0, 120.0]])  # m


@pytest.fixture(params=NETWORKS, ids=lambda network: network.__name__)
def network(request: pytest.FixtureRequest) -> PointsNetwork:
    torch.manual_seed(1)
    kind = request.param
    network = kind(kind.Config(hit_width=16, width=32, stages=2), Spec({"points": SPEC}), OUTPUTS, FrameworkConfig())
    for parameter in network.parameters():  # also where training starts from zero
        torch.nn.init.normal_(parameter, std=0.1)
    return network.double()


def scaled(position: np.ndarray, counts: list[int], **values: np.ndarray) -> Points:
    columns = [quantity.scaled(values[quantity.name]) for quantity in FEATURES]
    return Points(position.astype(np.float32), np.stack(columns, 1).astype(np.float32), np.array(counts))


def pixels(counts: list[int], seed: int = 0) -> Points:
    """Random pixels of random telescopes."""
    rng = np.random.default_rng(seed)
    total = sum(counts)
    place = PLACES[rng.integers(0, len(PLACES), total)]
    return scaled(
        rng.normal(0.0, 1.0, (total, 2)),
        counts,
        charge=rng.lognormal(3.0, 0.5, total),
        time=rng.normal(20.0, 5.0, total),
        telescope_x=place[:, 0],
        telescope_y=place[:, 1],
        kind=rng.integers(0, 2, total).astype(float),
    )


def outputs(network: PointsNetwork, batch: Points) -> Tensor:
    moved = batch.to(torch.device("cpu")).moved(lambda tensor: tensor.double())
    return torch.cat(list(network(sky_groups(moved, SPEC, POINTING.expand(len(batch), 2))).values()), 1)


def test_the_order_of_pixels_does_not_matter(network: PointsNetwork) -> None:
    batch = pixels([40, 200, 7])
    assert torch.allclose(outputs(network, batch), outputs(network, shuffled(batch)), atol=1e-8)


def test_events_do_not_depend_on_those_beside_them(network: PointsNetwork) -> None:
    counts = [40, 200, 0, 7, 1, 41, 2]
    batch = pixels(counts)
    together = outputs(network, batch)
    assert together.isfinite().all()
    for row in range(len(counts)):
        alone = outputs(network, batch.taken(np.array([row])))
        assert torch.allclose(together[row], alone[0], atol=1e-8), row
    assert outputs(network, batch.taken(np.zeros(0, int))).shape == (0, 7)


def test_gradients_are_finite_and_reach_all_weights(network: PointsNetwork) -> None:
    outputs(network, pixels([30, 0, 1, 200])).square().sum().backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
        assert parameter.grad.any(), name


def test_untrained_networks_begin_where_the_axes_of_images_cross() -> None:
    """Line images from a known direction, displaced from it as the telescopes are from a known core on the ground."""
    direction, core = np.array([0.4, -0.3]), np.array([30.0, -20.0])
    frame = with_pointing(rising(POINTING.double()))[0].numpy()
    tilted = (PLACES - core) @ frame[:2, :2].T
    along = np.linspace(0.5, 1.5, 21)[:, None] / 100.0  # deg for each m
    position = np.concatenate([direction + along * away for away in tilted])
    place = np.repeat(PLACES, 21, axis=0)
    count = len(position)
    batch = scaled(
        position,
        [count],
        charge=np.full(count, 50.0),
        time=np.full(count, 20.0),
        telescope_x=place[:, 0],
        telescope_y=place[:, 1],
        kind=np.zeros(count),
    )
    network = PointsSet(PointsSet.Config(), Spec({"points": SPEC}), OUTPUTS, FrameworkConfig())
    result = network(sky_groups(batch.to(torch.device("cpu")), SPEC, POINTING))
    np.testing.assert_allclose(result["direction"][0].detach(), direction, atol=0.02)
    np.testing.assert_allclose(100 * result["core"][0].detach(), core, atol=2.0)


def test_telescopes_have_places() -> None:
    lacking = PointsSpec(SPEC.axes, "deg", FEATURES[:3], SPEC.centre, SPEC.sensors)
    with pytest.raises(UserError, match=r"^network\.features: points on the sky need telescope_y, too$"):
        PointsSet(PointsSet.Config(), Spec({"points": lacking}), OUTPUTS, FrameworkConfig())
