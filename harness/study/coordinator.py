"""The coordinator: the one owner of the study, which asks what to train, has it trained and remembers the results.

Nothing that a trial does ends the loop; what ends it is the total of trials, the end of the time, a request to stop, or
a disk that takes no more. Trials that are under way then stay open and are taken up by a resumed run, from their
checkpoints, under their own numbers.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from harness.data import derive_seed
from harness.records import Outcome, TrialRecord
from harness.spec import candidate_at
from harness.study.archive import Archive
from harness.study.contract import Assignment, Evaluation, Executor, Grouping, Lost, Report
from harness.study.decide.protocol import Result, Stretch, TrialSource
from harness.study.execute.packing import Packing
from harness.study.groups import Groups, Running, RunningGroup
from harness.study.job import Job
from harness.study.observer import Observer
from harness.study.stop import Stop
from harness.study.time_left import TimeLeft
from harness.study.trial.building import smallest_batch
from harness.study.trial.memory import halved

POLL_S = 0.2
"""How often a search that waits looks whether it was asked to stop."""

SETTLED = (Outcome.COMPLETE, Outcome.PRUNED, Outcome.INFEASIBLE, Outcome.OOM, Outcome.DIVERGED, Outcome.TIMEOUT)
"""Outcomes that a candidate would meet again: its result is taken over, not found once more."""


class Coordinator:
    """Runs a study to its total of trials, its time, or a request to stop.

    ``grouping`` says which stretches are trained as one program; the source is asked for as many in advance.
    """

    def __init__(
        self,
        job: Job,
        archive: Archive,
        source: TrialSource,
        executor: Executor,
        packing: Packing,
        stop: Stop,
        observer: Observer,
        grouping: Grouping | None = None,
    ) -> None:
        self._job = job
        self._archive = archive
        self._executor = executor
        self._exclusive = executor.capabilities().exclusive
        self._packing = packing
        self._stop = stop
        self._observer = observer
        self._source = source
        self._running: dict[int, Running] = {}
        """Stretches that have begun and not ended, by trial."""
        self._groups = Groups(grouping or Grouping())
        self._first_of: dict[str, int] = {}
        """The first trial of each candidate."""
        for number, known in enumerate(archive.known):
            self._first_of.setdefault(self._key(known.params, known.seed), number)
        self._time = TimeLeft(job, archive, stop)
        self._twins: dict[int, list[Stretch]] = {}
        """Stretches that wait for the result of a trial of the same candidate."""

    def run(self, total: int) -> Iterator[TrialRecord]:
        """Train until ``total`` trials have ended and none is worth going on with; yield each stretch's record."""
        while True:
            yield from self._fill(total)
            if not self._groups.under_way:
                if self._shorten(last=True):
                    continue
                return
            yield from self._settle(self._executor.wait(self, POLL_S))
            if reason := self._stop.reason:
                self._cancel(reason)

    def judge(self, report: Report) -> str:
        """Return why a trial is to be pruned after an epoch, or ``""``."""
        running = self._running[report.epoch.trial]
        known, place = running.epochs, (report.epoch.fold, report.epoch.epoch)
        news = not known or (known[-1].fold, known[-1].epoch) < place
        # A trial that ran out of memory begins anew, and one that goes on reports again what it had done.
        while known and (known[-1].fold, known[-1].epoch) >= place:
            known.pop()
        known.append(report.epoch)
        if news:
            self._observer.epoch_ended(report.epoch)
        return self._source.should_prune(running.stretch, report, running.epochs) if self._source.prunes else ""

    def judge_all(self, reports: Sequence[Report]) -> list[str]:
        """Return the same of each of several trials."""
        return [self.judge(report) for report in reports]

    def keep(self, trial: int, checkpoint: bytes) -> None:
        """Keep a trial's checkpoint."""
        self._archive.keep(trial, checkpoint)

    def _fill(self, total: int) -> Iterator[TrialRecord]:
        """Submit groups as long as there is room; yield what needs no training."""
        while not self._stop.reason and (free := self._packing.allowed() - len(self._groups.under_way)) > 0:
            if any(group.alone for group in self._groups.under_way):
                return
            if not self._time.too_little:
                yield from self._ask(total, free)
            elif not self._groups.waiting:
                self._shorten(last=False)
            group = None if self._stop.reason else self._groups.next(self._packing.allowed(), self._time.together)
            if group is None:
                return
            self._submit(group)

    def _shorten(self, *, last: bool) -> bool:
        """Have one of the trials that were not started trained for as many epochs as there is time for.

        Returns whether there is one for which that is enough. ``last``: the search would end otherwise.
        """
        if self._stop.reason or (stretch := self._time.shorten(last=last)) is None:
            return False
        self._running[stretch.trial] = Running(stretch, replace(self._assignment(stretch), shorten=True), started=True)
        self._groups.again(self._running[stretch.trial], alone=False)
        return True

    def _ask(self, total: int, free: int) -> Iterator[TrialRecord]:
        """Begin stretches until ``free`` slots have all that they can take; yield what needs no training."""
        while not self._stop.reason:
            asked, repeats = [], []
            while self._groups.hungry(free) and (stretch := self._source.ask(total)) is not None:
                if earlier := self._source.earlier(stretch):
                    self._source.tell(stretch, earlier)
                    continue
                asked.append(stretch)
                first = self._first_of.setdefault(self._key(stretch.params, stretch.seed), stretch.trial)
                if first == stretch.trial:
                    self._prepare(stretch)
                elif first in self._running:
                    self._twins.setdefault(first, []).append(stretch)
                else:
                    repeats.append((stretch, first))
            self._archive.begin(asked)
            for stretch, first in repeats:
                yield from self._repeat(stretch, first)
            if not repeats:
                return

    def _key(self, params: Mapping[str, Any], seed: int | None) -> str:
        """Return what two trials of the same candidate have in common; replicates of it have seeds of their own."""
        return json.dumps([candidate_at(self._job.spec, params).as_dict(), seed], sort_keys=True)

    def _repeat(self, stretch: Stretch, first: int) -> Iterator[TrialRecord]:
        """Take over the result of the same candidate's first trial, if it is one that would come out again."""
        result = self._archive.results.get(first)
        if result is None or result.record.outcome not in SETTLED:
            self._prepare(stretch)
            return
        record = replace(
            result.record,
            trial=stretch.trial,
            params=stretch.params,
            reason=f"same candidate as trial {first}, which ended: {result.record.reason}",
            seconds=0.0,
            shared_with=0,
            lost_s=0.0,
            attempts=1,
            same_as=first,
        )
        evaluation = Evaluation(record, [replace(epoch, trial=stretch.trial) for epoch in result.epochs])
        self._observer.trial_started(stretch.trial, stretch.params)
        yield from self._conclude([(stretch, evaluation)])

    def _prepare(self, stretch: Stretch) -> None:
        """Have a stretch wait for its group."""
        self._running[stretch.trial] = Running(stretch, self._assignment(stretch))
        self._groups.add(self._running[stretch.trial])

    def _assignment(self, stretch: Stretch) -> Assignment:
        """Make the assignment of a stretch, from what is left of earlier attempts."""
        spec, trial = self._job.spec, stretch.trial
        earlier = self._archive.results.get(trial)
        return Assignment(
            trial=trial,
            seed=derive_seed(spec.search.seed, "trial", trial) if stretch.seed is None else stretch.seed,
            candidate=candidate_at(spec, stretch.params),
            params=stretch.params,
            until=stretch.until,
            time_s=spec.budget.trial_time or float("inf"),
            spent_s=earlier.record.seconds + earlier.record.lost_s if earlier else 0.0,
            judged=self._source.prunes,
            attempt=_attempt_after(earlier),
            micro_batch=earlier.record.plan.micro_batch if earlier and earlier.record.plan else 0,
            plan=stretch.plan,
        )

    def _submit(self, group: RunningGroup) -> None:
        shared = self._packing.allowed() > 1 and not group.alone and not self._exclusive
        left_s = self._time.for_a_trial_s
        for running in group.members:
            checkpoint = self._archive.checkpoint(running.assignment.trial)
            running.assignment = replace(running.assignment, checkpoint=checkpoint, shared=shared, left_s=left_s)
            if not running.started:
                running.started = True
                self._observer.trial_started(running.stretch.trial, running.stretch.params)
        self._groups.begin(group)
        group.device = self._executor.submit(tuple(running.assignment for running in group.members))

    def _settle(self, ended: Sequence[Evaluation | Lost]) -> Iterator[TrialRecord]:
        """Conclude those of the stretches that have ended which are not to be tried again."""
        concluded = []
        for each in ended:
            devices = [group.device for group in self._groups.under_way]
            group, running = self._groups.end(each.trial)
            again = self._tried_again(group, running, each, sharing=devices.count(group.device))
            self._groups.ended(group)
            if again:
                running.begin_again(each)
                continue
            evaluation = self._evaluation_of(running, each) if isinstance(each, Lost) else each
            del self._running[each.trial]
            self._packing.finished(_peak_mib(evaluation.record))
            concluded.append((running.stretch, evaluation))
        yield from self._conclude(concluded)

    def _conclude(self, ended: Sequence[tuple[Stretch, Evaluation]]) -> Iterator[TrialRecord]:
        """Store results, tell them to the source, and end the trials of the same candidates that wait for them."""
        self._archive.end([self._to_be_kept(evaluation) for _, evaluation in ended])
        for stretch, evaluation in ended:
            record = evaluation.record
            in_vain = record.outcome is Outcome.INTERRUPTED and not self._stop.reason
            self._time.ended(stretch, record, in_vain=in_vain)
            told = in_vain or record.outcome is not Outcome.INTERRUPTED
            if told and not self._time.shortened(record.trial):  # nothing was to be learnt of it, and that was told
                self._source.tell(stretch, None if in_vain else Result(record, evaluation.epochs))
            self._observer.trial_ended(record)
            yield record
            for twin in self._twins.pop(record.trial, ()):
                if not self._stop.reason:
                    yield from self._repeat(twin, record.trial)

    def _to_be_kept(self, evaluation: Evaluation) -> Evaluation:
        """Return what is stored: of a trial that waited at a rung and was interrupted, that it waits there still."""
        record = evaluation.record
        earlier = self._archive.results.get(record.trial)
        if record.outcome is Outcome.INTERRUPTED and earlier and earlier.record.outcome is Outcome.PRUNED:
            return replace(evaluation, record=_waiting(earlier.record, record), epochs=earlier.epochs)
        return evaluation

    def _tried_again(self, group: RunningGroup, running: Running, ended: Evaluation | Lost, *, sharing: int) -> bool:
        """Have a stretch submitted again where that promises something: a worker died, or memory ran out.

        ``sharing`` groups were on its device. Whose fault it was is not known of several in one program: what becomes
        of one alone is its own. Returns whether the stretch is tried again.
        """
        if self._stop.reason:
            return False
        out_of_memory = ended.outcome is Outcome.OOM
        died = isinstance(ended, Lost) and ended.outcome is Outcome.CRASHED
        if len(group.members) > 1 and (out_of_memory or died):
            self._groups.among_fewer(group, running, out_of_memory=out_of_memory)
        elif out_of_memory and running.assignment.shared:
            # Where it had the device to itself after all it bounds nobody, and still gets to try smaller parts.
            self._packing.out_of_memory(sharing)
            self._groups.again(running, alone=True)
        elif isinstance(ended, Lost) and self._worth_another_try(running, ended.outcome):
            self._groups.again(running, alone=group.alone)
        else:
            return False
        return True

    def _worth_another_try(self, running: Running, outcome: Outcome) -> bool:
        """Tell whether a stretch that was lost alone may end otherwise: in smaller parts, or on another worker."""
        assignment = running.assignment
        if outcome is Outcome.OOM:
            size = assignment.micro_batch or smallest_batch(assignment.candidate, len(self._job.dataset.train))
            if size > 1:
                running.assignment = replace(assignment, micro_batch=halved(size))
            return size > 1
        if outcome is Outcome.CRASHED:
            running.losses += 1
            return running.losses <= self._job.spec.budget.retries
        return False

    def _evaluation_of(self, running: Running, lost: Lost) -> Evaluation:
        """Return what is known of a trial whose worker is gone."""
        assignment, epochs = running.assignment, running.epochs
        outcome = Outcome.INTERRUPTED if self._stop.reason else lost.outcome
        times = f", {running.losses} times" if running.losses > 1 else ""
        record = TrialRecord(
            trial=assignment.trial,
            outcome=outcome,
            reason=f"{lost.reason}{times}",
            candidate=assignment.candidate.as_dict(),
            params=assignment.params,
            seed=assignment.seed,
            epochs=len(epochs),
            seconds=lost.seconds,
            lost_s=assignment.spent_s,
            attempts=assignment.attempt,
        )
        return Evaluation(record, epochs)

    def _cancel(self, reason: str) -> None:
        for group in self._groups.under_way:
            if not group.cancelled:
                group.cancelled = True
                self._executor.cancel(next(iter(group.pending)), reason)


def _attempt_after(earlier: Result | None) -> int:
    if earlier is None:
        return 1
    return earlier.record.attempts + (earlier.record.outcome is Outcome.INTERRUPTED)


def _waiting(paused: TrialRecord, interrupted: TrialRecord) -> TrialRecord:
    """Return the record of a trial that waits at a rung, with what an attempt to go on has cost."""
    lost_s = interrupted.seconds + interrupted.lost_s - paused.seconds
    return replace(paused, lost_s=max(paused.lost_s, lost_s), attempts=interrupted.attempts)


def _peak_mib(record: TrialRecord) -> float:
    """Return what a trial's program needed of its GPU: with its process where known, else of torch's allocator."""
    figures = record.figures
    process = figures.get("memory_process_peak_mib", float("nan"))
    share = process if process == process else figures.get("memory_allocated_peak_mib", float("nan"))
    return share * (1 + record.shared_with)
