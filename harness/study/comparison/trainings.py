"""The trainings of the frozen winners: one run, in which every winner is trained under the same seeds."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from harness.data import derive_seed
from harness.errors import DataError
from harness.plan.running import thread_count
from harness.records import Outcome, TrialRecord
from harness.spec import Limits, Resampling
from harness.store import RunFolder
from harness.store.files import read_object
from harness.study.comparison.asked import SPARE, Asked
from harness.study.comparison.clock import Clock
from harness.study.comparison.openings import Opening, Openings
from harness.study.comparison.searches import begun
from harness.study.comparison.spanned import spanned
from harness.study.comparison.winners import Winner
from harness.study.decide.fixed import Replicate
from harness.study.execute.execution import threads_of
from harness.study.final.kept import score_trial, scores_file
from harness.study.observer import Observer
from harness.study.part import Finished
from harness.study.replicates import listed_spec
from harness.study.search import Opened, Request, open_search, run_search

WINNERS = "winners"


class Trainings:
    """Trains pair after pair: all winners on one split, each with weights and an order of samples of its own seed."""

    def __init__(
        self, folder: RunFolder, base: Request, winners: Sequence[Winner], *, asked: Asked, most: int, clock: Clock
    ) -> None:
        """``most`` is how many pairs the design may ask for."""
        self._folder = folder
        self._winners = winners
        self._asked = asked
        self._most = most
        self._clock = clock
        spec, self._points = spanned(base.spec, [winner.candidate for winner in winners])
        # A winner has kept its limits once; what the clock says of another training of it decides nothing.
        sections = {"evaluation": Resampling(), "limits": Limits()}
        self.spec = listed_spec(spec, most * len(winners)).model_copy(update=sections)
        self._base = replace(base, spec=self.spec, final=False)
        self._openings = Openings(folder, winners)
        self.opened: Opened = open_search(self._base)
        self.finished: Finished | None = None
        """The run as the last command that trained left it."""

    def train(self, pairs: int, observer: Observer) -> bool:
        """Train until so many pairs are whole; return whether they are.

        They are not where the time ends, the comparison is asked to stop, or too many trainings fail.
        """
        count = pairs
        while True:
            ended = self._run(count, observer)
            whole = len(self.whole)
            if whole >= pairs or len(ended) < count or count >= SPARE * pairs:
                return whole >= pairs
            count = min(SPARE * pairs, count + pairs - whole)

    def _run(self, count: int, observer: Observer) -> list[int]:
        """Train the first so many pairs of the list, and return those that have ended."""
        run, total = self._folder.path / WINNERS, count * len(self._winners)
        budget = self._base.spec.budget.model_copy(update={"trials": total})
        listed = tuple(
            Replicate(point, derive_seed(self.seed(pair), winner.name), self.seed(pair))
            for pair in range(SPARE * self._most)
            for winner, point in zip(self._winners, self._points, strict=True)
        )
        resumed = begun(run)
        request = replace(
            self._base,
            spec=self._base.spec.model_copy(update={"budget": budget}),
            resume=run if resumed else None,
            folder=run,
            replicates=listed,
        )
        self.opened = open_search(request)
        self.finished = run_search(request, self.opened, self._clock.for_seeds(), observer)
        records = self.finished.records
        return [
            pair
            for pair in range(count)
            if all(
                trial in records and records[trial].outcome is not Outcome.INTERRUPTED for trial in self._trials(pair)
            )
        ]

    def seed(self, pair: int) -> int:
        """Return the seed of a pair."""
        return self._asked.pair_seed(pair)

    @property
    def whole(self) -> list[int]:
        """The pairs in which every training is complete."""
        records = self.finished.records if self.finished else {}
        pairs = range(len(records) // len(self._winners))
        complete = {trial for trial, record in records.items() if record.outcome is Outcome.COMPLETE}
        return [pair for pair in pairs if complete.issuperset(self._trials(pair))]

    @property
    def openings(self) -> list[Opening]:
        """The openings of the test samples, in the order of the winners."""
        return self._openings.rows

    def failed(self, pairs: int) -> int:
        """Return how many pairs with a training that did not complete came before so many whole ones."""
        return self.whole[:pairs][-1] + 1 - pairs

    def records(self, pairs: Sequence[int]) -> Mapping[str, list[TrialRecord]]:
        """Return the trials of these pairs by the winner's name."""
        assert self.finished is not None, "it has been trained"
        rows = [[self.finished.records[trial] for trial in self._trials(pair)] for pair in pairs]
        return {winner.name: [row[place] for row in rows] for place, winner in enumerate(self._winners)}

    def score(self, pairs: Sequence[int]) -> Mapping[str, list[float]]:
        """Return the objective of each training of these pairs on the test samples, by the winner's name."""
        self._openings.note([self.seed(pair) for pair in pairs])
        job, dataset, metric = self.opened.job, self.opened.dataset, self.opened.job.objectives[0].metric
        by_name = self.records(pairs)
        scores: dict[str, list[float]] = {name: [] for name in by_name}
        folder = RunFolder.open(self._folder.path / WINNERS)
        try:
            with thread_count(threads_of(job, 1)):
                # Pair after pair, since each has a split of its own.
                for records in zip(*by_name.values(), strict=True):
                    for name, record in zip(scores, records, strict=True):
                        value = score_trial(job, dataset, folder, record)[metric]
                        if not math.isfinite(value):
                            raise _undefined(folder.path, record.trial, metric)
                        scores[name].append(value)
        finally:
            folder.close()
        return scores

    def _trials(self, pair: int) -> range:
        return range(pair * len(self._winners), (pair + 1) * len(self._winners))


def _undefined(run: Path, trial: int, metric: str) -> DataError:
    """Return what to say of a score that is none: to leave its pair out would choose by the test samples."""
    path = run / scores_file(trial)
    why = read_object(path)["reasons"].get(metric, "it is not finite")
    return DataError(
        f"{path}: {metric} of trial {trial} is not defined on the test samples ({why}), and a pair cannot be left out "
        "by what the test samples say; start a new comparison with an objective that is defined for every model"
    )
