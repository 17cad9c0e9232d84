"""Figures of merit as ctaplot has them, on the same random numbers."""

import importlib.util

import numpy as np
import pytest

from airshower.data.source import ThrownShowers
from airshower.geometry.separation import angular_separation
from airshower.statistics.bins import counts_in
from airshower.statistics.bootstrap import bootstrap_in_bins
from airshower.statistics.containment import containment, containment_radius, median_bias
from airshower.statistics.roc import placements
from airshower.tasks.reconstruction.effective_area import effective_area, thrown_per_area

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
        "angular_resolution": (energy, angle, containment_radius),
        "energy_resolution": (data["energy"], relative, containment),
        "energy_bias": (data["energy"], relative, median_bias),
        "core_resolution": (energy, distance, containment_radius),
        "auc": (energy, placements(data["score"], data["background"]), np.mean),
    }
    found = {
        name: (float(of(values)), bootstrap_in_bins(x, values, EDGES, of)[0])
        for name, (x, values, of) in merits.items()
    }
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
