"""Monotone splines: inverse, derivative, ends."""

import pytest
import torch

from airshower.networks.layers.splines import monotone_spline, spline_numbers


def numbers(rows: int, bins: int, periodic: bool, size: float = 1.5) -> torch.Tensor:
    generator = torch.Generator().manual_seed(rows)
    return size * torch.randn(rows, spline_numbers(bins, periodic), generator=generator, dtype=torch.float64)


@pytest.mark.parametrize("periodic", [False, True])
@pytest.mark.parametrize("bins", [2, 7, 24])
def test_the_inverse_undoes_it_and_derivatives_are_autograd_s(periodic: bool, bins: int) -> None:
    x = torch.linspace(1e-6, 1 - 1e-6, 301, dtype=torch.float64).requires_grad_()
    shape = numbers(301, bins, periodic)
    value, slope = monotone_spline(x, shape, periodic)
    (derivative,) = torch.autograd.grad(value.sum(), x)
    torch.testing.assert_close(slope, derivative.log())
    back, inverse_slope = monotone_spline(value.detach(), shape, periodic, inverse=True)
    torch.testing.assert_close(back, x.detach(), atol=1e-9, rtol=0)
    torch.testing.assert_close(inverse_slope, -slope, atol=1e-6, rtol=0)


@pytest.mark.parametrize("periodic", [False, True])
def test_ends_stay_and_it_rises(periodic: bool) -> None:
    x = torch.linspace(0, 1, 1001, dtype=torch.float64)
    value, slope = monotone_spline(x, numbers(1, 8, periodic).expand(1001, -1), periodic)
    assert value[0] == 0
    assert value[-1] == pytest.approx(1)
    assert (value.diff() > 0).all()
    assert (slope[0] == pytest.approx(float(slope[-1]))) == periodic
    assert float((slope.exp().sum() - slope[[0, -1]].exp().mean()) / 1000) == pytest.approx(1, abs=1e-3)


def test_zeros_are_the_identity() -> None:
    x = torch.rand(50, dtype=torch.float64)
    value, slope = monotone_spline(x, torch.zeros(50, spline_numbers(5, False), dtype=torch.float64), False)
    torch.testing.assert_close(value, x)
    torch.testing.assert_close(slope, torch.zeros_like(x), atol=1e-12, rtol=0)
