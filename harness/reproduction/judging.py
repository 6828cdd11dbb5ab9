"""From what a second training came to to the level of a trial."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from harness.records import Outcome, TrialRecord
from harness.reproduction.compare import PREDICTIONS, compare_final, compare_trial
from harness.reproduction.levels import Check, Level, Reproduced, worst
from harness.reproduction.recorded import Recorded, Trial
from harness.reproduction.seeds import compare_with_seeds
from harness.reproduction.tolerance import Targets, Tolerance, tolerance_of
from harness.store.files import read_parquet
from harness.study import Opened

Test = tuple[Mapping[str, Any] | None, str]
"""What a final model scored, and why there is none."""


@dataclass
class Judge:
    """Judges trials of a run by a second training."""

    recorded: Recorded
    opened: Opened
    folder: Path
    """Of the second training."""
    relative: float
    """The share of a loss that may differ."""
    undecided: bool = field(default=False, init=False)
    """Whether the last trial that was judged has a value that lies too far off, and nothing else against it."""

    def trial(self, number: int, new: Trial | None, test: Test | None) -> Reproduced:
        """Return how far a trial was reproduced; ``test`` is of its final model, where that was to be made."""
        old = self.recorded.trials[number]
        self.undecided = False
        if new is None or new.record.outcome is Outcome.INTERRUPTED:
            return Reproduced(number, Level.UNFINISHED, [])
        if new.record.outcome is Outcome.OOM:
            reason = Check("outcome", str(old.record.outcome), new.record.reason, equal=False)
            return Reproduced(number, Level.ENVIRONMENT, [reason])
        goals = [each["metric"] for each in self.recorded.stats["objective"]]
        level, checks = compare_trial(old, new, self._folders, goals, self._tolerance(old.record.seed))
        self.undecided = level is None and old.record.outcome is new.record.outcome is Outcome.COMPLETE
        level = level or Level.MISMATCH
        if test is None or new.record.outcome is not Outcome.COMPLETE:
            return Reproduced(number, level, checks)
        final, more = self._final(old, test, level)
        return Reproduced(number, worst([level, final]), [*checks, *more])

    def by_seeds(self, judged: Reproduced, drawn: Sequence[TrialRecord]) -> Reproduced:
        """Return a trial of which only the values lie too far off, judged beside values of new seeds."""
        record = self.recorded.trials[judged.trial].record
        metric = self.recorded.stats["objective"][0]["metric"]
        margin = self._tolerance(record.seed).of("validation", metric, record.values[0])
        check = compare_with_seeds(metric, record.values[0], drawn, margin)
        level = Level.STATISTICAL if check.equal else Level.MISMATCH
        return replace(judged, level=level, checks=[*judged.checks, check])

    @property
    def _folders(self) -> tuple[Path, Path]:
        return self.recorded.run, self.folder

    def _final(self, old: Trial, test: Test, level: Level) -> tuple[Level, list[Check]]:
        """Return how far the final model was reproduced; of a training that is off there is nothing more to say."""
        scored, why = test
        if why:
            return Level.UNFINISHED, []
        recorded = self.recorded.stats["test"]
        if recorded is None and level is not Level.EXACT:
            return level, []  # its weights are those of the trial
        targets = self._targets() if recorded is not None else None
        found, checks = compare_final(recorded, scored, self._folders, self._tolerance(old.record.seed, targets))
        if found is Level.MISMATCH:
            self.undecided = False  # nothing that other seeds could speak for
        return found or (level if self.undecided else Level.MISMATCH), checks

    def _targets(self) -> Targets:
        frame = read_parquet(self.recorded.run / PREDICTIONS)
        return (frame["target"] if "target" in frame else frame["index"]).to_numpy(np.int64)

    def _tolerance(self, seed: int, test: Targets | None = None) -> Tolerance:
        job, _ = self.opened.of_trial(seed)
        return tolerance_of(self.relative, job.folds or (job.dataset,), test)
