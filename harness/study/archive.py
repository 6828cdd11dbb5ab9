"""The memory of a run: every trial in the study database, and the files that hang on it.

What hangs on a record (weights, logs, checkpoints) is written before it, and what it makes superfluous is
removed after it, so that the run can be killed between any two steps and taken up again.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence

from harness.errors import StorageError
from harness.records import Outcome, TrialRecord
from harness.spec import Limits
from harness.store import RunFolder, StoredTrial, StudyDatabase, decode, encode, storage_errors
from harness.store.connection import DAMAGED
from harness.store.database import State
from harness.study import telemetry
from harness.study.contract import Evaluation
from harness.study.decide.protocol import Known, Result, Stretch
from harness.study.keeping import kept_trials, predictions_file, weights_file
from harness.study.limits import constraints
from harness.study.objectives import Objective, contenders
from harness.study.soundness import SEEDS, check_result

FILES = re.compile(r"(resume|trial)-(\d{6,})\.safetensors")
STATES: Mapping[Outcome, State] = {
    Outcome.COMPLETE: "complete",
    Outcome.CRASHED: "fail",
    Outcome.TIMEOUT: "fail",
}
"""Optuna's words for how a trial ended; all others are pruned."""
GO_ON = (Outcome.INTERRUPTED, Outcome.PRUNED)
"""Outcomes after which a trial may be taken up again, the latter in successive halving."""


def resume_file(trial: int) -> str:
    """Return the file of the run from which an unfinished trial goes on."""
    return f"checkpoints/resume-{trial:06d}.safetensors"


class Archive:
    """The trials of a run, on disk and in mind; opening it changes nothing on disk."""

    def __init__(
        self,
        folder: RunFolder,
        database: StudyDatabase,
        objectives: Sequence[Objective],
        limits: Limits,
        *,
        keep_weights: bool = False,
    ) -> None:
        """``keep_weights``: of every complete trial, without predictions: each of a list has its own samples."""
        self._folder = folder
        self._limits = limits
        self._database = database
        self._objectives = objectives
        self._keep_weights = keep_weights
        self._telemetry = telemetry.Trials(folder)
        self.known: list[Known] = []
        self.results: dict[int, Result] = {}
        self._contenders: list[TrialRecord] = []
        """The winner so far, then what could still become it by further results; the files of all these are kept."""
        self._sizes: dict[int, int] = {}
        """Bytes of each trial's weights and predictions."""
        self._keeping: set[int] = set()
        """The trials whose files are kept."""
        self._load()

    @property
    def best(self) -> TrialRecord | None:
        """The winner so far: the cheapest of the complete trials that are as good as the best."""
        return next(iter(self._contenders), None)

    @property
    def highest(self) -> TrialRecord | None:
        """The complete trial with the best first objective so far, the earliest of equals."""
        best = None
        for record in self.records.values():
            complete = record.outcome is Outcome.COMPLETE
            if complete and (best is None or self._objectives[0].better(record.values[0], best.values[0])):
                best = record
        return best

    @property
    def records(self) -> Mapping[int, TrialRecord]:
        """Every trial that has ended, or was cut off, by number."""
        return {number: self.results[number].record for number in sorted(self.results)}

    def begin(self, stretches: Iterable[Stretch]) -> None:
        """Remember which new trials are to be trained, and the seeds of replicates: others follow from the number."""
        new = [(each, each.proposal) for each in stretches if each.proposal is not None]
        if not new:
            return
        with self._database.together():
            for stretch, proposal in new:
                note = {} if stretch.seed is None else {"seed": stretch.seed}
                self._database.begin(stretch.trial, proposal.params, proposal.distributions, note)

    def end(self, evaluations: Sequence[Evaluation]) -> None:
        """Remember how stretches of trials ended."""
        if not evaluations:
            return
        before = self._keeping
        results = self.results | {each.trial: Result(each.record, each.epochs) for each in evaluations}
        contending = contenders(self._objectives, (result.record for result in results.values()))
        # Of those that were let go none comes back, so that this costs the same after many trials as after few.
        new = {each.trial: len(each.weights) + len(each.predictions) for each in evaluations}
        self._sizes |= new
        self._keeping = self._kept({trial: results[trial].record for trial in (*before, *new)}, contending)
        for evaluation in evaluations:
            self._write_files(evaluation)
            part = f"{evaluation.trial:06d}-{evaluation.record.epochs:06d}"
            self._telemetry.add(part, evaluation.telemetry)
        with self._database.together():
            for evaluation in evaluations:
                self._record(evaluation.record, evaluation)
        self.results, self._contenders = results, contending
        for trial in before - self._keeping:
            self._remove_files(trial)
        for evaluation in evaluations:
            if evaluation.outcome is not Outcome.INTERRUPTED and not evaluation.checkpoint:
                self._folder.remove(resume_file(evaluation.trial))

    def flush(self) -> None:
        """Write what was held back: telemetry, which no record hangs on."""
        self._telemetry.flush()

    def keep(self, trial: int, checkpoint: bytes) -> None:
        """Keep the checkpoint of an unfinished trial."""
        self._folder.write(resume_file(trial), checkpoint)

    def checkpoint(self, trial: int) -> bytes:
        """Return the checkpoint of an unfinished trial, empty where there is none."""
        path = self._folder.path / resume_file(trial)
        with storage_errors(path):
            return path.read_bytes() if path.exists() else b""

    def tidy(self) -> None:
        """Remove what earlier parts of the run had no time to remove."""
        for kind, trial in self._files():
            if kind == "trial" and trial not in self._keeping:
                self._remove_files(trial)
            if kind == "resume" and trial in self.results and self.results[trial].record.outcome not in GO_ON:
                self._folder.remove(resume_file(trial))

    def clear(self) -> None:
        """Remove the checkpoints of a run that has nothing left to train."""
        for kind, trial in self._files():
            if kind == "resume":
                self._folder.remove(resume_file(trial))

    def _kept(self, records: Mapping[int, TrialRecord], contending: Sequence[TrialRecord]) -> set[int]:
        """Return the trials among these whose files are kept, with those that may win."""
        if self._keep_weights:
            return {trial for trial, each in records.items() if each.outcome is Outcome.COMPLETE}
        best = kept_trials(self._objectives[0], records.values(), self._sizes)
        return {*best, *(each.trial for each in contending)}

    def _write_files(self, evaluation: Evaluation) -> None:
        """Write what hangs on a record."""
        trial = evaluation.trial
        if trial in self._keeping:
            self._folder.write(weights_file(trial), evaluation.weights)
            if evaluation.predictions and not self._keep_weights:
                self._folder.write(predictions_file(trial), evaluation.predictions)
        if evaluation.traceback:
            self._folder.write(f"logs/trial-{trial:06d}.txt", evaluation.traceback)
        if evaluation.checkpoint:
            self.keep(trial, evaluation.checkpoint)

    def _remove_files(self, trial: int) -> None:
        self._folder.remove(weights_file(trial))
        self._folder.remove(predictions_file(trial))

    def _record(self, record: TrialRecord, evaluation: Evaluation) -> None:
        text = encode(record, list(evaluation.epochs))
        if record.outcome is Outcome.INTERRUPTED:
            self._database.keep(record.trial, text)
            return
        first = self._objectives[0].metric
        self._database.finish(
            record.trial,
            state=STATES.get(record.outcome, "pruned"),
            values=record.values,
            reports={step: epoch.validation[first] for step, epoch in enumerate(evaluation.epochs, start=1)},
            constraints=constraints(self._limits, record),
            record=text,
        )

    def _load(self) -> None:
        """Read and check what earlier parts of the run have left."""
        for stored in self._database.load():
            self.known.append(Known(stored.params, self._result(stored), self._seed(stored)))
        self.results = {number: known.result for number, known in enumerate(self.known) if known.result}
        self._contenders = contenders(self._objectives, (result.record for result in self.results.values()))
        for trial in self.results:
            files = (self._folder.path / name for name in (weights_file(trial), predictions_file(trial)))
            self._sizes[trial] = sum(file.stat().st_size for file in files if file.is_file())
        self._keeping = self._kept({trial: result.record for trial, result in self.results.items()}, self._contenders)

    def _result(self, stored: StoredTrial) -> Result | None:
        if stored.record is None:
            return None
        try:
            record, epochs = decode(stored.record)
        except StorageError as error:
            raise StorageError(f"{self._folder.path}: trial {stored.number}: {error}; {DAMAGED}") from None
        check_result(self._folder.path, stored, record, epochs, self._objectives)
        return Result(record, epochs)

    def _seed(self, stored: StoredTrial) -> int | None:
        seed = stored.note.get("seed")
        if seed is not None and (type(seed) is not int or seed not in SEEDS):
            where = f"{self._folder.path}: the note of trial {stored.number} is damaged"
            raise StorageError(f"{where}: its seed is none; {DAMAGED}")
        return seed

    def _files(self) -> Iterator[tuple[str, int]]:
        folder = self._folder.path
        for path in sorted([*folder.glob("checkpoints/*.safetensors"), *folder.glob("validation/*.safetensors")]):
            if match := FILES.fullmatch(path.name):
                yield match[1], int(match[2])
