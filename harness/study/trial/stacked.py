"""Trials that are trained as one program: stacks, whose members are a trial's one training, or all its folds or seeds.

All folds of a trial are trained at once. One that is pruned after a few of them has then trained the others in vain;
but five folds of a small model at once take about the time of two, and of five the median pruner asks after two at the
earliest.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Container, Hashable, Iterable, Iterator, Sequence
from dataclasses import replace
from functools import partial

from torch import nn

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
    training_seed,
    validation_scorer,
)
from harness.study.trial.carried import Carried, check_device
from harness.study.trial.finishing import end_of, evaluation_of, finish, outputs_of, paused
from harness.study.trial.gates import PROBED, Gates
from harness.study.trial.guarded import Guarded, WatcherError
from harness.study.trial.pace import Pace
from harness.study.trial.progress import End, Progress
from harness.study.trial.share import DIVIDED, Share
from harness.study.trial.trainings import Trainings
from harness.train import Supervised, Targets, read_facts
from harness.train.stack import Lengths, Member, Stack, stack_key

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
    if job.spec.search.plan == "safe" or job.device.type != "cpu":
        return None
    if assignment.micro_batch or math.isfinite(assignment.time_s):
        return None
    if any(objective.metric in OF_ONE for objective in job.objectives):
        return None
    # For what is predicted steps are tried out, and a stack has none of one trial.
    if any(getattr(job.spec.limits, name) is not None for name in (*PROBED, "latency_ms")):
        return None
    data = job.of_trial(assignment.seed).dataset
    parts = [part for each in job.folds or (data,) for part in (each.train, each.validation)]
    if not all(map(len, parts)) or sum(part.placed_bytes for part in parts) / MIB > MOST_MIB:
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
        self._running: list[Trainings] = []
        self._stacks: list[Stack] | None = None
        self._figures: dict[int, Figures] = {}
        """What is known of the models before they are trained, by fold."""
        self._validations: dict[int, Batches] = {}
        """What folds are measured on."""
        self._memory = measure.MemoryPeak(job.device)

    def run(self) -> Iterator[Evaluation]:
        """Train and measure; yield the evaluation of each as it ends."""
        first = self._waiting[0].assignment
        with self._sampler.labelled(first.trial), running(_plan(first)), self._memory, self._resident:
            for progress in self._waiting:
                try:
                    self._running.append(self._set_up(progress))
                except WatcherError as error:
                    raise error.cause from None
                except Exception as error:  # noqa: BLE001 - a candidate may raise anything, and the others go on
                    yield self._evaluation(progress, _ends(end_of(error)))
            yield from self._train()

    def _train(self) -> Iterator[Evaluation]:
        """Train until each has ended."""
        while self._running:
            for trial, ending in self._epoch().items():
                self._running.remove(trial)
                yield self._evaluation(trial.progress, ending, trial.samples)

    def _epoch(self) -> dict[Trainings, Ending]:
        """Train for an epoch; return how those end that do. The first time nothing is trained: some have ended."""
        try:
            trial_of = {member: trial for trial in self._running for member in trial.members}
            for stack in self._stacks or ():
                for member, record in zip(stack.members, stack.epoch(), strict=True):
                    if record is not None:
                        trial_of[member].add(member, record)
            endings = self._endings()
            self._go_on([trial for trial in self._running if trial not in endings])
        except WatcherError as error:
            raise error.cause from None
        except Exception as error:  # noqa: BLE001 - whatever ends the program ends its trials, and not the study
            return dict.fromkeys(self._running, _ends(end_of(error)))
        return endings

    def _go_on(self, trials: Sequence[Trainings]) -> None:
        """Let go of what has ended."""
        learning = dict.fromkeys(member for trial in trials for member in trial.learning)
        if self._stacks is None:
            self._stacks = self._stacked(learning)
            return
        for stack in self._stacks:
            stack.keep([member for member in stack.members if member in learning])
        self._stacks = [stack for stack in self._stacks if stack.members]
        if trials:
            self._pace.keep(partial(self._keep_checkpoints, trials))

    def _stacked(self, members: Iterable[Member]) -> list[Stack]:
        """Return stacks of members; folds whose models have other shapes, or that take other steps, have their own.

        Which ones come together follows from the data, not from which trials there are.
        """
        kinds: dict[Hashable, list[Member]] = {}
        for member in members:
            shapes = tuple(parameter.shape for parameter in member.mlp.parameters())
            kinds.setdefault((len(member.order), shapes), []).append(member)
        return [Stack(alike, self._stop.check, self._lengths(alike[0].order)) for alike in kinds.values()]

    def _lengths(self, order: Order) -> Lengths | None:
        """Return the most samples of the folds that take as many steps; None where all members have the same ones."""
        folds = self._job.folds
        orders = [replace(order, part_samples=len(fold.train)) for fold in folds]
        epochs = [each.samples for each in orders if len(each) == len(order)]
        return Lengths(max(epochs), max(len(fold.validation) for fold in folds)) if folds else None

    def _endings(self) -> dict[Trainings, Ending]:
        """Tell what can be told; return how those trials end that do."""
        said: dict[Trainings, str] = {}
        while reports := self._reports(said):
            for trial, verdict in zip(reports, self._watcher.judge_all(list(reports.values())), strict=True):
                if verdict:
                    said[trial] = verdict
                else:
                    trial.go_on()
        return {trial: ending for trial in self._running if (ending := self._ending(trial, said.get(trial, "")))}

    def _reports(self, ended: Container[Trainings]) -> dict[Trainings, Report]:
        """Return the next report of each trial that has one."""
        found = {trial: trial.tell() for trial in self._running if trial not in ended}
        return {trial: report for trial, report in found.items() if report is not None}

    def _ending(self, trial: Trainings, verdict: str) -> Ending | None:
        """Return what ends a trial, if anything does."""
        front = trial.front
        if front.end is not None:
            return _ends(end_of(front.end))
        if verdict:
            return _ends(End(Outcome.PRUNED, verdict))
        if front.finished:
            return partial(self._finish, trial)
        return partial(self._pause, trial) if front.epoch >= trial.progress.assignment.until else None

    def _finish(self, trial: Trainings, progress: Progress) -> End:
        """Measure what a trial has come to at its end."""
        assert progress.plan is not None
        *before, last = trial.members
        for fold, member in enumerate(before if self._job.folds else (), start=1):
            member.restore_best()
            job, validation = self._job.of_fold(fold), self._validation(fold)
            progress.outputs.append(outputs_of(job, progress, member, validation, progress.plan))
        return finish(self._job, progress, last, self._validation(len(trial.members)), progress.plan)

    def _validation(self, fold: int) -> Batches:
        """Return the samples that a training is measured on."""
        fold = fold if self._job.folds else 1
        if fold not in self._validations:
            part = self._job.of_fold(fold).dataset.validation
            self._validations[fold] = place_evaluation(part, self._job.device)
        return self._validations[fold]

    def _pause(self, trial: Trainings, progress: Progress) -> End:
        """Leave what a trial goes on from."""
        progress.checkpoint = trial.checkpoint()
        return paused(trial.front.epoch)

    def _keep_checkpoints(self, trials: Sequence[Trainings]) -> None:
        for trial in trials:
            if all(member.end is None for member in trial.members):
                self._watcher.keep(trial.progress.assignment.trial, trial.checkpoint())

    def _progress(self, assignment: Assignment) -> Progress:
        batch = min(_batch(assignment), len(self._job.dataset.train))
        gates = Gates(self._job, self._stop.check, self._sampler)
        started, unix_s = self._started, self._started_unix_s
        return Progress(
            assignment, self._sampler, gates, batch, share=self._share, started=started, started_unix_s=unix_s
        )

    def _set_up(self, progress: Progress) -> Trainings:
        """Return the trainings of a trial, gone on with where its checkpoint left them. Raises :class:`Infeasible`."""
        try:
            if progress.assignment.checkpoint:
                return self._resumed(progress, progress.assignment.checkpoint)
        except StorageError as error:
            progress.notes.append(f"retrained: {error}")
        return self._trainings(progress, progress.assignment.plan)

    def _resumed(self, progress: Progress, checkpoint: bytes) -> Trainings:
        """Return the trainings as the checkpoint left them, and report what was told before once more."""
        carried = Carried.from_facts(read_facts(checkpoint).get("caller", {}))
        check_device(carried, self._job.device)
        trial = self._trainings(progress, carried.plan)
        trial.restore(checkpoint, carried, metric=self._job.objectives[0].metric)
        progress.take_up(carried)
        # Up to the training that was not at its end; it was asked about the others when they ended.
        while (report := trial.tell()) is not None:
            self._watcher.judge(replace(report, finished=False))
            trial.go_on()
        return trial

    def _trainings(self, progress: Progress, plan: Plan | None) -> Trainings:
        """Return the trainings from their start, past the gates; or by a plan if there is one already."""
        whole, assignment = self._job, progress.assignment
        members: dict[Member, Figures] = {}
        made = replace(plan or _plan(assignment), device=str(whole.device), threads=1)
        for fold in range(1, whole.trainings + 1):
            job, seed = whole.of_fold(fold), training_seed(whole, assignment.seed, fold)
            model = build_model(job, assignment.candidate, job.dataset, seed)
            if fold not in self._figures:
                self._figures[fold] = static_figures(job, model)
            if fold == 1 and plan is None:
                progress.figures = self._figures[fold]
                check(job.spec.limits, progress.figures.values, "counted")
            members[self._member(job, assignment, model, made, seed)] = self._figures[fold]
        progress.plan = made
        return Trainings(progress, members)

    def _member(self, job: Job, assignment: Assignment, model: nn.Module, plan: Plan, seed: int) -> Member:
        """Return a training from its start, on the samples of the job."""
        candidate, data, first = assignment.candidate, job.dataset, job.objectives[0]
        counts = problems[data.shape.kind].class_counts(data.train.targets, data.shape)
        return Member(
            Supervised(model, candidate, Targets(data.shape, counts, validation_scorer(job, data)), plan),
            Order(
                part_samples=len(data.train),
                batch_size=_batch(assignment),
                seed=seed,
                shuffle=True,
                drop_last=False,
                classes=classes_of(data.train) if candidate.training.sampling == "balanced" else None,
            ),
            data,
            objective=(first.metric, first.maximize),
            epochs=epochs_of(job, candidate),
            seed=seed,
            trial=assignment.trial,
        )

    def _evaluation(self, progress: Progress, ending: Ending, samples: int = 0) -> Evaluation:
        """End a trial, which was trained on so many samples here."""
        self._memory.look()
        self._resident.look()
        progress.figures |= self._share.divided(self._memory.figures | self._resident.figures)
        progress.figures |= progress.energy_per_sample(self._started_unix_s, samples)
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
