"""Weights of loss terms that are learned."""

import pytest
import torch

from airshower.tasks.balance import UncertaintyBalance
from airshower.tasks.loss_terms import LossTerms


def test_balance_settles_where_each_term_is_one() -> None:
    """A term without entries keeps its weight."""
    balance = UncertaintyBalance(3, 0.05)
    terms = LossTerms(torch.tensor([8.0, 0.03, 0.0]), torch.tensor([4.0, 3.0, 0.0]))
    optimizer = torch.optim.Adam(balance.parameters(), lr=balance.learning_rate)
    for _ in range(300):
        optimizer.zero_grad()
        (balance(terms).total / terms.weight.clamp_min(1)).sum().backward()
        optimizer.step()
    assert balance.weights().tolist() == pytest.approx([0.5, 100.0, 1.0], rel=1e-2)


def test_pieces_of_a_step_add_up() -> None:
    balance = UncertaintyBalance(2, 0.05)
    balance.log_variance.data = torch.tensor([0.7, -0.3])
    total, weight = torch.tensor([[1.0, 2.0], [3.0, 0.0]]), torch.tensor([[2.0, 1.0], [4.0, 0.0]])
    pieces = sum(balance(LossTerms(*piece)).total for piece in zip(total, weight, strict=True))
    torch.testing.assert_close(pieces, balance(LossTerms(total.sum(0), weight.sum(0))).total)
    expected = (-balance.log_variance).exp() * total.sum(0) / weight.sum(0) + balance.log_variance
    torch.testing.assert_close(pieces / weight.sum(0), expected)
