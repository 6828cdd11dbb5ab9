"""When to stop: the user, the system or the clock."""

from __future__ import annotations

import math
import time

from harness.errors import Interrupted


class Stop:
    """Asked between training steps, so it must cost next to nothing; raises when the work should end.

    ``seconds`` are those of the whole command, None without an end; they count from ``started_s``, in
    ``time.monotonic`` seconds, or from now. What is set aside of them changes as the search learns.
    """

    def __init__(self, seconds: float | None = None, *, started_s: float | None = None) -> None:
        self.started_s = time.monotonic() if started_s is None else started_s
        self.end_s = self.started_s + seconds if seconds is not None else math.inf
        """When the command should have ended."""
        self.report_s = 0.0
        """What is set aside for writing down what was found."""
        self.reserve_s = 0.0
        """What is set aside for the final model and the baselines."""
        self.signal = 0
        """Number of the signal that asked for the end; 0 while none did."""
        self.ended = ""
        """Why the work should end, as whoever gave it out says; empty while it should not."""
        self.error: Exception | None = None
        """What a callback of the user raised, to be raised again when everything is saved."""

    def request(self, signal: int) -> None:
        """Ask for a clean end."""
        self.signal = signal

    def end(self, reason: str) -> None:
        """Ask for a clean end for this reason; ``""`` takes it back."""
        self.ended = reason

    @property
    def deadline(self) -> float:
        """When the final model should be made and scored, with the report still to come."""
        return self.end_s - self.report_s

    @property
    def left_s(self) -> float:
        """Seconds that trials may still take."""
        return self.deadline - self.reserve_s - time.monotonic()

    @property
    def out_of_time(self) -> bool:
        """Tell whether what remains is no more than what is set aside."""
        return self.left_s <= 0.0

    @property
    def at_once(self) -> bool:
        """Tell whether the run should end now, without a final model."""
        return bool(self.signal) or self.error is not None

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
        """Raise :class:`Interrupted` only where the run is to end now: the final refit has time of its own."""
        if self.at_once:
            raise Interrupted(self.reason)
