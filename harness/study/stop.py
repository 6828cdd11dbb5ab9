"""When to stop: the user, the system or the clock."""

from __future__ import annotations

import math
import time

from harness.errors import Interrupted


class Stop:
    """Asked between training steps, so it must cost next to nothing; raises when the work should end.

    The deadline is in ``time.monotonic`` seconds; what it leaves aside for the final refit is set as the search learns.
    """

    def __init__(self, seconds: float | None = None) -> None:
        self.deadline = time.monotonic() + seconds if seconds is not None else math.inf
        self.reserve_s = 0.0
        self.signal = 0
        """Number of the signal that asked for the end; 0 while none did."""
        self.ended = ""
        """Why the work should end, as whoever gave it out says; empty while it should not."""

    def request(self, signal: int) -> None:
        """Ask for a clean end."""
        self.signal = signal

    def end(self, reason: str) -> None:
        """Ask for a clean end for this reason; ``""`` takes it back."""
        self.ended = reason

    @property
    def left_s(self) -> float:
        """Seconds that trials may still take."""
        return self.deadline - self.reserve_s - time.monotonic()

    @property
    def out_of_time(self) -> bool:
        """Tell whether what remains is no more than what the refit needs."""
        return self.left_s <= 0.0

    @property
    def reason(self) -> str:
        """Why the work should end; empty while it should not."""
        if self.signal:
            return "the run was asked to stop"
        return self.ended or ("the time of the run was used up" if self.out_of_time else "")

    def check(self) -> None:
        """Raise :class:`Interrupted` when the search should end."""
        if reason := self.reason:
            raise Interrupted(reason)

    def check_signal(self) -> None:
        """Raise :class:`Interrupted` only for a signal: the final refit may use the time that was kept for it."""
        if self.signal:
            raise Interrupted("the run was asked to stop")
