"""When to stop: the user, the system or the clock."""

from __future__ import annotations

import math
import time

from harness.errors import Interrupted, TimedOut


class Stop:
    """Asked between training steps, so it must cost next to nothing; raises when the work should end.

    The deadline is in ``time.monotonic`` seconds; what it leaves aside for the final refit is set as the search learns.
    """

    def __init__(self, seconds: float | None = None) -> None:
        self.deadline = time.monotonic() + seconds if seconds is not None else math.inf
        self.reserve_s = 0.0
        self.signal = 0
        """Number of the signal that asked for the end; 0 while none did."""

    def request(self, signal: int) -> None:
        """Ask for a clean end."""
        self.signal = signal

    @property
    def out_of_time(self) -> bool:
        """Tell whether what remains is no more than what the refit needs."""
        return time.monotonic() >= self.deadline - self.reserve_s

    def check(self) -> None:
        """Raise :class:`Interrupted` or :class:`TimedOut` when the search should end."""
        if self.signal:
            raise Interrupted("the run was asked to stop")
        if self.out_of_time:
            raise TimedOut("the time of the run was used up")

    def check_signal(self) -> None:
        """Raise :class:`Interrupted` only: the final refit may use the time that was kept for it."""
        if self.signal:
            raise Interrupted("the run was asked to stop")
