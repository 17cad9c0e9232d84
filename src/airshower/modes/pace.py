"""How fast a training is."""

import time

from airshower.data.feeder import Feeder


class Pace:
    """Images per second and the fraction of time spent waiting for data, since the last count."""

    def __init__(self, feeder: Feeder):
        self.feeder = feeder
        self.restart()

    def restart(self) -> None:
        """Exclude the time since the last count from the next."""
        self.time = time.perf_counter()
        self.waited = self.feeder.waited

    def leave_out(self, seconds: float) -> None:
        """Exclude time spent on other work."""
        self.time += seconds

    def count(self, images: int) -> dict[str, float]:
        """Close the interval in which `images` were trained on."""
        passed = max(time.perf_counter() - self.time, 1e-9)
        waited = self.feeder.waited - self.waited
        self.restart()
        return {"images_per_second": images / passed, "wait_share": min(1.0, waited / passed)}
