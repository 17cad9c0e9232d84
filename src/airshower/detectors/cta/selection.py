"""Selection of images, with the number of images and events that each cut removes."""

import numpy as np


class CutFlow:
    """How many images and events there were, and how many each cut removed, summed over files."""

    def __init__(self) -> None:
        self.images = self.events = 0
        self.removed: dict[str, tuple[int, int]] = {}

    def add(self, name: str, images: int, events: int) -> None:
        """A cut removed this many images and this many events."""
        before = self.removed.get(name, (0, 0))
        self.removed[name] = before[0] + images, before[1] + events

    @property
    def left(self) -> tuple[int, int]:
        """Images and events that passed all cuts."""
        images, events = (sum(counts[i] for counts in self.removed.values()) for i in (0, 1))
        return self.images - images, self.events - events

    def __str__(self) -> str:
        cuts = [f"{name} removed {n} ({m} events)" for name, (n, m) in self.removed.items() if n or m]
        return "; ".join([f"{self.images} images of {self.events} events", *cuts])


class Selector:
    """Narrows down the images of one file, cut by cut, and counts in a `CutFlow` that other files share.

    `event` int64 [images] is the row of each image's event, of `events` in all; `kept` bool [images] are the remaining
    images. An event remains as long as one of its images does.
    """

    def __init__(self, event: np.ndarray, events: int, flow: CutFlow):
        self.event = event
        self.flow = flow
        self.kept = np.ones(len(event), bool)
        flow.images = flow.images + len(event)
        flow.events = flow.events + events
        flow.add("having no image", 0, events - self._count())

    def cut(self, name: str, keep: np.ndarray) -> None:
        """Remove the images where `keep` (bool [images]) is false."""
        images = int(self.kept.sum())
        events = self._count()
        self.kept = self.kept & keep
        self.flow.add(name, images - int(self.kept.sum()), events - self._count())

    def cut_multiplicity(self, least: int) -> None:
        """Remove events with fewer than `least` remaining images."""
        if least > 1 and len(self.event):
            images = np.bincount(self.event[self.kept], minlength=self.event.max() + 1)
            self.cut(f"multiplicity {least}", images[self.event] >= least)

    def _count(self) -> int:
        return len(np.unique(self.event[self.kept]))
