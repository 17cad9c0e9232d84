"""Figures of merit: by hand, and as ctaplot has them, on the same random numbers."""

import importlib.util

import numpy as np
import pytest
import torch

from airshower.data.source import ThrownShowers
from airshower.tasks.shower_metrics import (
    angular_resolution,
    angular_separation,
    area_under_roc,
    binned,
    counts_in,
    cut_for_efficiency,
    effective_area,
    energy_bias,
    energy_resolution,
    linear_edges,
    log_edges,
    migration,
    placements,
    roc_curve,
    thrown_per_area,
)

EDGES = np.logspace(np.log10(2.51e-2), 2, 19)  # TeV, ctaplot's
# what ctaplot 0.6.6 makes of `showers()`: over all events (of the area the mean of all bins) and in bins 3, 8 and 13 of
# true energy; of reconstructed energy for its resolution and bias, which is how ctaplot bins these
CTAPLOT = {
    "angular_resolution": (0.128560245, [0.132583855, 0.130459913, 0.129053066]),
    "energy_resolution": (0.209615868, [0.218884202, 0.190091864, 0.199551699]),
    "energy_bias": (0.0552065621, [0.0618811663, 0.0185880598, 0.0720040034]),
    "core_resolution": (44.8841738, [48.400484, 44.5342332, 46.0486925]),
    "effective_area": (4323616.15, [46572.2561, 533526.123, 4577905.26]),
    "auc": (0.919574889, [0.923618217, 0.927600677, 0.925530572]),
}
BINS = [3, 8, 13]
RUN = ThrownShowers(0, 100_000, (0.01, 200.0), -2.0, 1e6)


def showers() -> dict[str, np.ndarray]:
    """Gammas near the north and their reconstruction, and scores of protons."""
    generator, count = np.random.default_rng(5), 3000
    energy = 10 ** generator.uniform(-1.6, 2, count)
    alt, az = generator.normal(1.2, 0.02, count), generator.normal(0, 0.02, count) % (2 * np.pi)
    x, y = generator.normal(0, 200, (2, count))
    shift, turn = generator.normal(0, 0.002, (2, count))
    off = generator.normal(0, 30, (2, count))
    found = {"true_energy": energy, "energy": energy * np.exp(generator.normal(0.05, 0.2, count))}
    found |= {"true_alt": alt, "true_az": az, "alt": alt + shift, "az": (az + turn) % (2 * np.pi)}
    found |= {"true_x": x, "true_y": y, "x": x + off[0], "y": y + off[1]}
    found["score"] = 1 / (1 + np.exp(-generator.normal(1, 1, count)))
    return found | {"background": 1 / (1 + np.exp(-generator.normal(-1, 1, count)))}


def ours() -> dict[str, tuple[float, np.ndarray]]:
    """Over all events, and in bins."""
    data = showers()
    energy, relative = data["true_energy"], data["energy"] / data["true_energy"] - 1
    angle = np.degrees(angular_separation(data["true_alt"], data["true_az"], data["alt"], data["az"]))
    distance = np.hypot(data["x"] - data["true_x"], data["y"] - data["true_y"])
    merits = {
        "angular_resolution": (energy, angle, angular_resolution),
        "energy_resolution": (data["energy"], relative, energy_resolution),
        "energy_bias": (data["energy"], relative, energy_bias),
        "core_resolution": (energy, distance, angular_resolution),
        "auc": (energy, placements(data["score"], data["background"]), np.mean),
    }
    found = {name: (float(of(values)), binned(x, values, EDGES, of)[0]) for name, (x, values, of) in merits.items()}
    area = effective_area(counts_in(energy, EDGES), thrown_per_area([RUN], EDGES))[0]
    return found | {"effective_area": (float(np.mean(area)), area)}


def theirs() -> dict[str, tuple[float, np.ndarray]]:
    import astropy.units as u
    from ctaplot import ana

    data = showers()
    direction = [data[name] * u.rad for name in ("true_alt", "alt", "true_az", "az")]
    cores = [data[name] * u.m for name in ("true_x", "x", "true_y", "y")]
    true, found = data["true_energy"] * u.TeV, data["energy"] * u.TeV
    edges = EDGES * u.TeV
    run = (RUN.energy_range[0] * u.TeV, RUN.energy_range[1] * u.TeV, RUN.showers, RUN.spectral_index)
    area = ana.effective_area_per_energy_power_law(*run, true, RUN.area * u.m**2, bins=edges)[1].to_value(u.m**2)
    types = np.repeat([0, 1], len(true))
    scores, energies = np.append(data["score"], data["background"]), np.append(true, true)
    return {
        "angular_resolution": (
            ana.angular_resolution(*direction)[0].to_value(u.deg),
            ana.angular_resolution_per_energy(*direction, true, bins=edges)[1][:, 0].to_value(u.deg),
        ),
        "energy_resolution": (
            ana.energy_resolution(true, found)[0],
            ana.energy_resolution_per_energy(true, found, bins=edges)[1][:, 0],
        ),
        "energy_bias": (
            ana.relative_bias(data["true_energy"], data["energy"], relative_scaling_method="s1"),
            ana.energy_bias(true, found, bins=edges)[1],
        ),
        "core_resolution": (
            ana.impact_resolution(*cores)[0].to_value(u.m),
            ana.impact_resolution_per_energy(*cores, true, bins=edges)[1][:, 0].to_value(u.m),
        ),
        "effective_area": (float(np.mean(area)), area),
        "auc": (
            ana.roc_auc_per_energy(types, scores, energies, energy_bins=[1e-9, 1e9] * u.TeV)[1][0],
            ana.roc_auc_per_energy(types, scores, energies, energy_bins=edges)[1],
        ),
    }


@pytest.mark.parametrize("name", CTAPLOT)
def test_as_ctaplot_had_them(name: str) -> None:
    over_all, bins = ours()[name]
    expected, in_bins = CTAPLOT[name]
    assert over_all == pytest.approx(expected, rel=1e-6)
    np.testing.assert_allclose(bins[BINS], in_bins, rtol=1e-6)


@pytest.mark.heavy
@pytest.mark.skipif(not importlib.util.find_spec("ctaplot"), reason="ctaplot is not installed")
@pytest.mark.filterwarnings("ignore")
def test_as_ctaplot_has_them() -> None:
    mine, its = ours(), theirs()
    assert mine.keys() == its.keys() == CTAPLOT.keys()
    for name, (over_all, bins) in its.items():
        assert mine[name][0] == pytest.approx(float(over_all), rel=1e-6), name
        np.testing.assert_allclose(mine[name][1], bins, rtol=1e-6, err_msg=name)


@pytest.mark.parametrize("angle", [1e-7, 1e-3, 1.0, 3.1])
def test_separation_is_exact(angle: float) -> None:
    assert angular_separation(0.0, 0.2, 0.0, 0.2 + angle) == pytest.approx(angle, rel=1e-8)
    assert angular_separation(np.pi / 2, 0.0, np.pi / 2 - angle, 2.0) == pytest.approx(angle, rel=1e-8)


def test_resolutions_are_containments() -> None:
    values = np.arange(1.0, 102.0)
    place = 0.6827 * 100
    low = int(place)
    squares = values**2
    expected = np.sqrt(squares[low] + (place - low) * (squares[low + 1] - squares[low]))
    assert angular_resolution(values) == pytest.approx(expected)
    assert energy_resolution(-values) == pytest.approx(1 + place)
    assert energy_bias(np.array([-1.0, 0.5, 9.0])) == 0.5
    assert np.isnan([angular_resolution(values[:0]), energy_resolution(values[:0]), energy_bias(values[:0])]).all()


def test_empty_bins_are_nan() -> None:
    energy = np.array([0.11, 0.12, 0.13, 5.0])
    edges = log_edges(energy)
    value, error, count = binned(energy, np.array([1.0, 2.0, 3.0, 4.0]), edges, energy_bias)
    assert count.sum() == 4
    assert value[0] == 2.0
    assert error[0] > 0
    assert np.isnan(value[1:]).all()
    assert edges[0] < 0.11
    assert edges[-1] >= 5.0


def test_bootstrap_error_is_that_of_a_mean() -> None:
    values = np.random.default_rng(1).normal(0, 2.0, 400)
    _, error, _ = binned(np.ones(400), values, np.array([0.5, 1.5]), lambda some: float(np.mean(some)))
    assert error[0] == pytest.approx(2.0 / 20, rel=0.25)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (np.array([2, 3, 4]), [1.5, 2.5, 3.5, 4.5]),
        (np.array([1, 30]), [-0.5, 4.5, 9.5, 14.5, 19.5, 24.5, 29.5, 34.5]),
        (np.array([0.0, 110.0, 430.0]), [0, 50, 100, 150, 200, 250, 300, 350, 400, 450]),
        (np.array([0.11, 0.31]), [0.1, 0.15, 0.2, 0.25, 0.3, 0.35]),
    ],
)
def test_linear_bins_are_at_round_places_and_hold_all(values: np.ndarray, expected: list[float]) -> None:
    edges = linear_edges(values)
    assert edges[0] <= values.min()
    assert counts_in(values, edges).sum() == len(values)
    np.testing.assert_allclose(edges, expected, atol=1e-9)


def test_area_under_roc_is_that_of_the_curve() -> None:
    signal, background = torch.tensor([0, 2, 5, 1]), torch.tensor([4, 3, 1, 0])
    scores = [np.repeat(np.arange(4.0), counts) for counts in (signal, background)]
    pairs = (scores[0][:, None] > scores[1]) + 0.5 * (scores[0][:, None] == scores[1])
    assert area_under_roc(signal, background) == pytest.approx(pairs.mean())
    np.testing.assert_allclose(placements(*scores), pairs.mean(1))
    false, found = roc_curve(*scores)
    assert (np.diff(false) * (found[1:] + found[:-1]) / 2).sum() == pytest.approx(pairs.mean())
    assert area_under_roc(background, signal) == pytest.approx(1 - pairs.mean())  # never turned round
    assert placements(*scores[::-1]).mean() == pytest.approx(1 - pairs.mean())
    assert np.isnan(area_under_roc(signal, torch.zeros(4)))
    assert np.isnan(placements(scores[0], scores[1][:0])).all()


@pytest.mark.parametrize("efficiency", [0.05, 0.5, 0.8, 1.0])
def test_a_cut_keeps_the_share(efficiency: float) -> None:
    scores = np.random.default_rng(2).random(99)
    cut = cut_for_efficiency(scores, efficiency)
    assert (scores >= cut).mean() >= efficiency
    assert (scores > cut).mean() < efficiency


@pytest.mark.parametrize("index", [-2.7, -1.0])
def test_effective_area_of_all_that_was_thrown_is_the_area(index: float) -> None:
    """Two runs over different areas: as many per m2 as fell there are found."""
    edges = np.array([0.5, 1.0, 3.0, 10.0, 20.0])
    runs = [ThrownShowers(0, 1000, (1.0, 10.0), index, 100.0), ThrownShowers(0, 500, (1.0, 3.0), index, 50.0)]
    thrown = thrown_per_area(runs, edges)
    assert thrown.sum() == pytest.approx(1000 / 100 + 500 / 50)
    generator = np.random.default_rng(3)
    share = generator.random(200_000)
    power = index + 1
    energy = 10**share if power == 0 else (1 + share * (10**power - 1)) ** (1 / power)
    np.testing.assert_allclose(
        thrown_per_area(runs[:1], edges)[1:3] / 10, counts_in(energy, edges)[1:3] / 2e5, rtol=0.02
    )
    area, error = effective_area(np.array([0, 4, 0, 0]), thrown)
    assert area[1] == pytest.approx(4 / thrown[1])
    assert error[1] == pytest.approx(area[1] / 2)
    assert area[2] == 0.0
    assert np.isnan(area[[0, 3]]).all()


def test_migration_counts() -> None:
    edges = np.array([1.0, 2.0, 4.0])
    counts = migration(np.array([1.5, 1.5, 3.0, 9.0, 2.0]), np.array([1.5, 4.0, 0.5, 3.0, 2.5]), edges)
    assert counts.tolist() == [[1, 2], [0, 0]]
