"""Which turns a suite has left, and how long each may take."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from statistics import median_low

from harness.bench.catalog import ONCE, ROUNDS, turns, weight
from harness.bench.workload import Level, groups

LEVEL_S: Mapping[Level, float] = {"quick": 48.0, "standard": 480.0, "full": 2400.0}
"""Of all groups together, with the start of their processes."""
LEAST_S = 10.0
"""Of a suite of few groups."""
LEAST_GROUP_S = 0.3
ASSUMED = 3
"""How many turns the assumption of what one takes counts for: the first may read libraries from a cold disk."""
SAVE_S = 0.5
"""What writing the files takes."""
SAVE_EVERY_S = 10.0


class Schedule:
    """The turns of the groups ``names`` in the time of a level.

    ``turn_s`` is what a turn is taken to last beyond its time, for its process and its meters, until some have been
    seen. Rounds for which there is too little time are left out, the last first.
    """

    def __init__(self, names: Sequence[str], level: Level, *, turn_s: float) -> None:
        part = sum(map(weight, names)) / sum(map(weight, groups))
        self.total_s = max(LEVEL_S[level] * part, LEAST_S)
        self.rounds = ROUNDS[level]
        """How many there are to be."""
        self.left = turns(names, self.rounds)
        """Round and group of each turn, in their order."""
        self.missed: Counter[str] = Counter()
        """For how many rounds a group had no time."""
        self._beside_s = [turn_s] * ASSUMED
        self._start_s = time.monotonic()
        self._leave_out_rounds()

    def left_s(self) -> float:
        """Return the seconds until the end."""
        return max(self.total_s - (time.monotonic() - self._start_s), 0.0)

    def rounds_of(self, name: str) -> int:
        """Return how many turns a group is to have."""
        return 1 if name in ONCE else self.rounds

    def share_s(self, name: str) -> float:
        """Return the seconds of a group's turn, its part of what remains but for processes and the saving."""
        beside_s = self._turn_s() * len(self.left) + SAVE_S * (self.left_s() // SAVE_EVERY_S + 1)
        part = self._weight(name) / sum(self._weight(other) for _, other in self.left)
        return max((self.left_s() - beside_s) * part, LEAST_GROUP_S)

    def took(self, given_s: float, wall_s: float) -> None:
        """Learn from a turn that took so long of what it was given."""
        self._beside_s.append(max(wall_s - given_s, 0.0))

    def skip(self, name: str) -> None:
        """Leave a group out from now on."""
        self.left = [turn for turn in self.left if turn[1] != name]

    def end_turn(self) -> None:
        """Go on to the next turn, if it is not skipped already."""
        self.left = self.left[1:]
        self._leave_out_rounds()

    def _leave_out_rounds(self) -> None:
        """Leave out the last rounds while there is less than the least time for each turn."""
        while self.left and (last := self.left[-1][0]) > self.left[0][0]:
            if self.left_s() >= len(self.left) * (self._turn_s() + LEAST_GROUP_S):
                return
            self.missed.update(name for number, name in self.left if number == last)
            self.left = [turn for turn in self.left if turn[0] < last]
            self.rounds = last

    def _turn_s(self) -> float:
        return median_low(self._beside_s)  # not the mean, as a few turns compile, or measure energy

    def _weight(self, name: str) -> float:
        return weight(name) * (self.rounds if name in ONCE else 1)
