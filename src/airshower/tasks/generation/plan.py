"""The events that inference generates, with their random numbers and conditions."""

from dataclasses import dataclass
from typing import Self

import numpy as np
import torch
from torch import Tensor

from airshower.config.fields import choice, number
from airshower.data.quantity import Quantity
from airshower.data.records import Records
from airshower.data.splits import Selection
from airshower.networks.generator import EventGenerator, Progress, Sampler

LEAST = 2.0**-24  # distance of uniform numbers from 0 and 1


@dataclass
class GenerateConfig:
    """`task.generate.*`."""

    events: int = number(0, low=0)
    at_once: int = number(0, low=0)
    conditions: str = choice("data", "uniform")
    seed: int = number(1, low=0, high=2**63 - 1)


@dataclass(frozen=True, eq=False)
class Generated:
    """Generated events: `events` float32 [m, ...] and the network's `conditions` [m, quantities], [m, 0] if it is not
    conditional, both scaled by the spec. `entry` int64 [m] is the entry of the conditions, unless they are uniform."""

    events: Tensor
    conditions: Tensor
    entry: Tensor


@dataclass(frozen=True, eq=False)
class Plan:
    """`events` events: number i has the scaled `conditions` [entries, quantities] of entry i modulo their number, or
    conditions drawn uniformly from `low` to `high` [quantities]. `quantities` are the conditions'."""

    quantities: tuple[Quantity, ...]
    entries: np.ndarray
    conditions: Tensor
    events: int
    seed: int
    low: Tensor | None = None
    high: Tensor | None = None

    @classmethod
    def of(cls, config: GenerateConfig, selection: Selection) -> Self:
        """The configured number of events, or that of the selection, with the conditions of its entries."""
        source = selection.source
        entries = selection.entries
        conditions = torch.from_numpy(source.scaled("conditions", entries))
        limits = (conditions.amin(0), conditions.amax(0)) if config.conditions == "uniform" else ()
        quantities = source.spec.quantities("conditions")
        return cls(quantities, entries, conditions, config.events or len(entries), config.seed, *limits)

    def generated(
        self, network: EventGenerator, sampler: Sampler, numbers: np.ndarray, progress: Progress
    ) -> Generated:
        """The events of these numbers, by a `sampler` of the network; each depends only on its number."""
        entry = numbers % len(self.entries)
        conditions = self.conditions[entry]
        sizes = [network.latent, conditions.shape[1]]
        noise, share = event_noise(self.seed, numbers, sum(sizes)).split(sizes, 1)
        if self.low is not None and self.high is not None:
            drawn = Records.of_scaled(self.quantities, (self.low + (self.high - self.low) * share).numpy())
            conditions = torch.from_numpy(drawn.scaled)
        device = next(network.parameters()).device
        conditions = conditions.to(device)
        events = sampler(noise.to(device), conditions, progress).float()
        return Generated(events, conditions[:, : len(network.given)], torch.from_numpy(self.entries[entry]))


def event_noise(seed: int, numbers: np.ndarray, draws: int) -> Tensor:
    """Uniform random numbers of events with these numbers: float32 [n, draws] between 0 and 1, both excluded."""
    keys = (np.array([seed, number], np.uint64) for number in numbers.tolist())
    generators = (np.random.Generator(np.random.Philox(key=key)) for key in keys)
    drawn = np.array([generator.random(draws, np.float32) for generator in generators], np.float32)
    return torch.from_numpy(drawn.reshape(len(numbers), draws)).clamp(LEAST, 1 - LEAST)
