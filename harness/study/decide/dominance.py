"""Pruning with several objectives: the median rule, with "dominates" in place of "is better".

At an epoch a trial is given up when at least half of the complete trials that reached this epoch dominate it: none of
their objectives is worse there and one is better (Fonseca and Fleming, 1993, rank candidates by how many dominate
them). With one objective this is the median stopping rule (Golovin et al., 2017), in Optuna's form: the best that the
trial has reached so far against what the others had at the same epoch.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections.abc import Mapping, Sequence

import numpy as np

from harness.records import EpochRecord, Outcome, TrialRecord
from harness.spec import COST
from harness.study.objectives import Objective
from harness.study.pareto import dominating, signed

EARLY = ("parameters", "flops", "train_samples_s")
"""Costs that are known after every epoch; the others are measured once, at the end."""

STARTUP = 5
"""Trials that must be complete before one is given up."""


def judgeable(objectives: Sequence[Objective]) -> bool:
    """Tell whether every objective is known after every epoch."""
    return all(objective.metric not in COST or objective.metric in EARLY for objective in objectives)


class Dominance:
    """The complete trials, epoch by epoch, and the judgement of a running one by them."""

    def __init__(self, objectives: Sequence[Objective], epochs: int) -> None:
        self._objectives = tuple(objectives)
        self._maximize = [objective.maximize for objective in objectives]
        self._epochs = epochs
        self._warmup = 1 + epochs // 5
        self._complete: list[int] = []
        self._asked: dict[int, int] = {}
        """By trial, how many epochs it has."""
        self._at: dict[int, np.ndarray] = {}
        """By epoch: trial number x objective, all to be made large; NaN for trials that did not come so far."""

    def tell(self, record: TrialRecord, epochs: Sequence[EpochRecord]) -> None:
        """Take in a trial's result, in place of an earlier one; only complete trials are compared with."""
        self._forget(record.trial)
        if record.outcome is not Outcome.COMPLETE:
            return
        insort(self._complete, record.trial)
        self._asked[record.trial] = record.candidate.get("epochs") or self._epochs
        rates: list[float] = []
        for epoch in epochs:
            insort(rates, epoch.train_samples_s)
            self._rows(epoch.epoch, record.trial)[record.trial] = self._vector(epoch, record.figures, rates)

    def should_prune(
        self,
        epochs_so_far: Sequence[EpochRecord],
        figures: Mapping[str, float],
        *,
        horizon: int,
        asked: int | None = None,
    ) -> str:
        """Return why to prune a trial after the last of its epochs, or ``""``.

        It is compared with the trials up to number ``horizon``, but not with those that are shorter than
        the epochs that were ``asked`` of it (None: all): at the same epoch they have annealed further. ``figures`` are
        those that are known before the training. An objective that was not measured dominates nothing and is not
        dominated.
        """
        epoch = epochs_so_far[-1].epoch
        visible = self._complete[: bisect_right(self._complete, horizon)]
        visible = [trial for trial in visible if self._asked[trial] >= (asked or self._epochs)]
        if epoch < self._warmup or len(visible) < STARTUP or epoch not in self._at:
            return ""
        rows = self._at[epoch]
        theirs = rows[[trial for trial in visible if trial < len(rows)]]
        best = self._best(epochs_so_far)
        ours = self._vector(best, figures, sorted(epoch.train_samples_s for epoch in epochs_so_far))
        reached = np.count_nonzero(~np.isnan(theirs[:, 0]))
        better = np.count_nonzero(dominating(theirs, ours))
        if reached == 0 or 2 * better < reached:
            return ""
        return f"at epoch {epoch}, {better} of {reached} trials were better in {self._names}"

    @property
    def _names(self) -> str:
        *others, last = [objective.metric for objective in self._objectives]
        return f"{', '.join(others)} and {last} at once" if others else last

    def _best(self, epochs: Sequence[EpochRecord]) -> EpochRecord:
        first, best = self._objectives[0], epochs[0]
        for epoch in epochs[1:]:
            if first.better(epoch.validation[first.metric], best.validation[first.metric]):
                best = epoch
        return best

    def _vector(self, epoch: EpochRecord, figures: Mapping[str, float], rates: Sequence[float]) -> np.ndarray:
        """Return the objectives, to be made large, with the training speed as the median of ascending rates."""
        known = {**figures, "train_samples_s": rates[len(rates) // 2]}
        return signed([objective.value(epoch.validation, known) for objective in self._objectives], self._maximize)

    def _rows(self, epoch: int, trial: int) -> np.ndarray:
        """Return the rows of an epoch, made to hold a trial."""
        rows = self._at.get(epoch, np.empty((0, len(self._objectives))))
        if trial >= len(rows):
            grown = np.full((2 * trial + 1, len(self._objectives)), np.nan)
            grown[: len(rows)] = rows
            self._at[epoch] = rows = grown
        return rows

    def _forget(self, trial: int) -> None:
        place = bisect_left(self._complete, trial)
        if self._complete[place : place + 1] != [trial]:
            return
        del self._complete[place], self._asked[trial]
        for rows in self._at.values():
            rows[trial : trial + 1] = np.nan
