"""Which images are used: a count of what each cut on them removes."""

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

    `event` int64 [images] is the row of each image's event, of `events` in all; `kept` bool [images] what is left.
    An event is left while one of its images is.
    """

    def __init__(self, event: np.ndarray, events: int, flow: CutFlow):
        self.event, self.flow = event, flow
        self.kept = np.ones(len(event), bool)
        flow.images, flow.events = flow.images + len(event), flow.events + events
        flow.add("having no image", 0, events - self._count())

    def cut(self, name: str, keep: np.ndarray) -> None:
        """Remove the images where `keep` (bool [images]) is false."""
        images, events = int(self.kept.sum()), self._count()
        self.kept = self.kept & keep
        self.flow.add(name, images - int(self.kept.sum()), events - self._count())

    def cut_multiplicity(self, least: int) -> None:
        """Remove events of which less than `least` images are left."""
        if least > 1 and len(self.event):
            images = np.bincount(self.event[self.kept], minlength=self.event.max() + 1)
            self.cut(f"multiplicity {least}", images[self.event] >= least)

    def _count(self) -> int:
        return len(np.unique(self.event[self.kept]))
