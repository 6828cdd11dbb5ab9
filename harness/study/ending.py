"""The end of a run that trains one candidate: its model, and the scores of its trainings on the test samples."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from harness.errors import Interrupted
from harness.plan.running import thread_count
from harness.records import Outcome, TrialRecord
from harness.store import RunFolder
from harness.study.execute.execution import threads_of
from harness.study.final import Finisher
from harness.study.final.kept import score_trial
from harness.study.final.openings import note_opening, read_opening
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

    def finish(self, finished: Finished) -> Finished:
        """Write ``best/`` with the weights that are best on validation, and the test scores that are asked for.

        Asked to stop before the end, the run is interrupted, and can be resumed to do this.
        """
        stats = dict(finished.stats)
        if stats["best"] is None or self.stop.at_once:
            return finished
        complete = [record for record in finished.records.values() if record.outcome is Outcome.COMPLETE]
        folder = RunFolder.open(finished.run)
        try:
            before = read_opening(folder.path)
            scored = [each for each in complete if self.test or (before and each.trial in before["trials"])]
            with thread_count(threads_of(self.opened.job, 1)):
                stats["test"] = self._make(finished.records[stats["best"]["trial"]], scored, folder)
                scores = self._scores(scored, folder, stats["test"])
            listed = [each["trial"] for each in stats["replicates"]["trials"]]
            stats["replicates"] = {**stats["replicates"], "test": spread(listed, scores)}
            folder.write_json("stats.json", stats)
            return replace(finished, stats=stats)
        except Interrupted:
            folder.note(state="interrupted")
            return replace(finished, state="interrupted")
        finally:
            folder.close()

    def _make(self, best: TrialRecord, scored: Sequence[TrialRecord], folder: RunFolder) -> dict[str, Any] | None:
        """Write the best training's model, scored where the test samples are open to it."""
        job, dataset = self.opened.of_trial(best.seed)
        finisher = Finisher(job, dataset, folder, best, self.stop, self.observer)
        if best in scored:
            return finisher.finish(lambda: note_opening(folder, scored)).as_dict()
        finisher.keep()
        return None

    def _scores(
        self, scored: Sequence[TrialRecord], folder: RunFolder, best: Mapping[str, Any] | None
    ) -> dict[int, Mapping[str, float]]:
        """Return the test metrics by the trial; with one split there is only the best."""
        if not self.opened.job.splits:
            return {record.trial: best["metrics"] for record in scored if best}
        job, dataset = self.opened.job, self.opened.dataset
        return {record.trial: score_trial(job, dataset, folder, record) for record in scored}
