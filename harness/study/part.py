"""One command's part of a search; a search that is resumed has several."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, cast

from harness.data import Dataset
from harness.errors import Interrupted, StorageError
from harness.hardware import Sampler, meters_for, probe
from harness.plan.running import thread_count
from harness.problems import problems
from harness.records import Outcome, TrialRecord
from harness.spec import Blended, as_yaml, load_spec, parameters, spec_hash
from harness.spec.growth import growth
from harness.store import (
    RunFolder,
    StudyDatabase,
    begin_part,
    environment,
    epochs_frame,
    masked,
    read_status,
    to_csv,
    to_parquet,
    trials_frame,
)
from harness.store.files import read_object
from harness.store.loose import at
from harness.store.run import changed_files
from harness.store.runs import REPLICATES
from harness.study import telemetry
from harness.study.archive import Archive
from harness.study.averaging.blending import Blending
from harness.study.baselines import Scene, run_baselines, seconds_aside
from harness.study.check import notes_on
from harness.study.checks.examine import Examined, examine, examine_test
from harness.study.checks.record import Suspected, as_records, recorded_of_test, told_of_checks
from harness.study.choices import begin_record, memory_of
from harness.study.contract import Executor, Grouping, Helpers
from harness.study.coordinator import Coordinator
from harness.study.decide.decisions import SampledTrials
from harness.study.decide.fixed import FixedTrials, Replicate
from harness.study.decide.protocol import TrialSource
from harness.study.execute.execution import Execution, open_executor, packing_of, threads_of
from harness.study.final import Finisher, report_aside_s, time_aside_s
from harness.study.final.mixture import Mixer
from harness.study.forecast_baselines import run_forecasts
from harness.study.job import Job
from harness.study.observer import Observer
from harness.study.replicates import as_record
from harness.study.soundness import check_candidates
from harness.study.split_record import SPLITS, split_frame
from harness.study.stop import Stop
from harness.study.summary import summarise, told_of_list, told_of_search
from harness.study.trial.stacked import key_of

GROUP = 64
"""Trials that are trained as one program at most; what the sampler has under way is the closer bound."""


@dataclass(frozen=True, slots=True)
class Finished:
    """What a search left in its folder."""

    run: Path
    state: str
    """``complete`` or ``interrupted``."""
    stats: dict[str, Any]
    failure: str
    """How the first trial failed when none completed, else empty."""
    records: Mapping[int, TrialRecord]
    """By the numbers of the trials."""


@dataclass(frozen=True, slots=True)
class Means:
    """What a part of a search is done with."""

    execution: Execution
    storage: str | None
    """URL of a PostgreSQL database; None: a file of the run folder."""
    argv: Sequence[str]
    asked: Mapping[str, Any] | None
    plan_from: Path | None = None
    """A run whose measured choices are replayed."""
    final: bool = True
    """Whether the winner is scored on the test samples."""
    replicates: Sequence[Replicate] = ()
    """What is trained instead of searching."""
    remarks: Sequence[str] = ()
    """What a new run remembers of how its spec came about."""


class _Scored(NamedTuple):
    """What the test samples were opened for."""

    test: Mapping[str, Any] | None
    baselines: Sequence[Mapping[str, Any]]
    suspected: Sequence[Suspected] = ()
    """What was noticed of the inputs of the test samples."""


class SearchPart:
    """From the state of the run folder to its total of trials, the end of the time, or a request to stop."""

    def __init__(
        self, job: Job, dataset: Dataset, folder: RunFolder, means: Means, stop: Stop, observer: Observer
    ) -> None:
        self._job = replace(job, memory=memory_of(folder, means.plan_from))
        self._dataset = dataset
        self._folder = folder
        self._means = means
        self._stop = stop
        self._observer = observer
        self._started = time.monotonic()
        self._resumed = folder.file("status.json").is_file()
        self._begun = False
        """Whether the folder is this part's own: what it held of an earlier one may have changed."""
        status = read_status(folder.path) if self._resumed else {}
        self._elapsed_s = float(status.get("elapsed_s", 0.0))
        self._test_opened = int(status.get("test_opened", 0))
        self._remarks = [*status.get("remarks", means.remarks)]
        self._slots = 1
        """How many trainings there may be at once."""
        self._helpers: Helpers | None = None
        """Who trains them once the workers are gone."""
        self._ended_by = ""
        """Why the search ended before its total of trials, unless time or a signal ended it."""
        self._scored = _earlier_scores(folder)
        self._baselines_s = seconds_aside(job.spec, job.dataset) if means.final and dataset.test_size else 0.0
        self._start_s = self._started - stop.started_s

    def run(self) -> Finished:
        """Search, score the winner and write everything but the report; leave a state that tells how it ended."""
        try:
            finished = self._search()
        except BaseException:
            with contextlib.suppress(StorageError):
                if self._begun:
                    self._set_state("failed")
                elif not self._resumed:
                    self._folder.discard()
            raise
        self._set_state(finished.state)
        return finished

    def _search(self) -> Finished:
        job, total = self._job, self._total
        with ExitStack() as stack:
            # First all that may fail is opened and looked at; until then an earlier part is left as it was.
            executor = stack.enter_context(closing(open_executor(self._means.execution, job, self._stop)))
            self._slots = executor.capabilities().slots
            database = stack.enter_context(closing(self._open_database()))
            listed = bool(self._means.replicates)
            archive = Archive(self._folder, database, job.objectives, job.spec.limits, keep_weights=listed)
            check_candidates(self._folder.path, job.spec, archive.known)
            if self._resumed:
                self._note_growth(len(archive.known))
            choices_notes = self._begin()
            archive.tidy()
            examined = Examined() if listed else examine(job, self._dataset)
            split_notes = job.learning.notes if job.learning else ()
            notes = (
                *job.spec.notes,
                *self._remarks,
                *notes_on(job.spec),
                *job.dataset.notes,
                *examined.told(job.dataset.name),
                *split_notes,
                *choices_notes,
            )
            self._observer.run_started(self._folder.path, notes, job.objectives[0], archive.highest)
            self._set_time_aside(archive)
            self._train(archive, executor, total)
            with thread_count(threads_of(job, 1)):
                best = archive.highest if listed else archive.best
                scored = self._score(best, _complete(archive))
            if not self._stop.at_once:
                archive.clear()
            self._write_frames(archive)
            elapsed_s = self._elapsed()
            stats = summarise(
                job,
                self._dataset,
                archive.records,
                best,
                scored.test,
                scored.baselines,
                total=total,
                elapsed_s=elapsed_s,
            )
            stats = told_of_checks(stats, self._dataset, examined, scored.suspected)
            stats = told_of_search(stats, self._remarks, self._ended_by)
            if listed:
                stats = told_of_list(stats, self._means.replicates, archive.records)
        self._folder.write_json("stats.json", stats)
        state = "interrupted" if self._stop.at_once else "complete"
        failure = "" if archive.best else _first_reason(archive.records)
        return Finished(self._folder.path, state, stats, failure, archive.records)

    @property
    def _total(self) -> int:
        """The trials of the run: of a list as many as were asked for, be they fewer than an earlier part had."""
        trials = self._job.spec.budget.trials
        return min(trials, len(self._means.replicates)) if self._means.replicates else self._job.spec.total

    def _open_database(self) -> StudyDatabase:
        where = self._means.storage or self._folder.file("study.db")
        study = self._folder.path.name if self._means.storage else "harness"
        directions = [objective.direction for objective in self._job.objectives]
        return StudyDatabase.open(where, study=study, directions=directions, create=not self._resumed)

    def _train(self, archive: Archive, executor: Executor, total: int) -> None:
        """Train until the search has ended; the workers are gone afterwards, and leave the device to the refit."""
        packing = packing_of(self._means.execution, executor, self._job)
        source = self._source(archive)
        grouping = Grouping(GROUP, partial(key_of, self._job))
        coordinator = Coordinator(self._job, archive, source, executor, packing, self._stop, self._observer, grouping)
        for _ in coordinator.run(total):
            self._set_time_aside(archive)
        self._helpers = executor.rest()
        if isinstance(source, SampledTrials) and not self._stop.reason:
            self._ended_by = source.stagnation

    def _source(self, archive: Archive) -> TrialSource:
        if self._means.replicates:
            return FixedTrials(self._job.spec, self._means.replicates, archive.known)
        return SampledTrials(self._job.spec, self._job.objectives, archive.known)

    def _set_time_aside(self, archive: Archive) -> None:
        """Keep what the report, the baselines and making the final model of the best trial so far will take."""
        self._stop.report_s = report_aside_s(self._job, len(archive.results), self._start_s)
        self._stop.reserve_s = self._baselines_s
        if archive.best is not None and self._means.final:
            complete = _complete(archive)
            self._stop.reserve_s += time_aside_s(self._job, archive.best, self._slots, complete + 1)

    def _score(self, best: TrialRecord | None, complete: int) -> _Scored:
        """Look at the test samples once for a winner, unless the user wants the run to end now."""
        if best is None or self._stop.at_once or not self._means.final:
            return _Scored(None, ())
        earlier = self._scored.get("test")
        if earlier and self._stands(best, complete):
            baselines = self._scored.get("baselines", ()) if self._job.spec.search.baselines else ()
            tested = cast("Mapping[str, Any]", earlier), cast("Sequence[Mapping[str, Any]]", baselines)
            return _Scored(*tested, recorded_of_test(self._scored))
        try:
            finisher = Finisher(
                self._job,
                self._dataset,
                self._folder,
                best,
                self._stop,
                self._observer,
                helpers=self._helpers,
                mixer=self._mixer,
            )
            return _Scored(self._finish(finisher), self._beside(finisher), self._suspected(finisher))
        except Interrupted:
            return _Scored(None, ())

    def _stands(self, best: TrialRecord, complete: int) -> bool:
        """Tell whether an earlier part has made the final model of this winner, and from as many trials."""
        same = at(self._scored, "best", "trial") == best.trial
        return same and (self._mixer is None or at(self._scored, "outcomes", Outcome.COMPLETE) == complete)

    @property
    def _mixer(self) -> Mixer | None:
        """Who selects the trials of the final model, where it is an average of some."""
        final = self._job.final
        return Blending(self._job, self._dataset, self._folder, final.trials) if isinstance(final, Blended) else None

    def _finish(self, finisher: Finisher) -> Mapping[str, Any] | None:
        """Have the final model made, and scored where there are test samples."""
        tested, test = self._dataset.test_size > 0, None
        if not tested and self._job.final == "keep":
            finisher.keep()
            return None
        with Sampler(meters_for(self._job.device)) as sampler:
            if tested:
                test = finisher.finish(self._open_test).as_dict()
            else:
                finisher.make()
        telemetry.write(self._folder, f"final-{self._test_opened}", sampler.drain())
        return test

    def _beside(self, finisher: Finisher) -> list[Mapping[str, Any]]:
        """Return what baselines reach on the samples that the winner was scored on."""
        if finisher.scored_on is None or not self._job.spec.search.baselines:
            return []
        problem = problems[self._dataset.shape.kind]
        names = tuple(metric.name for metric in problem.metrics)
        target = self._dataset.shape.target
        scorer = replace(self._job.scorer, kind=problem.name, names=names, target=target)
        scene = Scene(self._job.dataset, *finisher.scored_on, scorer)
        rows = [
            *run_baselines(scene, self._job.spec.search.seed, self._stop, self._helpers),
            *run_forecasts(scene, self._dataset, self._stop),
        ]
        return [row.as_dict() for row in rows]

    def _suspected(self, finisher: Finisher) -> Sequence[Suspected]:
        """Return what is noticed of the inputs of the test samples, now that they are open."""
        if finisher.scored_on is None:
            return []
        return as_records(examine_test(self._job, *finisher.scored_on))

    def _open_test(self) -> int:
        """Count a look at the test samples before it happens, so that not even a crash hides it."""
        self._test_opened += 1
        self._set_state("running")
        return self._test_opened

    def _note_growth(self, trials: int) -> None:
        """Remember what the space has gained since the trials of earlier parts, before ``space.yaml`` has it."""
        earlier = load_spec(str(self._folder.file("space.yaml")))
        if grown := list(growth(earlier.group, self._job.spec.group, ("space",))):
            self._remarks += [f"from trial {trials} on, the space has grown: {each}" for each in grown]
            self._folder.note(grows_to=spec_hash(self._job.spec), remarks=self._remarks)

    def _begin(self) -> tuple[str, ...]:
        """Make the folder this part's own, and write what is known before the first trial; return what to say of it."""
        folder, job = self._folder, self._job
        self._begun = self._resumed
        folder.unseal()
        notes = begin_record(folder, self._means.plan_from)
        folder.write("space.yaml", as_yaml(job.spec))
        machine = probe(torch=True).as_dict(hide_ids=True)
        argv, asked = _without_passwords(self._means.argv), _without_passwords(self._means.asked)
        where = {**environment(argv, Path.cwd()), **({"asked": asked} if asked is not None else {})}
        begin_part(folder, {"device": str(job.device), **machine}, where)
        folder.write(SPLITS, to_parquet(split_frame(job, self._dataset)))
        if self._means.replicates:
            folder.write_json(REPLICATES, as_record(self._means.replicates))
        # From here on the run can be resumed, since all that takes is there.
        self._set_state("running")
        self._begun = True
        return notes

    def _write_frames(self, archive: Archive) -> None:
        metrics = problems[self._job.dataset.shape.kind].summed
        frame = trials_frame(archive.records.values(), list(parameters(self._job.spec.group)), metrics)
        self._folder.write("trials.parquet", to_parquet(frame))
        self._folder.write("trials.csv", to_csv(frame))
        results = sorted(archive.results.items())
        epochs = [epoch for _, result in results if result.record.same_as is None for epoch in result.epochs]
        self._folder.write("epochs.parquet", to_parquet(epochs_frame(epochs, metrics)))
        archive.flush()
        telemetry.gather(self._folder)

    def _set_state(self, state: str) -> None:
        self._folder.set_state(
            state,
            fingerprint=self._job.dataset.fingerprint,
            spec_sha256=spec_hash(self._job.spec),
            elapsed_s=self._elapsed(),
            test_opened=self._test_opened,
            storage=masked(self._means.storage) if self._means.storage else None,
            remarks=self._remarks,
            grows_to=None,
        )

    def _elapsed(self) -> float:
        return self._elapsed_s + time.monotonic() - self._started


def _complete(archive: Archive) -> int:
    """Return how many trials are complete."""
    return sum(result.record.outcome is Outcome.COMPLETE for result in archive.results.values())


def _earlier_scores(folder: RunFolder) -> Mapping[str, Any]:
    """Return the stats of an earlier part, unless what hangs on them is not what the run was sealed with any more."""
    for name in changed_files(folder.path):
        if name in ("stats.json", "predictions.parquet") or name.startswith("best/"):
            return {}
    path = folder.file("stats.json")
    return read_object(path) if path.is_file() else {}


def _without_passwords(words: Any) -> Any:
    """Return plain data in which the passwords of URLs are masked."""
    if isinstance(words, Mapping):
        return {key: _without_passwords(value) for key, value in words.items()}
    if isinstance(words, list | tuple):
        return [_without_passwords(value) for value in words]
    return masked(words) if isinstance(words, str) and "://" in words else words


def _first_reason(records: Mapping[int, TrialRecord]) -> str:
    for record in records.values():
        if record.outcome is not Outcome.COMPLETE:
            return f"trial {record.trial} {record.outcome}: {record.reason}"
    return "no trial was started"
