"""Batch normalization over ranks: by hooks of layers, whoever wrote them."""

import pytest
import torch
from torch import Tensor, nn

from airshower.runtime import batch_norm
from airshower.runtime.batch_norm import SyncBatchNorm, Total, synchronise


class Scaling(nn.Module):
    """A layer of somebody else."""

    total: Total | None = None

    def synchronise(self, total: Total) -> None:
        self.total = total


def test_each_layer_that_can_sum_over_ranks_is_given_the_sum() -> None:
    network = nn.Sequential(Scaling(), nn.Sequential(nn.BatchNorm1d(2), Scaling()), nn.SyncBatchNorm(3))
    with torch.no_grad():
        network[2].weight.fill_(0.25)
    before = network.state_dict()
    synchronise(network)
    replaced = network[2]
    assert isinstance(replaced, SyncBatchNorm)
    assert [layer.total for layer in (network[0], network[1][1], replaced)] == [batch_norm.sum_over_ranks] * 3
    after = network.state_dict()
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)


@pytest.mark.parametrize("shape", [(5, 3), (4, 3, 2, 2)])
def test_over_one_rank_it_is_batch_normalization(shape: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    alone, summed = SyncBatchNorm(3, momentum=0.3).double(), SyncBatchNorm(3, momentum=0.3).double()
    summed.synchronise(torch.clone)
    results = []
    for norm in (alone, summed):
        x = torch.randn(shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64, requires_grad=True)
        norm(x).pow(3).sum().backward()
        assert x.grad is not None
        results.append([x.grad, *norm.buffers()])
    for one, other in zip(*results, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-10)


def test_statistics_are_those_of_all_ranks() -> None:
    """The other rank's batch is the same with three added: the mean of both is 1.5 higher."""

    def both(tensor: Tensor) -> Tensor:
        if len(tensor) == 2:  # a sum and a number of values
            return torch.stack([2 * tensor[0] + 3 * tensor[1], 2 * tensor[1]])
        return 2 * tensor

    norm, x = SyncBatchNorm(1, momentum=1.0), torch.tensor([[0.0], [2.0]])
    norm.synchronise(both)
    norm(x)
    assert norm.running_mean.item() == pytest.approx(1.0 + 1.5)
