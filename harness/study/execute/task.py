"""An assignment in the hands of a process that may not let go of it."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, field

from harness.records import Outcome
from harness.study.contract import Assignment, Lost


@dataclass(slots=True)
class Task:
    """An assignment that a worker or an actor has, or will have once it is ready."""

    assignment: Assignment
    assigned_s: float = field(default_factory=time.monotonic)
    due_s: float = math.inf
    """When whatever carries it out is killed, if it has not ended by then."""
    if_killed: tuple[Outcome, str] = (Outcome.CRASHED, "")
    killed: bool = False

    def hand_over(self, grace_s: float) -> None:
        """Begin to count the trial's own time: whatever carries it out is ready, and its start was nobody's fault."""
        self.assigned_s, self.due_s = time.monotonic(), math.inf
        time_s = self.assignment.time_s
        late = f"its time of {time_s:g} s was over; it did not answer for {grace_s:g} s and was killed"
        self.end_within(time_s + grace_s, Outcome.TIMEOUT, late)

    def end_within(self, seconds: float, outcome: Outcome, reason: str) -> None:
        """Have it killed, with this result, unless it ends within so many seconds, or is to be killed earlier."""
        due_s = time.monotonic() + seconds
        if due_s < self.due_s:
            self.due_s, self.if_killed = due_s, (outcome, reason)

    def lost(self, outcome: Outcome, reason: str) -> Lost:
        """Return what to say of it when nothing came back."""
        return Lost(self.assignment.trial, outcome, reason, time.monotonic() - self.assigned_s)
