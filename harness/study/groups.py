"""The stretches of a search on their way through an executor, in groups that are trained as one program."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Hashable
from dataclasses import dataclass, field, replace

from harness.records import EpochRecord
from harness.study.contract import Assignment, Evaluation, Grouping, Lost
from harness.study.decide.protocol import Stretch


@dataclass(slots=True, eq=False)
class Running:
    """A stretch that has begun and not ended."""

    stretch: Stretch
    assignment: Assignment
    kind: Hashable | None = None
    """What those that are trained as one program have in common; None: it is trained alone."""
    epochs: list[EpochRecord] = field(default_factory=list)
    losses: int = 0
    """Workers that died of it."""
    started: bool = False
    """Whether an executor has had it."""

    def begin_again(self, ended: Evaluation | Lost) -> None:
        """Make the assignment that of another attempt, after one that left nothing."""
        spent_s = _spent_s(self.assignment, ended)
        self.assignment = replace(self.assignment, spent_s=spent_s, attempt=self.assignment.attempt + 1)


@dataclass(slots=True, eq=False)
class RunningGroup:
    """Stretches that are trained as one program; usually there is one."""

    members: list[Running]
    pending: dict[int, Running] = field(default_factory=dict)
    """Those of them that an executor has, by trial."""
    failed: list[Running] = field(default_factory=list)
    """Those to be tried again among fewer."""
    cancelled: bool = False
    device: int = 0
    """The one that it is on, of those that several groups may share."""
    alone: bool = False
    """Whether it ran out of memory beside other groups, and now has the device to itself."""

    @property
    def half(self) -> int:
        """Half its members, rounded up."""
        return (len(self.members) + 1) // 2


class Groups:
    """Forms groups of what is to be trained, and knows which ones are under way."""

    def __init__(self, grouping: Grouping) -> None:
        self._kind = grouping.kind
        self._most = grouping.size
        self._waiting: deque[Running] = deque()
        """Stretches that are in no group yet."""
        self._ready: deque[RunningGroup] = deque()
        """Groups to be tried again."""
        self._under_way: dict[int, RunningGroup] = {}
        """By each trial that has not ended."""

    @property
    def under_way(self) -> list[RunningGroup]:
        """What the executor has."""
        return list(dict.fromkeys(self._under_way.values()))

    @property
    def waiting(self) -> bool:
        """Whether there is something to be submitted."""
        return bool(self._ready or self._waiting)

    def hungry(self, free: int) -> bool:
        """Return whether another stretch would give ``free`` slots something to do, or more of it."""
        if self._ready or len(self._waiting) >= self._most * free:
            return False
        return sum(running.kind is None for running in self._waiting) < free

    def add(self, running: Running) -> None:
        """Have a stretch wait for its group."""
        running.kind = self._kind(running.assignment) if self._most > 1 else None
        self._waiting.append(running)

    def next(self, slots: int, most: float = math.inf) -> RunningGroup | None:
        """Return the group to be submitted next: one to be tried again, or the first that waits with its kind.

        No new one has more than ``most`` members. None: there is none, or it needs the device to itself and others are
        under way.
        """
        if not self._ready and self._waiting:
            self._ready.append(RunningGroup(self._take(slots, most)))
        if not self._ready or (self._ready[0].alone and self._under_way):
            return None
        return self._ready.popleft()

    def _take(self, slots: int, most: float) -> list[Running]:
        """Take out those of the first one's kind, no more than each slot's share of all that there is to do."""
        kind = self._waiting[0].kind
        if kind is None:
            return [self._waiting.popleft()]
        share = math.ceil((len(self._waiting) + len(self._under_way)) / slots)
        size = int(min(self._most, share, most))
        alike = [running for running in self._waiting if running.kind == kind][:size]
        taken = set(map(id, alike))
        self._waiting = deque(running for running in self._waiting if id(running) not in taken)
        return alike

    def begin(self, group: RunningGroup) -> None:
        """Note that a group is given to the executor."""
        group.pending = {running.assignment.trial: running for running in group.members}
        self._under_way |= dict.fromkeys(group.pending, group)

    def end(self, trial: int) -> tuple[RunningGroup, Running]:
        """Note that a stretch is back from the executor; return it and its group."""
        group = self._under_way.pop(trial)
        return group, group.pending.pop(trial)

    def again(self, running: Running, *, alone: bool) -> None:
        """Have a stretch submitted once more, as a group of its own."""
        self._ready.append(RunningGroup([running], alone=alone))

    def among_fewer(self, group: RunningGroup, running: Running, *, out_of_memory: bool) -> None:
        """Have a stretch submitted once more, among half as many, when the others of its group have ended.

        What ran out of memory bounds all later groups.
        """
        group.failed.append(running)
        if out_of_memory:
            self._most = min(self._most, group.half)

    def ended(self, group: RunningGroup) -> None:
        """Split what failed of a group, if all of it has ended."""
        if not group.pending:
            starts = range(0, len(group.failed), group.half)
            self._ready += [RunningGroup(group.failed[start : start + group.half]) for start in starts]


def _spent_s(assignment: Assignment, ended: Evaluation | Lost) -> float:
    """Return the device-seconds of all stretches of a trial, the one that has ended included.

    A record has them of the whole trial already, those that its checkpoint stands for among them.
    """
    if isinstance(ended, Lost):
        return assignment.spent_s + ended.seconds
    return ended.record.seconds + ended.record.lost_s
