"""One try at a stretch of a trial: build, plan, train and measure, with so many samples in the model at once."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, replace

from harness import measure, models
from harness.data import Batches
from harness.errors import Interrupted, Pruned, StorageError, TimedOut, TrialEnd
from harness.records import Plan
from harness.spec import Candidate
from harness.study.contract import Report
from harness.study.job import Job
from harness.study.limits import check
from harness.study.stop import Stop
from harness.study.trial.building import (
    build_model,
    fewest_epochs,
    followed_here,
    largest_batch,
    make_fit,
    place_evaluation,
    place_training,
    plan_training,
    shorter,
    stages_of,
    static_figures,
    training_seed,
    with_batch_size,
)
from harness.study.trial.carried import Carried, check_device, check_epochs
from harness.study.trial.finishing import check_measured, finish, outputs_of, paused
from harness.study.trial.gates import check_time
from harness.study.trial.guarded import Guarded
from harness.study.trial.pace import Pace
from harness.study.trial.progress import End, Progress
from harness.train import Fit, read_facts


@dataclass(frozen=True, slots=True)
class _Setup:
    """What is trained, and on what it is measured."""

    validation: Batches
    plan: Plan
    fit: Fit


class Attempt:
    """Tries to train what is assigned, in parts of at most ``micro_batch`` samples (0: whole batches).

    What comes of it is kept in ``progress`` on the way.
    """

    def __init__(self, job: Job, stop: Stop, progress: Progress, watcher: Guarded, micro_batch: int) -> None:
        self._whole = job
        self._stop = stop
        self._assignment = progress.assignment
        self._progress = progress
        self._watcher = watcher
        self._micro_batch = micro_batch

    @property
    def _job(self) -> Job:
        """The job with the data of the fold that is being trained."""
        return self._whole.of_fold(self._progress.fold)

    @property
    def _seed(self) -> int:
        return training_seed(self._whole, self._assignment.seed, self._progress.fold)

    def run(self) -> End:
        """Train up to the epoch asked for, fold by fold, and measure if that is the last one.

        Raises :class:`TrialEnd` for every other end, and whatever the candidate and the watcher raise.
        """
        progress = self._progress
        setup = self._resumed() or self._built(self._assigned())
        start_unix_s, before = time.time(), len(progress.epochs)
        with measure.MemoryPeak(self._job.device) as memory, measure.ResidentPeak() as resident:
            done = self._train(setup.fit)
            while done and progress.fold < self._whole.trainings:
                self._watcher.keep(self._assignment.trial, self._checkpoint(setup.fit))
                if self._whole.folds:
                    setup.fit.restore_best()
                    progress.outputs.append(outputs_of(self._job, progress, setup.fit, setup.validation, setup.plan))
                progress.fold += 1
                del setup  # before there is another model
                setup = self._built(progress.plan)
                done = self._train(setup.fit)
        samples = (len(progress.epochs) - before) * len(self._job.dataset.train)
        progress.figures |= progress.share.divided(memory.figures | resident.figures)
        progress.figures |= progress.energy_per_sample(start_unix_s, samples)
        check_measured(self._job, progress)
        if not done:
            progress.checkpoint = self._checkpoint(setup.fit)
            return paused(setup.fit.epoch)
        return finish(self._job, progress, setup.fit, setup.validation, setup.plan)

    def _assigned(self) -> Plan | None:
        """Return the plan that the trial is to be trained by, in smaller parts where it did not fit; None: any."""
        plan = self._assignment.plan
        if plan is None:
            return None
        here = followed_here(plan, self._job.device)
        return replace(here, micro_batch=self._micro_batch) if self._micro_batch else here

    def _built(self, plan: Plan | None = None) -> _Setup:
        """Set up the training from its start, past the gates; or by a plan if there is one already."""
        job, progress, seed = self._job, self._progress, self._seed
        candidate = self._settled(plan)
        model = build_model(job, candidate, job.dataset, seed)
        progress.figures = static_figures(job, model)
        if plan is None:
            progress.gates.before_planning(candidate, progress.figures)
        train = place_training(job, candidate, job.dataset, seed)
        micro_batch = plan.micro_batch if plan else self._micro_batch if self._micro_batch < progress.batch else 0
        validation = place_evaluation(job.dataset.validation, job.device, micro_batch)
        if plan is None:
            plan = plan_training(job, candidate, job.dataset, train, micro_batch=micro_batch)
            progress.plan = plan
            progress.gates.before_training(candidate, plan)
            plan = self._in_time(candidate, plan)
        progress.plan = plan
        models.load_weights(candidate.architecture, model)
        fit = make_fit(
            job,
            candidate,
            job.dataset,
            model,
            train,
            validation,
            plan,
            seed=seed,
            trial=self._assignment.trial,
            stop=self._check_time,
        )
        return _Setup(validation, plan, fit)

    def _settled(self, plan: Plan | None) -> Candidate:
        """Return the candidate with its batch size settled: as it was planned, or by measuring."""
        progress, candidate = self._progress, self._assignment.candidate
        if candidate.training.batch_size != "auto" or stages_of(candidate):
            return candidate
        if plan is not None:
            candidate = with_batch_size(candidate, plan.batch_size)
        else:
            candidate, why = progress.gates.settle(candidate)
            progress.notes.append(why)
        progress.batch = min(largest_batch(candidate, len(self._job.dataset.train)), len(self._job.dataset.train))
        return candidate

    def _in_time(self, candidate: Candidate, plan: Plan) -> Plan:
        """Return the plan if all epochs that must be trained fit in the time that is left, as far as that is known.

        With fewer epochs where it may be shortened so. Raises :class:`TrialEnd` otherwise.
        """
        assignment, gates = self._assignment, self._progress.gates
        epochs = min(assignment.until, fewest_epochs(self._job, assignment.candidate)) * self._job.trainings

        def check(epoch_s: float) -> None:
            spent_s = self._progress.seconds
            check_time(epoch_s, epochs, trial_s=assignment.time_s - spent_s, run_s=assignment.left_s - spent_s)

        epoch_s = gates.predicted.get("epoch_s", math.nan)
        try:
            check(epoch_s)
        except TrialEnd:
            epoch_s = gates.epoch_s_again(candidate, plan)
        try:
            check(epoch_s)
        except Interrupted:
            left_s = assignment.left_s - self._progress.seconds
            if not assignment.shorten or not (shortened := shorter(self._job, candidate, plan, epoch_s, left_s)):
                raise
            return shortened
        return plan

    def _resumed(self) -> _Setup | None:
        """Set up the training as its checkpoint left it, and report what led there once more.

        None, with a note, where the checkpoint is no good; and where it was trained with more samples at once than fit.
        """
        data, progress = self._assignment.checkpoint, self._progress
        if not data:
            return None
        try:
            carried = Carried.from_facts(read_facts(data).get("caller", {}))
            progress.fold = self._fold_of(carried)
            if self._too_large(carried.plan):
                progress.fold = 1
                return None
            check_device(carried, self._job.device)
            setup = self._built(followed_here(carried.plan, self._job.device))
            setup.fit.restore(data)
            metric = self._job.objectives[0].metric
            check_epochs(carried, setup.fit, trial=self._assignment.trial, metric=metric)
        except StorageError as error:
            progress.plan, progress.fold = None, 1
            progress.notes.append(f"retrained: {error}")
            return None
        progress.take_up(carried)
        for epoch in carried.epochs:
            progress.epochs.append(epoch)
            self._watcher.judge(Report(epoch, progress.figures.values))
        return setup

    def _fold_of(self, carried: Carried) -> int:
        """Return the fold that was being trained. Raises :class:`StorageError` where there is no such fold."""
        fold = carried.epochs[-1].fold if carried.epochs else 1
        if fold > self._whole.trainings:
            raise StorageError(f"checkpoint is damaged: it stands in fold {fold} of {self._whole.trainings}")
        return fold

    def _too_large(self, plan: Plan) -> bool:
        """Tell whether more samples went through the model at once than may now."""
        batch = min(plan.batch_size, len(self._job.dataset.train))
        return (plan.micro_batch or batch) > (self._micro_batch or batch)

    def _train(self, fit: Fit) -> bool:
        """Train up to the epoch asked for; return whether there is nothing left to train."""
        assignment, progress = self._assignment, self._progress
        pace = Pace(self._job.spec.budget.checkpoint_time)
        if fit.epoch >= assignment.until:
            return fit.finished
        for epoch in fit:
            progress.epochs.append(replace(epoch, fold=progress.fold))
            check(self._job.spec.limits, {"train_seconds": progress.trained_s}, "measured")
            report = Report(progress.epochs[-1], progress.figures.values, finished=fit.finished)
            if verdict := self._watcher.judge(report):
                raise Pruned(verdict)
            if fit.epoch >= assignment.until or fit.finished:
                return fit.finished
            pace.keep(lambda: self._watcher.keep(assignment.trial, self._checkpoint(fit)))
        return True

    def _checkpoint(self, fit: Fit) -> bytes:
        return fit.checkpoint(self._progress.carry().as_facts())

    def _check_time(self) -> None:
        """Asked before every step; raises where the training is to end."""
        self._stop.check()
        time_s = self._assignment.time_s
        if self._progress.seconds >= time_s:
            raise TimedOut(f"the time of a trial, {time_s:g} s, was used up")
