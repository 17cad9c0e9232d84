"""Statistics of counts, beside those of the events that were counted."""

import numpy as np
import pytest
import torch
from scipy.stats import ks_2samp, wasserstein_distance

from airshower.statistics.counts import area_under_roc, contained, count_errors, count_values, mean_distances
from airshower.statistics.roc import placements


def test_counted_errors_give_percentiles() -> None:
    errors = np.random.default_rng(0).lognormal(-2, 1, 20_000)
    counts = count_errors(torch.from_numpy(errors), torch.ones(20_000))
    for share in (0.1, 0.5, 0.6827, 0.95):
        assert contained(counts, share) == pytest.approx(np.percentile(errors, 100 * share), rel=2e-3)
    weight = torch.from_numpy((errors < 0.1).astype(np.float32))
    weighted = count_errors(torch.from_numpy(errors), weight)
    assert contained(weighted) == pytest.approx(np.percentile(errors[errors < 0.1], 68.27), rel=2e-3)
    assert np.isnan(contained(torch.zeros_like(counts)))
    assert contained(count_errors(torch.tensor([0.0, 1e9]), torch.ones(2))) < 2e5  # the last bin's edge


def test_the_area_under_roc_is_that_of_the_events() -> None:
    signal, background = torch.tensor([0, 2, 5, 1]), torch.tensor([4, 3, 1, 0])
    scores = [np.repeat(np.arange(4.0), counts) for counts in (signal, background)]
    assert area_under_roc(signal, background) == pytest.approx(placements(*scores).mean())
    assert area_under_roc(background, signal) == pytest.approx(1 - placements(*scores).mean())
    assert np.isnan(area_under_roc(signal, torch.zeros(4)))


def test_distances_are_scipys() -> None:
    generator = torch.Generator().manual_seed(1)
    real = torch.randn(3000, 2, generator=generator)
    other = torch.randn(2000, 2, generator=generator) * torch.tensor([1.0, 1.5]) + torch.tensor([0.3, 0.0])
    found = mean_distances(count_values(real), count_values(other))
    columns = list(zip(real.T.numpy(), other.T.numpy(), strict=True))
    assert found["KS"] == pytest.approx(np.mean([ks_2samp(*pair).statistic for pair in columns]), abs=0.01)
    assert found["Wasserstein"] == pytest.approx(np.mean([wasserstein_distance(*pair) for pair in columns]), abs=0.01)
    far = count_values(torch.tensor([[100.0, torch.nan], [-100.0, 0.0]]))
    assert far.sum() == 4
