"""mode=simulate through the command line: the cache's events at a path of the user's choice."""

import re
from pathlib import Path

import h5py
import numpy as np
import pytest

from airshower.data.simulated import TEST_SEED, SimulatedData
from airshower.detectors.cta.simulated import SimulatedCta
from airshower.detectors.cta.simulation import CtaSimulation
from airshower.detectors.hawc.simulated import SimulatedHawc
from airshower.detectors.lartpc.simulated import SimulatedLartpc
from airshower.detectors.lartpc.simulation import LartpcSimulation
from tests.command import Outcome, airshower
from tests.test_inspect import OVERRIDES, QUIET, SHOWERS, inspect
from tests.test_toy import CONF
from tests.toy.detector import Toy

WIRES = ("data=lartpc_simulated", "data.simulation.image_size=[128,96]", "data.simulation.cosmic_rate=4")


def simulate(path: Path, *overrides: str) -> Outcome:
    return airshower(*overrides, "mode=simulate", *QUIET, f"mode.file={path}")


CASES = {
    "cta": (
        ("data=cta_simulated", "data.events=6", *OVERRIDES),
        lambda: SimulatedCta(SimulatedCta.Config(events=6, **SHOWERS), 0),
        "gammas.dl1.h5",
    ),
    "lartpc": (
        (*WIRES, "data.events=3"),
        lambda: SimulatedLartpc(
            SimulatedLartpc.Config(events=3, simulation=LartpcSimulation(image_size=[128, 96], cosmic_rate=4.0)), 0
        ),
        "wires.h5",
    ),
    "hawc": (
        ("data=hawc_simulated", "data.events=12"),
        lambda: SimulatedHawc(SimulatedHawc.Config(events=12), 0),
        "events.xcd",
    ),
    "toy": ((*CONF, "data=toy", "data.events=5"), lambda: Toy(Toy.Config(events=5), 0), "toy.npz"),
}


def contents(path: Path) -> dict[str, object]:
    """The attributes and datasets of an HDF5 file, by name, without those of the process that made it."""
    found: dict[str, object] = {}

    def add(name: str, item: h5py.Group | h5py.Dataset) -> None:
        found.update({f"{name}@{key}": str(item.attrs[key]) for key in item.attrs})
        if isinstance(item, h5py.Dataset):
            found[name] = item[...].tobytes()

    with h5py.File(path) as file:
        add("", file)
        file.visititems(add)
    return {name: value for name, value in found.items() if not re.match(r"@CTA (ACTIVITY|PRODUCT)", name)}


@pytest.mark.parametrize("case", CASES)
def test_the_file_is_that_of_the_cache(case: str, tmp_path: Path) -> None:
    """To the byte, but for DL1's record of when it was made."""
    overrides, make, name = CASES[case]
    outcome = simulate(tmp_path / name, *overrides)
    assert outcome.code == 0, outcome.err
    data: SimulatedData = make()
    (cached,) = data.files(*data.sample("train")).values()
    assert [path.name for path in tmp_path.iterdir()] == [name]
    if case == "cta":
        assert contents(tmp_path / name) == contents(cached.cached())
    else:
        assert (tmp_path / name).read_bytes() == cached.cached().read_bytes()
    assert f"{tmp_path / name}: all events" in outcome.out or "gamma events" in outcome.out


def test_it_is_read_as_any_other_file(tmp_path: Path) -> None:
    overrides, make, name = CASES["cta"]
    simulate(tmp_path / name, *overrides)
    stereo = ("data=cta", f"data.file={tmp_path / name}", "data.mode=stereo", "mode.displays=0")
    _, report = inspect(tmp_path / "run", *stereo)
    source = make().open().train.source
    energy = source.truth(np.arange(6))["energy"]
    assert report["entries"]["in_files"] == 6
    assert report["truth"]["energy"]["parts"]["energy"]["max"] == energy.max()


def test_splits_have_events_of_their_own(tmp_path: Path) -> None:
    """With the numbers and the seeds that training, validation and inference have."""
    sizes = ("data.events=2", "data.validation_events=3", "data.test_events=1", "data.seed=5")
    written = {}
    for split in ("train", "validation", "test"):
        assert simulate(tmp_path / split, *WIRES, *sizes, f"mode.split={split}").code == 0
        written[split] = (tmp_path / split).read_bytes()
    simulation = LartpcSimulation(image_size=[128, 96], cosmic_rate=4.0)
    data = SimulatedLartpc(SimulatedLartpc.Config(simulation=simulation), 0)
    for split, events, seed in (("train", 2, 10), ("validation", 3, 11), ("test", 1, TEST_SEED + 5)):
        assert written[split] == data.file(split, events, seed).read_bytes()


def test_primaries_have_a_file_each(tmp_path: Path) -> None:
    outcome = simulate(tmp_path / "events.xcd", "data=hawc_mixed_simulated", "data.events=20")
    assert outcome.code == 0, outcome.err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["events_gamma.xcd", "events_proton.xcd"]
    gammas = ("data=hawc", f"data.gammas={tmp_path}/events_gamma.xcd", f"data.protons={tmp_path}/events_proton.xcd")
    _, report = inspect(tmp_path / "run", *gammas, "mode.displays=0")
    assert report["truth"]["primary"]["classes"] == {"gamma": 10, "proton": 10}


def test_a_file_is_replaced_only_when_asked(tmp_path: Path) -> None:
    path = tmp_path / "toy.npz"
    path.write_bytes(b"precious")
    toy = CASES["toy"][0]
    refused = simulate(path, *toy)
    assert refused.code == 2
    assert (
        refused.err
        == f"airshower: mode.file={path}: exists; choose another name, or run.overwrite=true to replace it\n"
    )
    assert path.read_bytes() == b"precious"
    assert simulate(path, *toy, "run.overwrite=true").code == 0
    assert len(np.load(path)["energy"]) == 5


@pytest.mark.parametrize(
    ("overrides", "line"),
    [
        (("mode.file={}/no/toy.npz", "data=toy"), "mode.file={0}/no/toy.npz: there is no folder {0}/no; make it first"),
        (("mode.file={}", "data=toy"), "mode.file={0}: is a folder; name a file in it"),
        (("data=toy",), "mode.file: has no value; give one, as in mode.file=..."),
        (
            ("mode.file={}/x.h5", "data=cta"),
            "mode=simulate: these data are read from files; simulated are data=cta_simulated, hawc_images_simulated, "
            "hawc_mixed_simulated, hawc_simulated, lartpc_laptop, lartpc_simulated",
        ),
        (("mode.file={}/x", "mode.split=all", "data=toy"), "mode.split=all: must be one of train, validation, test"),
    ],
)
def test_mistakes_are_one_line(overrides: tuple[str, ...], line: str, tmp_path: Path) -> None:
    outcome = airshower(*CONF, "mode=simulate", *(item.format(tmp_path) for item in overrides))
    assert (outcome.code, outcome.err) == (2, f"airshower: {line.format(tmp_path)}\n")
    assert not list(tmp_path.iterdir())


def test_what_fails_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Half of the file is written when the simulation stops."""
    from airshower.detectors.lartpc import simulated

    def broken(simulation: object, seed: int, entry: int) -> object:
        if entry == 2:
            raise KeyboardInterrupt
        return whole(simulation, seed, entry)

    whole = simulated.simulate_event
    monkeypatch.setattr(simulated, "simulate_event", broken)
    assert simulate(tmp_path / "wires.h5", *WIRES, "data.events=4").code == 130
    assert not list(tmp_path.iterdir())


def test_the_simulation_of_the_file_is_in_its_record() -> None:
    """As in the cache: what its content follows from."""
    data = SimulatedCta(SimulatedCta.Config(simulation=CtaSimulation(lsts=1, msts=0)), 0)
    (file,) = data.files("train", 7, 3).values()
    assert (file.made_from["lsts"], file.made_from["events"], file.made_from["seed"]) == (1, 7, 3)
