"""What the time that is left allows: to go on asking for trials, so many in one program, some for fewer epochs."""

from __future__ import annotations

import math
from statistics import median

from harness.records import Outcome, TrialRecord
from harness.spec import Candidate, corner_values
from harness.study.archive import Archive
from harness.study.decide.protocol import Stretch
from harness.study.job import Job
from harness.study.stop import Stop
from harness.study.trial.building import SHORTER, epochs_of, refit_growth

NOT_STARTED = 3
"""After so many trials in a row that could not finish in the time that is left, the search does not go on asking."""

NONE_STARTED = 2
"""The same where no trial is complete: one of these is then trained for fewer epochs, and that needs time too."""

ENOUGH = 0.5
"""Share of its epochs from which a trial is worth training for fewer, unless the space has trials of even fewer; a
search without any takes what there is."""

FIRST_TOGETHER = 2
"""Trials that a time budget lets into a program before it is known how long one takes."""

TIME_SHARE = 0.5
"""Of the time that is left, what a program should take at most: cut off, it would leave no complete trial."""


class TimeLeft:
    """Looks at the clock for a search, and at what trials took of it; without a time budget all is allowed."""

    def __init__(self, job: Job, archive: Archive, stop: Stop) -> None:
        self._job = job
        self._archive = archive
        self._stop = stop
        self._not_started = 0
        """Trials in a row that would have taken longer than what is left."""
        self._passed_over: list[tuple[float, Stretch]] = []
        """Trials that were not started and may be trained for fewer epochs, with the seconds that are worth it."""
        self._shortened: set[int] = set()
        """Those of them that were."""
        self._shares_s = [each.seconds for each in archive.records.values() if _of_program(each)]
        """Seconds of the complete trials that shared their program."""

    @property
    def too_little(self) -> bool:
        """Whether no more trials are worth asking for."""
        return self._not_started >= (NONE_STARTED if self._passed_over and self._none else NOT_STARTED)

    @property
    def _none(self) -> bool:
        """Whether the search has nothing yet."""
        return self._archive.best is None

    @property
    def for_a_trial_s(self) -> float:
        """Seconds that a trial may take: of a first one so many that its refit, where there will be one, fits too."""
        if self._none and self._job.final == "refit":
            # The winner is trained once more in this time; any other final may be to keep its weights.
            return self._stop.left_s / (1.0 + refit_growth(self._job) / self._job.trainings)
        return self._stop.left_s

    @property
    def together(self) -> float:
        """How many trials may be trained as one program."""
        if math.isinf(self._stop.left_s):
            return math.inf
        if not self._shares_s:
            return FIRST_TOGETHER
        return max(1.0, TIME_SHARE * self._stop.left_s / max(median(self._shares_s), 1e-9))

    def shortened(self, trial: int) -> bool:
        """Tell whether a trial is one that is trained for fewer epochs."""
        return trial in self._shortened

    def shorten(self, *, last: bool) -> Stretch | None:
        """Take out the shortest of the trials that were not started, to be trained for as long as there is time.

        None where that is too little for any. ``last``: the search would end otherwise, if need be with nothing.
        """
        if not self._passed_over:
            return None
        shortest = min(self._passed_over, key=lambda each: each[0])
        worth_s, stretch = shortest
        last_resort = last and self._none and not self._shortened
        if not last_resort and SHORTER * self.for_a_trial_s < worth_s:
            return None
        self._passed_over.remove(shortest)
        self._shortened.add(stretch.trial)
        return stretch

    def ended(self, stretch: Stretch, record: TrialRecord, *, in_vain: bool) -> None:
        """Note the end of a stretch, which the archive knows; ``in_vain``: it would have taken longer than is left."""
        if not in_vain:
            self._not_started = 0
        elif self._none or stretch.trial >= len(self._job.spec.search.first):
            # Of first candidates some may be for more time than there is; the next one says nothing of the space.
            self._not_started += 1
        if _of_program(record):
            self._shares_s.append(record.seconds)
        if in_vain and self._may_be_shortened(stretch):
            needed_s = record.predicted.get("train_seconds", math.inf)
            self._passed_over.append((self._worth(record) * needed_s, stretch))

    def _worth(self, record: TrialRecord) -> float:
        """Return the share of its epochs that a trial is worth: half, or as few as others of the space may have."""
        own = epochs_of(self._job, Candidate.from_dict(record.candidate))
        node = self._job.spec.group.items.get("epochs")
        fewest = min(own if each is None else int(each) for each in corner_values(node)) if node is not None else own
        return min(ENOUGH, fewest / own)

    def _may_be_shortened(self, stretch: Stretch) -> bool:
        """Tell whether fewer epochs of a trial are better than none: it is one of a search, and goes to its end."""
        listed = stretch.seed is not None or stretch.plan is not None
        return not self.shortened(stretch.trial) and not listed and stretch.until >= self._job.spec.budget.epochs


def _of_program(record: TrialRecord) -> bool:
    """Tell whether a record says what a whole trial takes of a program."""
    return record.outcome is Outcome.COMPLETE and record.shared_with > 0
