"""Trials that are trained as one program: a stack, of which each member is a trial of its own."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import replace
from functools import cached_property, partial

from harness import measure
from harness.data import Batches, Order
from harness.data.batches import classes_of
from harness.errors import StorageError
from harness.hardware import Sampler
from harness.plan import running
from harness.problems import problems
from harness.records import MIB, NAN, Figures, Outcome, Plan
from harness.study.contract import Assignment, Evaluation, Report
from harness.study.job import Job
from harness.study.limits import check
from harness.study.stop import Stop
from harness.study.trial.building import (
    build_model,
    epochs_of,
    place_evaluation,
    static_figures,
    validation_scorer,
)
from harness.study.trial.carried import Carried, check_device, check_epochs
from harness.study.trial.finishing import end_of, evaluation_of, finish, paused
from harness.study.trial.gates import PROBED, Gates
from harness.study.trial.guarded import Guarded, WatcherError
from harness.study.trial.pace import Pace
from harness.study.trial.progress import End, Progress
from harness.study.trial.share import DIVIDED, Share
from harness.train import Supervised, Targets, read_facts
from harness.train.stack import Member, Stack, stack_key

STACKED = "stacked"
"""The arm, as plans name it."""
OF_ONE = ("train_samples_s", "memory_mb", "energy_j")
"""Objectives that are measured of a training: of what a program takes, a share would depend on who came together."""
MOST_MIB = 1024.0
"""Of samples, which stay in memory."""
Ending = Callable[[Progress], End]


def key_of(job: Job, assignment: Assignment) -> Hashable | None:
    """Return what assignments have in common that are trained as one program; None: it is trained alone.

    What has a key is trained by a stack also when there is no other, so that results do not depend on who came
    together. A training that began alone, by its plan or its checkpoint, goes on alone.
    """
    if job.spec.search.plan == "safe" or job.device.type != "cpu" or job.trainings > 1:
        return None
    if assignment.micro_batch or math.isfinite(assignment.time_s):
        return None
    if any(objective.metric in OF_ONE for objective in job.objectives):
        return None
    # For what is predicted steps are tried out, and a stack has none of one trial.
    if any(getattr(job.spec.limits, name) is not None for name in (*PROBED, "latency_ms")):
        return None
    data = job.of_trial(assignment.seed).dataset
    if not len(data.validation) or (data.train.placed_bytes + data.validation.placed_bytes) / MIB > MOST_MIB:
        return None
    plan = assignment.plan or _begun_by(assignment.checkpoint)
    key = stack_key(assignment.candidate, data.shape) if plan is None or plan.arm == STACKED else None
    return None if key is None else (key, job.splits.get(assignment.seed))


class StackedTrials:
    """Trains assignments of one key; each is judged, ends and is metered as a trial of its own."""

    def __init__(
        self, job: Job, assignments: Sequence[Assignment], sampler: Sampler, stop: Stop, watcher: Guarded
    ) -> None:
        self._job, self._sampler, self._stop, self._watcher = job.of_trial(assignments[0].seed), sampler, stop, watcher
        self._share, self._resident = Share(len(assignments)), measure.ResidentPeak()
        self._started, self._started_unix_s = time.perf_counter(), time.time()
        self._pace = Pace(job.spec.budget.checkpoint_time)
        self._waiting = [self._progress(assignment) for assignment in assignments]
        self._running: dict[Member, Progress] = {}
        self._figures = Figures()
        data = self._job.dataset
        self._memory = measure.MemoryPeak(job.device)
        self._counts = problems[data.shape.kind].class_counts(data.train.targets, data.shape)

    def run(self) -> Iterator[Evaluation]:
        """Train and measure; yield the evaluation of each as it ends."""
        first = self._waiting[0].assignment
        with self._sampler.labelled(first.trial), running(_plan(first)), self._memory, self._resident:
            for progress in self._waiting:
                try:
                    self._running[self._set_up(progress)] = progress
                except WatcherError as error:
                    raise error.cause from None
                except Exception as error:  # noqa: BLE001 - a candidate may raise anything, and the others go on
                    yield self._evaluation(progress, _ends(end_of(error)))
            yield from self._train()

    def _train(self) -> Iterator[Evaluation]:
        """Train until each has ended."""
        data, stack = self._job.dataset, None
        endings = {member: ending for member in self._running if (ending := self._ending(member, ""))}
        while self._running:
            yield from (self._evaluation(self._running.pop(member), how) for member, how in endings.items())
            if not self._running:
                return
            try:
                stack = stack or Stack(list(self._running), data.train, data.validation, self._stop.check)
                endings = self._epoch(stack)
                stack.keep([member for member in stack.members if member not in endings])
                if stack.members:
                    self._pace.keep(partial(self._keep_checkpoints, stack.members))
            except WatcherError as error:
                raise error.cause from None
            except Exception as error:  # noqa: BLE001 - whatever ends the program ends its trials, and not the study
                end = end_of(error)
                endings = dict.fromkeys(self._running, _ends(end))

    def _epoch(self, stack: Stack) -> dict[Member, Ending]:
        """Train for an epoch; return how those end that do."""
        records = dict(zip(stack.members, stack.epoch(), strict=True))
        reports = {}
        for member, record in records.items():
            if record is not None:
                progress = self._running[member]
                progress.epochs.append(record)
                reports[member] = Report(record, progress.figures.values, finished=member.finished)
        verdicts = self._watcher.judge_all(list(reports.values())) if reports else []
        said = dict(zip(reports, verdicts, strict=True))
        return {member: ending for member in records if (ending := self._ending(member, said.get(member, "")))}

    def _ending(self, member: Member, verdict: str) -> Ending | None:
        """Return what ends a member, if anything does."""
        if member.end is not None:
            return _ends(end_of(member.end))
        if verdict:
            return _ends(End(Outcome.PRUNED, verdict))
        if member.finished:
            return partial(self._finish, member)
        return partial(self._pause, member) if member.epoch >= self._running[member].assignment.until else None

    def _finish(self, member: Member, progress: Progress) -> End:
        """Measure what a member has come to at its end."""
        assert progress.plan is not None
        return finish(self._job, progress, member, self._validation, progress.plan)

    @cached_property
    def _validation(self) -> Batches:
        """The samples that all are measured on."""
        return place_evaluation(self._job.dataset.validation, self._job.device)

    def _pause(self, member: Member, progress: Progress) -> End:
        """Leave what a member goes on from."""
        progress.checkpoint = member.checkpoint(progress.carry().as_facts())
        return paused(member.epoch)

    def _keep_checkpoints(self, members: Sequence[Member]) -> None:
        for member in members:
            progress = self._running[member]
            checkpoint = member.checkpoint(progress.carry().as_facts())
            self._watcher.keep(progress.assignment.trial, checkpoint)

    def _progress(self, assignment: Assignment) -> Progress:
        batch = min(_batch(assignment), len(self._job.dataset.train))
        gates = Gates(self._job, self._stop.check, self._sampler)
        started, unix_s = self._started, self._started_unix_s
        return Progress(
            assignment, self._sampler, gates, batch, share=self._share, started=started, started_unix_s=unix_s
        )

    def _set_up(self, progress: Progress) -> Member:
        """Return the training of a trial, gone on with where its checkpoint left it. Raises :class:`Infeasible`."""
        try:
            if progress.assignment.checkpoint:
                return self._resumed(progress, progress.assignment.checkpoint)
        except StorageError as error:
            progress.notes.append(f"retrained: {error}")
        return self._member(progress, progress.assignment.plan)

    def _resumed(self, progress: Progress, checkpoint: bytes) -> Member:
        """Return the training as the checkpoint left it, and report what led there once more."""
        carried = Carried.from_facts(read_facts(checkpoint).get("caller", {}))
        check_device(carried, self._job.device)
        member = self._member(progress, carried.plan)
        member.restore(checkpoint)
        metric = self._job.objectives[0].metric
        check_epochs(carried, member, trial=progress.assignment.trial, metric=metric)
        progress.take_up(carried)
        for epoch in carried.epochs:
            progress.epochs.append(epoch)
            self._watcher.judge(Report(epoch, progress.figures.values))
        return member

    def _member(self, progress: Progress, plan: Plan | None) -> Member:
        """Return a training from its start, past the gates; or by a plan if there is one already."""
        job, assignment = self._job, progress.assignment
        candidate, data, first = assignment.candidate, job.dataset, job.objectives[0]
        model = build_model(job, candidate, data, assignment.seed)
        if not self._figures.values:  # which all of a stack have in common
            self._figures = static_figures(job, model)
        progress.figures = self._figures
        if plan is None:
            check(job.spec.limits, progress.figures.values, "counted")
        progress.plan = replace(plan or _plan(assignment), device=str(job.device), threads=1)
        targets = Targets(data.shape, self._counts, validation_scorer(job, data))
        return Member(
            Supervised(model, candidate, targets, progress.plan),
            Order(
                part_samples=len(data.train),
                batch_size=_batch(assignment),
                seed=assignment.seed,
                shuffle=True,
                drop_last=False,
                classes=classes_of(data.train) if candidate.training.sampling == "balanced" else None,
            ),
            objective=(first.metric, first.maximize),
            epochs=epochs_of(job, candidate),
            seed=assignment.seed,
            trial=assignment.trial,
        )

    def _evaluation(self, progress: Progress, ending: Ending) -> Evaluation:
        """End a trial."""
        self._memory.look()
        self._resident.look()
        progress.figures |= self._share.divided(self._memory.figures | self._resident.figures)
        trained = len(progress.epochs) - (len(progress.carried.epochs) if progress.carried else 0)
        progress.figures |= progress.energy_per_sample(self._started_unix_s, trained * len(self._job.dataset.train))
        try:
            end = ending(progress)
        except Exception as error:  # noqa: BLE001 - a metric of the user's own may raise anything
            end = end_of(error)
        evaluation = evaluation_of(self._job, progress, end)
        self._share.end(_own(progress, evaluation))
        return evaluation


def _ends(end: End) -> Ending:
    """Return what ends a trial so, with nothing left to do."""
    return lambda _: end


def _own(progress: Progress, evaluation: Evaluation) -> dict[str, float]:
    """Return what a trial has taken of the program in this stretch, by name."""
    record, carried = evaluation.record, progress.carried
    own = {name: progress.figures.values.get(name, NAN) for name in DIVIDED}
    own |= {"seconds": record.seconds, "energy_j": record.figures.get("energy_j", NAN)}
    if carried is not None:
        own["seconds"] -= carried.seconds
        own["energy_j"] -= carried.metered.values.get("energy_j", NAN)
    return own


def _batch(assignment: Assignment) -> int:
    size = assignment.candidate.training.batch_size
    assert size != "auto", "what has a key has a batch size"
    return size


def _plan(assignment: Assignment) -> Plan:
    """Return how the trials of a stack are trained: by rule."""
    return Plan(
        device="cpu",
        precision="fp32",
        precision_ratio=NAN,
        precision_reason="fp32: by rule, as all of a stack",
        batch_size=_batch(assignment),
        layout="contiguous",
        layout_reason="by rule, as all of a stack",
        data_path="resident",
        data_reason="by rule, as all of a stack",
        threads=1,
        threads_reason="1: by rule, as all of a stack",
        arm=STACKED,
        arm_reason="by rule: its products are so small that several models are trained faster as one",
    )


def _begun_by(checkpoint: bytes) -> Plan | None:
    """Return the plan by which a checkpoint was made; None: there is none, or it cannot be read."""
    try:
        return Carried.from_facts(read_facts(checkpoint).get("caller", {})).plan if checkpoint else None
    except StorageError:
        return None
