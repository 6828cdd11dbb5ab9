"""The time of a comparison: that of each search, and what is left for the seeds."""

from __future__ import annotations

import time

from harness.errors import InputError
from harness.study.estimate import estimate_costs
from harness.study.job import Job
from harness.study.stop import Stop


class Clock:
    """Deals out the time, and passes a signal on to whatever is at work."""

    def __init__(self, seconds: float | None, *, started_s: float | None = None) -> None:
        self._whole = Stop(seconds, started_s=started_s)
        self._current = self._whole

    @property
    def signal(self) -> int:
        """The signal that asked for the end; 0 while none did."""
        return self._whole.signal

    def request(self, signal: int) -> None:
        """Ask for a clean end."""
        self._whole.request(signal)
        self._current.request(signal)

    def for_search(self, seconds: float | None) -> Stop:
        """Return what ends one search."""
        return self._begun(Stop(seconds))

    def for_seeds(self) -> Stop:
        """Return what ends the trainings of the winners."""
        return self._begun(Stop(self._whole.end_s - time.monotonic()))

    def _begun(self, stop: Stop) -> Stop:
        self._current = stop
        if self.signal:
            stop.request(self.signal)
        return stop


def check_fits(name: str, job: Job, seconds: float) -> None:
    """Raise :class:`InputError` where not even the cheapest trial that was tried would end in the time of a search."""
    (estimate,) = estimate_costs(job)
    needed_s = estimate.least_s + estimate.beside_s
    if needed_s > seconds:
        raise InputError(
            f"--time: leaves {seconds:.2g} s for the search of each architecture, and one trial of {name} takes "
            f"{needed_s:.2g} s or more; give more time, or fewer epochs (--set budget.epochs=N)"
        )
