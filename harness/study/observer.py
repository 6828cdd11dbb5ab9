"""Who watches a search."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from harness.records import EpochRecord, TrialRecord
from harness.study.objectives import Objective


class Observer:
    """Who watches a search: a progress display, code of the user's own. What it does not override it lets pass.

    Its methods are called in the process and thread of the search, in the order in which things happen. What one of
    them raises ends the search, with everything saved; :class:`harness.StopSearch` ends it as if its time were used up.

    >>> import harness
    >>> class Printer(harness.Observer):
    ...     def trial_ended(self, record):
    ...         print(record.trial, record.outcome, len(record.values))
    >>> _ = harness.search(space, trials=1, workers=0, observer=Printer())
    0 complete 1
    """

    def run_started(self, run: Path, notes: Sequence[str], first: Objective, best: TrialRecord | None) -> None:
        """Learn where the run is written, what was noticed, its first objective, and the best value so far.

        A run that is resumed may have one.
        """

    def trial_started(self, number: int, params: Mapping[str, Any], /) -> None:
        """Learn that a trial begins, or goes on."""

    def epoch_ended(self, epoch: EpochRecord) -> None:
        """Learn that an epoch of a trial ended, or one of the final model's trainings, which have no validation."""

    def trial_ended(self, record: TrialRecord) -> None:
        """Learn how a trial, or a stretch of it, ended."""

    def final_started(self, how: str, epochs: int, why: str) -> None:
        """Learn of each step to the final model: ``rehearse``, then ``refit``, ``ensemble`` or ``keep``.

        Where the winner of a finished run is trained on all samples, it is ``full``. It trains so many epochs
        altogether. ``why`` says what decided for it, or is empty.
        """


class Observers(Observer):
    """Several who watch a search, told in turn."""

    def __init__(self, *observers: Observer) -> None:
        self._observers = observers

    def run_started(self, run: Path, notes: Sequence[str], first: Objective, best: TrialRecord | None) -> None:
        """Pass it on."""
        for each in self._observers:
            each.run_started(run, notes, first, best)

    def trial_started(self, number: int, params: Mapping[str, Any], /) -> None:
        """Pass it on."""
        for each in self._observers:
            each.trial_started(number, params)

    def epoch_ended(self, epoch: EpochRecord) -> None:
        """Pass it on."""
        for each in self._observers:
            each.epoch_ended(epoch)

    def trial_ended(self, record: TrialRecord) -> None:
        """Pass it on."""
        for each in self._observers:
            each.trial_ended(record)

    def final_started(self, how: str, epochs: int, why: str) -> None:
        """Pass it on."""
        for each in self._observers:
            each.final_started(how, epochs, why)
