"""Successive halving, asynchronous and with promotion (Li et al., 2020, arXiv:1810.05934, algorithm 2).

Trials pause at rungs: epochs that grow by a factor. Whenever there is room, a paused trial that is among the best
``1 / factor`` of its rung is promoted to the next one, from the highest rung down; else a new trial begins. Nobody
waits for a rung to fill, and what was stopped too early can still be taken up.
"""

from __future__ import annotations

import math
from bisect import bisect_left, insort


class Halving:
    """The rungs of a search and who stands on them; equal values go to the trial with the lower number."""

    def __init__(
        self, epochs: int, *, maximize: bool, factor: int = 3, first: int | None = None, stable: int | None = None
    ) -> None:
        """No trial pauses at the last of the ``epochs``, nor after the first ``stable`` of them, where that is said."""
        rung = max(1, epochs // factor**3) if first is None else first
        rungs: list[int] = []
        while rung < epochs and rung <= (epochs if stable is None else stable):
            rungs.append(rung)
            rung *= factor
        self.rungs: tuple[int, ...] = (*rungs, epochs)
        self._factor = factor
        self._sign = -1.0 if maximize else 1.0
        self._ranking: list[list[tuple[float, int]]] = [[] for _ in self.rungs]
        """By rung, what is to be made small and its trial, the best first; infinite for a failure."""
        self._known: list[dict[int, float]] = [{} for _ in self.rungs]
        self._promoted: list[set[int]] = [set() for _ in self.rungs]
        self._ended: set[int] = set()

    def reached(self, trial: int, epoch: int, value: float) -> None:
        """Take in a trial's result at a rung, or where it ended on the way to one; NaN: it failed there.

        A result that is told again takes the place of the earlier one.
        """
        rung = min(bisect_left(self.rungs, epoch), len(self.rungs) - 1)
        small = math.inf if math.isnan(value) else self._sign * value
        ranking, known = self._ranking[rung], self._known[rung]
        if trial in known:
            del ranking[bisect_left(ranking, (known[trial], trial))]
        known[trial] = small
        insort(ranking, (small, trial))
        self.passed(trial, self.rungs[rung])

    def passed(self, trial: int, epoch: int) -> None:
        """Take in that a trial was let go on from every rung before an epoch."""
        for rung in range(bisect_left(self.rungs, epoch)):
            self._promoted[rung].add(trial)

    def ended(self, trial: int) -> None:
        """Take in that a trial is complete or has failed: it keeps its places, and is not promoted from them."""
        self._ended.add(trial)

    def promote(self) -> tuple[int, int] | None:
        """Return a trial that goes on and the epoch of its next rung, and mark it; None: begin a new trial."""
        for rung in reversed(range(len(self.rungs) - 1)):
            ranking, promoted = self._ranking[rung], self._promoted[rung]
            for small, trial in ranking[: len(ranking) // self._factor]:
                if trial not in promoted and trial not in self._ended and small < math.inf:
                    promoted.add(trial)
                    return trial, self.rungs[rung + 1]
        return None

    def best_paused(self) -> tuple[int, int] | None:
        """Return the best trial on the highest rung that holds any that can go on, and mark it, whatever its rank.

        For the end of a search that was too small for any trial to be promoted to the last rung.
        """
        for rung in reversed(range(len(self.rungs) - 1)):
            for small, trial in self._ranking[rung]:
                if trial not in self._promoted[rung] and trial not in self._ended and small < math.inf:
                    self._promoted[rung].add(trial)
                    return trial, self.rungs[rung + 1]
        return None
