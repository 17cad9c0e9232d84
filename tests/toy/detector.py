"""A toy detector: 5 x 5 scintillators on the ground, 20 m apart, that count the particles of showers from above."""

from dataclasses import asdict, dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

from airshower.config.fields import number, section
from airshower.data.batch import Batch
from airshower.data.containers import Table
from airshower.data.order import OrderConfig
from airshower.data.quantity import Quantity
from airshower.data.simulated import SimulatedConfig, SimulatedData, SimulatedFile
from airshower.data.source import Source
from airshower.data.spec import Spec, TableSpec
from airshower.data.truth import CLASS, NUMBER, POSITION, Column, Columns, Frame, Truth
from airshower.runtime.folders import whole

PLACES = 20.0 * np.stack(np.meshgrid(np.arange(-2, 3), np.arange(-2, 3), indexing="ij"), -1).reshape(-1, 2)  # m
SIGNALS = tuple(Quantity(f"scintillator {n}", "particles", 0.0, 1.0, logarithmic=True, floor=1.0) for n in range(25))
PRIMARIES = ("gamma", "proton")
TRUTH = (
    Column("primary", CLASS, classes=PRIMARIES),
    Column("energy", NUMBER, "TeV"),
    Column("core", POSITION, "m", parts=("core_x", "core_y")),
)


@dataclass
class ToySimulation:
    """`data.simulation.*`."""

    particles: float = number(1000.0, above=0.0)


class ToyEvents(Source):
    """The events of one file of arrays (npz)."""

    def __init__(self, path: Path):
        with np.load(path, allow_pickle=False) as file:
            self.columns = dict(file)
        self.spec = Spec({"signals": TableSpec(SIGNALS)}, TRUTH, frozenset(column.name for column in TRUTH), ("event",))
        self.digest = path.stem

    def __len__(self) -> int:
        return len(self.columns["energy"])

    @property
    def event_ids(self) -> np.ndarray:
        """The number of each event in the file, int64 [n, 3]."""
        return np.stack([np.arange(len(self)), *np.zeros((2, len(self)), np.int64)], 1)

    def read(self, entries: np.ndarray) -> Batch:
        """See `Source`."""
        signals = [q.scaled(self.columns["signals"][entries, n]) for n, q in enumerate(SIGNALS)]
        frame = Frame(None, np.zeros((len(entries), 2), np.float32))
        truth = Truth(self.truth, entries)
        return Batch({"signals": Table(np.stack(signals, 1))}, entries, self.event_ids[entries], truth, frame)

    def truth(self, entries: np.ndarray, names: tuple[str, ...] | None = None) -> Columns:
        """See `Source`."""
        return {name: self.columns[name][entries] for name in self.spec.wanted(names)}


class Toy(SimulatedData[ToyEvents]):
    """`data=toy`: simulated events."""

    containers = MappingProxyType({"signals": Table})

    @dataclass
    class Config(OrderConfig, SimulatedConfig):
        """`data.*`."""

        simulation: ToySimulation = section(ToySimulation)

    @classmethod
    def columns(cls, config: Any) -> tuple[Column, ...]:
        """See `Data`."""
        return TRUTH

    def source(self, name: str, events: int, seed: int) -> ToyEvents:
        """See `SimulatedData`."""
        return ToyEvents(self.file(name, events, seed))

    def files(self, name: str, events: int, seed: int) -> dict[str, SimulatedFile]:
        """See `SimulatedData`."""
        made_from = {"events": events, "seed": seed, **asdict(self.config.simulation)}

        def write(path: Path, _: str) -> None:
            with whole(path) as file:
                np.savez(file, **simulate(self.config.simulation, events, seed))

        return {"": SimulatedFile("toy", f"{name}_{events}", ".npz", made_from, write)}


def simulate(config: ToySimulation, events: int, seed: int) -> Columns:
    """Showers of 1 to 100 TeV; those of protons are wider and vary more."""
    generator = np.random.default_rng(seed)
    primary = generator.integers(0, 2, events)
    energy = 10.0 ** generator.uniform(0.0, 2.0, events)
    core = generator.uniform(-30.0, 30.0, (events, 2))
    distance = np.linalg.norm(PLACES - core[:, None], axis=2)
    width = np.where(primary == 1, 40.0, 20.0)[:, None]
    size = config.particles * energy * generator.lognormal(0.0, np.where(primary == 1, 0.4, 0.1))
    density = size[:, None] / width**2 * np.exp(-distance / width)
    return {"primary": primary, "energy": energy, "core": core, "signals": generator.poisson(density).astype(float)}
