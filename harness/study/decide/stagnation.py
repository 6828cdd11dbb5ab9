"""The end of a search in which nothing has improved for a while: ``budget.stagnation``."""

from __future__ import annotations

from collections.abc import Sequence

from harness.records import Outcome, TrialRecord
from harness.study.objectives import Objective
from harness.study.pareto import Floats, as_good, signed


class Stagnation:
    """Counts the trials that have ended, however they did, since the last one that was an improvement.

    An improvement is a complete trial that no earlier complete one equals or betters: with one objective a new best
    value, by however little; with several a new point of the Pareto front.
    """

    def __init__(self, patience: int | None, objectives: Sequence[Objective]) -> None:
        """``patience`` is the number of trials without an improvement that is too many; None: no number is."""
        self._patience = patience
        self._maximize = [objective.maximize for objective in objectives]
        self._front: dict[int, Floats] = {}
        """Of the complete trials those that no other betters, with their values, each to be made large."""
        self._since: set[int] = set()
        self.best: int | None = None
        """The trial that was the last improvement."""

    @property
    def reached(self) -> bool:
        """Whether no further trial should begin. There must have been one that was complete."""
        return self._patience is not None and self.best is not None and len(self._since) >= self._patience

    @property
    def reason(self) -> str:
        """What ended the search, or ``""``."""
        if not self.reached:
            return ""
        return f"none of {len(self._since)} trials in a row was better than trial {self.best} (budget.stagnation)"

    def learn(self, record: TrialRecord) -> None:
        """Take in how a trial, or a stretch of it, has ended."""
        if record.outcome is not Outcome.COMPLETE:
            self._since.add(record.trial)
            return
        values = signed(record.values, self._maximize)
        self._front.pop(record.trial, None)
        if any(as_good(known, values) for known in self._front.values()):
            self._since.add(record.trial)
            return
        self._front = {trial: known for trial, known in self._front.items() if not as_good(values, known)}
        self._front[record.trial], self.best = values, record.trial
        self._since.clear()
