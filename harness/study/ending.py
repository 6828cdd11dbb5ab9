"""The end of a run that trains one candidate: its model, and the scores of its trainings on the test samples."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from harness.data import Dataset
from harness.errors import Interrupted
from harness.plan.running import thread_count
from harness.records import Outcome, TrialRecord
from harness.store import RunFolder, read_status
from harness.store.run import STATUS
from harness.study.execute.execution import threads_of
from harness.study.final import Finisher
from harness.study.final.kept import score_trial
from harness.study.final.openings import Opening, begin_opening, end_opening
from harness.study.observer import Observer
from harness.study.part import Finished
from harness.study.replicates import spread
from harness.study.search import Opened
from harness.study.stop import Stop


@dataclass(frozen=True, slots=True)
class Ending:
    """What is made of the trainings of a candidate once all have ended."""

    opened: Opened
    stop: Stop
    observer: Observer
    test: bool
    """Whether they are scored on the test samples."""

    def finish(self, finished: Finished) -> dict[str, Any]:
        """Write ``best/`` with the weights that are best on validation, and the test scores that are asked for.

        Returns what ``stats.json`` says then.
        """
        stats = dict(finished.stats)
        if stats["best"] is None or self.stop.at_once:
            return stats
        complete = [record for record in finished.records.values() if record.outcome is Outcome.COMPLETE]
        folder = RunFolder.open(finished.run)
        try:
            with thread_count(threads_of(self.opened.job, 1)):
                finisher = self._finisher(finished.records[stats["best"]["trial"]], folder)
                if self.test and not stats["test"]:
                    try:
                        stats["test"] = self._scored(finisher, complete, folder)
                    except Interrupted:
                        return stats
                else:
                    finisher.keep()
                if stats["test"]:
                    test = spread(self._scores(complete, folder))
                    stats["replicates"] = {**stats["replicates"], "test": test or spread([stats["test"]["metrics"]])}
            folder.write_json("stats.json", stats)
        finally:
            folder.close()
        return stats

    def _finisher(self, best: TrialRecord, folder: RunFolder) -> Finisher:
        job = self.opened.job.of_trial(best.seed)
        return Finisher(job, self._dataset(best), folder, best, self.stop, self.observer)

    def _scored(self, finisher: Finisher, complete: Sequence[TrialRecord], folder: RunFolder) -> dict[str, Any]:
        """Score the best training, and each where there are several, in one look at the test samples."""
        log: list[Opening] = []

        def count() -> int:
            log.extend(begin_opening(folder, complete, reopen=False))
            status = read_status(folder.path)
            folder.write_json(STATUS, {**status, "test_opened": len(log)})
            return len(log)

        test = finisher.finish(count).as_dict()
        self._scores(complete, folder)
        end_opening(folder, log)
        return test

    def _scores(self, complete: Sequence[TrialRecord], folder: RunFolder) -> list[Mapping[str, float]]:
        """Return the test metrics of each training where there are several."""
        if not self.opened.job.splits:
            return []
        return [score_trial(self.opened.job, self.opened.dataset, folder, record) for record in complete]

    def _dataset(self, record: TrialRecord) -> Dataset:
        """Return the data as it was split for a training."""
        job, dataset = self.opened.job, self.opened.dataset
        seed = job.splits.get(record.seed)
        return dataset if seed is None else dataset.with_split(job.spec.task.split, seed)
