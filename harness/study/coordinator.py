"""The coordinator: the one owner of the study, which asks for candidates, has them evaluated and tells the results.

A trial's record is stored in the study database before its result is told, and both before the next trial is asked
for. A trial that was interrupted stays open in the database: a resumed run takes it up again under its own number and
with the parameters it was given, so a search in two parts is the search in one go.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol

import optuna
from optuna.storages import BaseStorage
from optuna.trial import TrialState

from harness.errors import Pruned
from harness.records import EpochRecord, Outcome, TrialRecord
from harness.spec import candidate_at
from harness.store import RunFolder, decode, encode, storage_errors
from harness.study.evaluate import Evaluation, Evaluator
from harness.study.final import checkpoint, save_weights
from harness.study.job import Job
from harness.study.objectives import best_trial
from harness.study.pruners import build_pruner, pruner_name
from harness.study.samplers import build_sampler
from harness.study.stop import Stop
from harness.study.suggest import suggest

RECORD = "harness:record"
"""Key of the user attribute that holds a trial's record."""

UNFINISHED = (Outcome.INTERRUPTED, Outcome.TIMEOUT)
"""Outcomes of a trial that the end of the run cut off: it stays open, to be taken up again."""

UNDESIRABLE = (Outcome.INFEASIBLE, Outcome.OOM, Outcome.DIVERGED)
"""Outcomes that say something of the candidate: told as broken constraints, so that the sampler keeps away."""


class Observer(Protocol):
    """Who watches a search: a progress display, a test."""

    def run_started(self, run: Path, notes: Sequence[str]) -> None:
        """Learn where the run is written, and what was noticed of its data."""

    def trial_started(self, number: int, params: dict[str, Any], /) -> None:
        """Learn that a trial begins."""

    def epoch_ended(self, epoch: EpochRecord) -> None:
        """Learn that an epoch of the current trial ended, or one of the final refit, which has no validation."""

    def trial_ended(self, record: TrialRecord) -> None:
        """Learn how a trial ended."""

    def final_started(self, how: str, epochs: int) -> None:
        """Learn that the winner is being refitted for so many epochs, or kept, and scored."""


class Coordinator:
    """Runs a study to its total of trials, its time, or a request to stop."""

    def __init__(self, job: Job, folder: RunFolder, storage: BaseStorage, evaluator: Evaluator, stop: Stop) -> None:
        self._job = job
        self._folder = folder
        self._evaluator = evaluator
        self._stop = stop
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        with storage_errors(folder.file("study.db")):
            self._study = optuna.create_study(
                storage=storage,
                study_name="harness",
                directions=[objective.direction for objective in job.objectives],
                pruner=build_pruner(job.spec),
                load_if_exists=True,
            )
        self.records: dict[int, TrialRecord] = {}
        self.epochs: dict[int, list[EpochRecord]] = {}
        self._load()

    @property
    def finished(self) -> int:
        """Number of trials that count towards the total."""
        return sum(record.outcome not in UNFINISHED for record in self.records.values())

    @property
    def best(self) -> TrialRecord | None:
        """The complete trial with the best first objective so far."""
        return best_trial(self._job.objectives[0], self.records.values())

    def run(self, total: int, observer: Observer) -> Iterator[TrialRecord]:
        """Evaluate trials until ``total`` have finished; yield each once it is stored and told."""
        while self.finished < total and not self._stop.signal and not self._stop.out_of_time:
            with storage_errors(self._folder.file("study.db")):
                trial = self._next_trial()
                params = suggest(trial, self._job.spec.group)
            observer.trial_started(trial.number, params)
            evaluation = self._evaluate(trial, params, observer)
            self._store(trial, evaluation)
            observer.trial_ended(evaluation.record)
            yield evaluation.record

    def outcomes(self) -> Counter[str]:
        """Count the trials by outcome."""
        return Counter(str(record.outcome) for record in self.records.values())

    def _load(self) -> None:
        """Read the records of an earlier part of the run, and settle what was stored but not told."""
        for frozen in self._study.get_trials(deepcopy=False):
            text = frozen.user_attrs.get(RECORD)
            if text is None:
                continue
            record, epochs = decode(text)
            self.records[record.trial], self.epochs[record.trial] = record, epochs
            if frozen.state is TrialState.RUNNING and record.outcome not in UNFINISHED:
                self._tell(optuna.trial.Trial(self._study, frozen._trial_id), record)

    def _next_trial(self) -> optuna.Trial:
        """Take up the trial that an earlier part left open, else ask for a new one."""
        trials = self._study.get_trials(deepcopy=False)
        opened = [frozen for frozen in trials if frozen.state is TrialState.RUNNING]
        number = opened[0].number if opened else len(trials)
        self._study.sampler = build_sampler(self._job.spec, number)
        if opened:
            return optuna.trial.Trial(self._study, opened[0]._trial_id)
        return self._study.ask()

    def _evaluate(self, trial: optuna.Trial, params: dict[str, Any], observer: Observer) -> Evaluation:
        first = self._job.objectives[0].metric
        prunable = len(self._job.objectives) == 1
        database = self._folder.file("study.db")
        reported = set(self._study.get_trials(deepcopy=False)[trial.number].intermediate_values)

        def report(epoch: EpochRecord) -> None:
            observer.epoch_ended(epoch)
            if not prunable:
                return
            with storage_errors(database):
                if epoch.epoch not in reported:
                    trial.report(epoch.validation[first], epoch.epoch)
                hopeless = trial.should_prune()
            if hopeless:
                raise Pruned(
                    f"{first} {epoch.validation[first]:.4f} at epoch {epoch.epoch} was not worth going on with "
                    f"({pruner_name(self._job.spec)} pruner)"
                )

        return self._evaluator.evaluate(trial.number, candidate_at(self._job.spec, params), params, report)

    def _store(self, trial: optuna.Trial, evaluation: Evaluation) -> None:
        """Keep first what hangs on the record, then the record, then its result: each implies the one before."""
        record, before = evaluation.record, self.best
        if best_trial(self._job.objectives[0], [record, *([before] if before else [])]) is record:
            save_weights(self._folder, checkpoint(record.trial), evaluation.state)
        if evaluation.traceback:
            self._folder.write(f"logs/trial-{record.trial:06d}.txt", evaluation.traceback)
        with storage_errors(self._folder.file("study.db")):
            trial.set_user_attr(RECORD, encode(record, evaluation.epochs))
            self._tell(trial, record)
        self.records[record.trial], self.epochs[record.trial] = record, evaluation.epochs
        if before is not None and self.best is record:
            self._folder.remove(checkpoint(before.trial))

    def _tell(self, trial: optuna.Trial, record: TrialRecord) -> None:
        match record.outcome:
            case Outcome.COMPLETE:
                self._study.tell(trial, list(record.values))
            case Outcome.PRUNED:
                self._study.tell(trial, state=TrialState.PRUNED)
            case outcome if outcome in UNDESIRABLE:
                trial.set_constraint(str(outcome), 1.0)
                self._study.tell(trial, state=TrialState.PRUNED)
            case outcome if outcome in UNFINISHED:
                pass
            case _:
                self._study.tell(trial, state=TrialState.FAIL)
