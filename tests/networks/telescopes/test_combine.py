"""The telescopes of an event together."""

import torch
from torch import Tensor

from airshower.networks.telescopes.combine import (
    FeatureMapSlots,
    Pooled,
    Recurrent,
    SetAttention,
    Telescopes,
    VectorSlots,
    event_softmax,
    padded,
)

EVENT, ROW = torch.tensor([2, 0, 2, 2]), torch.tensor([1, 0, 3, 0])


def telescopes(features: Tensor) -> Telescopes:
    """Four images of three entries, of which the second has none, of an array of four telescopes."""
    auxiliary = torch.arange(24.0).view(4, 6)
    return Telescopes(features, EVENT, ROW, auxiliary, torch.tensor([5.0, 7.0, 90.0, 40.0]), 3)


def some(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0))


def test_softmax_is_over_each_event() -> None:
    score, event = torch.tensor([[1.0], [3.0], [900.0]]), torch.tensor([1, 1, 0])
    weight = event_softmax(score, event, 3)
    torch.testing.assert_close(weight[:2, 0], torch.tensor([1.0, 3.0]).softmax(0))
    assert weight[2, 0] == 1


def test_number_of_telescopes_is_kept() -> None:
    together = Pooled(4, "mean")(telescopes(torch.ones(4, 4)))
    torch.testing.assert_close(together[:, 4], torch.tensor([1.0, 1.0, 3.0]).log())
    torch.testing.assert_close(together[:, 0], torch.tensor([1.0, 0.0, 1.0]))


def test_images_of_an_event_follow_each_other() -> None:
    x = torch.arange(4.0)[:, None] + 1
    rows, count = padded(x, EVENT, 3)
    assert rows[..., 0].tolist() == [[2, 0, 0], [0, 0, 0], [1, 3, 4]]
    assert count.tolist() == [1, 0, 3]


def test_recurrence_is_over_an_events_images_in_order() -> None:
    x = some(4, 5)
    for order, of_the_last in (("size", [2, 3, 0]), ("telescope", [3, 0, 2])):
        torch.manual_seed(1)
        net = Recurrent(5, order)
        y = net(telescopes(x))
        torch.testing.assert_close(y[2], net.lstm(x[of_the_last][None])[0][0, -1])
        torch.testing.assert_close(y[0], net.lstm(x[1:2][None])[0][0, -1])
        assert not y[1].any()


def test_attention_is_among_an_events_images() -> None:
    torch.manual_seed(1)
    net, x = SetAttention(8, 2), some(4, 8)
    y = net(telescopes(x))
    among = net.among(x[[0, 2, 3]][None], x[[0, 2, 3]][None], torch.zeros(1, 3, dtype=torch.bool))
    torch.testing.assert_close(y[2, :8], net.over(net.query, among, torch.zeros(1, 3, dtype=torch.bool))[0, 0])
    torch.testing.assert_close(y[:, 8], torch.tensor([1.0, 1.0, 3.0]).log())
    assert not y[1].any()
    net.eval()
    with torch.no_grad():  # where torch has a faster way
        torch.testing.assert_close(net(telescopes(x)), y)


def test_each_telescope_has_a_slot() -> None:
    x = some(4, 2)
    slots = VectorSlots(2, 4)(telescopes(x)).view(3, 4, 9)
    assert slots[..., 8].tolist() == [[1, 0, 0, 0], [0, 0, 0, 0], [1, 1, 0, 1]]
    torch.testing.assert_close(slots[EVENT, ROW, :8], torch.cat([x, torch.arange(24.0).view(4, 6)], 1))
    assert not slots[slots[..., 8] == 0].any()


def test_each_telescope_has_its_channels() -> None:
    x, mask = some(4, 2, 3, 3), torch.ones(1, 1, 3, 3, dtype=torch.bool)
    mask[..., 0, 2] = False
    maps = FeatureMapSlots(2, 4)(telescopes(x * mask), mask)
    slots = maps.values.view(3, 4, 9, 3, 3)
    torch.testing.assert_close(slots[EVENT, ROW, :2], x * mask)
    assert slots[2, :, 8, 1, 1].tolist() == [1, 1, 0, 1]
    assert slots[2, 1, 2:8, 1, 1].tolist() == list(range(6))
    assert not maps.values.masked_select(~mask).any()
