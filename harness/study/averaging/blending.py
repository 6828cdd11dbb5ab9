"""The best trials of a search averaged into its final model, for :class:`harness.study.final.Finisher`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from harness.data import Dataset
from harness.problems import LOSS
from harness.records import TrialRecord
from harness.store import RunFolder
from harness.study.averaging.judging import judge_of
from harness.study.averaging.library import FEWEST, Library, in_rank
from harness.study.averaging.making import mixed, mixture_of
from harness.study.averaging.selection import crossed
from harness.study.final.mixture import Selected
from harness.study.job import Job
from harness.study.keeping import read_predictions


@dataclass(frozen=True, eq=False)
class Blending:
    """Selects from the trials that a search has kept those whose average has the least loss on validation."""

    job: Job
    dataset: Dataset
    folder: RunFolder
    size: int
    """Models in the average at most, each as often as it counts."""

    def mix(self) -> Selected:
        """Select trials, and build their average. Raises :class:`StorageError` where a file of one is damaged."""
        job = self.job
        kept = in_rank(job.objectives[0], read_predictions(self.folder.path))
        if len(kept) < FEWEST:
            return Selected(None, notes=[f"no average of trials: {len(kept)} of them kept weights and predictions"])
        library = Library(self.folder, job, self.dataset, kept)
        judge = judge_of(job, library.outputs[0])
        mixture, _, notes = mixed(library, judge.cost(LOSS, maximize=False), self.size)
        halves = crossed(
            library.outputs,
            lambda rows: judge.cost(LOSS, maximize=False, rows=rows),
            self.size,
            job.spec.search.seed,
        )
        return Selected(mixture, halves, notes)


@dataclass(frozen=True, eq=False)
class Repeated:
    """The average of trials that are known, to make it once more."""

    job: Job
    folder: RunFolder
    counts: Mapping[int, int]
    """How often each counts, by its place in the list of what was trained; the weightiest first; empty: none."""
    records: Mapping[int, TrialRecord]

    def mix(self) -> Selected:
        """Build the average. Raises :class:`StorageError` where weights are missing or damaged."""
        if not self.counts:
            return Selected(None)
        records = [self.records[place] for place in self.counts]
        return Selected(mixture_of(self.job, self.folder, records, list(self.counts.values())))
