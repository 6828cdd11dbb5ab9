"""A group of assignments in the hands of a process that may not let go of it."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, field

from harness.records import Outcome
from harness.study.contract import Assignment, Evaluation, Group, Lost
from harness.study.trial.share import Share


@dataclass(slots=True)
class Task:
    """A group that a worker or an actor has, or will have once it is ready."""

    group: Group
    pending: dict[int, Assignment] = field(init=False)
    """Those of its assignments that have not ended, by trial."""
    share: Share = field(init=False)
    assigned_s: float = field(default_factory=time.monotonic)
    due_s: float = math.inf
    """When whatever carries it out is killed, if it has not ended by then."""
    if_killed: tuple[Outcome, str] = (Outcome.CRASHED, "")
    killed: bool = False

    def __post_init__(self) -> None:
        self.pending = {assignment.trial: assignment for assignment in self.group}
        self.share = Share(len(self.group))

    def hand_over(self, grace_s: float) -> None:
        """Begin to count the trials' own time: whatever carries them out is ready, and its start was nobody's fault.

        Each takes its share of the time, so together they may take the sum of what each may.
        """
        self.assigned_s, self.due_s = time.monotonic(), math.inf
        time_s = sum(assignment.time_s for assignment in self.group)
        late = f"its time of {time_s:g} s was over; it did not answer for {grace_s:g} s and was killed"
        self.end_within(time_s + grace_s, Outcome.TIMEOUT, late)

    def end_within(self, seconds: float, outcome: Outcome, reason: str) -> None:
        """Have it killed, with this result, unless it ends within so many seconds, or is to be killed earlier."""
        due_s = time.monotonic() + seconds
        if due_s < self.due_s:
            self.due_s, self.if_killed = due_s, (outcome, reason)

    def end(self, evaluation: Evaluation) -> bool:
        """Take in that an assignment has ended; return whether all of them have."""
        assignment, record = self.pending.pop(evaluation.trial), evaluation.record
        self.share.end({"seconds": record.seconds + record.lost_s - assignment.spent_s})
        return not self.pending

    def lost(self, outcome: Outcome, reason: str) -> list[Lost]:
        """Return what to say of those of which nothing came back, each with its share of the time."""
        seconds = self.share.of("seconds", time.monotonic() - self.assigned_s)
        return [Lost(trial, outcome, reason, max(0.0, seconds)) for trial in self.pending]
