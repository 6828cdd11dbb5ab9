"""The training loop: a bare PyTorch loop that yields a record after every epoch."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.amp.grad_scaler import GradScaler

from harness.data import Batches, derive_seed
from harness.errors import Diverged, InputError, did_you_mean
from harness.measure import quality
from harness.plan import forward_of, prepare, running
from harness.records import EpochRecord, Named, Plan, TaskKind, TaskShape
from harness.spec.training import Training
from harness.train.best import Best
from harness.train.diagnosis import overfitting, underfitting, vanishing_gradients
from harness.train.evaluation import assess
from harness.train.gradients import ExplosionWatch, check_weights
from harness.train.loss import make_criterion
from harness.train.optimizer import build_optimizer
from harness.train.randomness import seed_torch
from harness.train.schedule import anneals, build_schedule
from harness.train.snapshot import Course, Snapshots, identity_of
from harness.train.step import Step
from harness.train.tally import Tally, window


def never() -> None:
    """Do not stop."""


class Fit:
    """Trains ``model`` in place; iterating trains an epoch at a time and yields its :class:`EpochRecord`.

    Iteration ends after ``epochs``, or when ``training.patience`` epochs in a row were no better; a schedule that
    anneals is gone to its end whatever the patience. It can be given up at any record, and goes on from there when
    iterated anew. Between records torch's settings are as they were, and every module's mode is the one it came in.

    Args:
        model: built for ``outputs_for(shape, training.loss)`` outputs, each part in the mode it is to be trained in, as
            :func:`harness.models.build` leaves it; moved to the plan's device and layout.
        train: batches to learn from; one epoch is one pass over them.
        validation: batches to measure on after every epoch; None: the last epoch, once reached, counts as the best,
            and patience has nothing to go by.
        shape: of the task (two outputs for two classes, whatever the loss).
        training, optimizer, schedule: what the candidate says.
        plan: how to train it here.
        epochs: at most so many.
        seed: of dropout and whatever else draws from torch's generator; every epoch has a stream of its own.
        trial: number that the records carry.
        objective: validation metric that decides the best epoch and patience, and whether more is better; by default
            macro F1 for classes and RMSE for values.
        class_counts: training samples of each class; for balanced class weights, and to notice underfitting.
        stop: called before every step; ends the training by raising, usually a TrialEnd.
        micro_batch: at most so many samples go through the model at once, and the gradients of larger batches are added
            up; batch norm then sees the statistics of the parts. 0: whole batches.

    Raises:
        InputError: an option is unknown, out of bounds or does not fit the task, or there is nothing to train on.
        Diverged: while iterating; a loss, gradient or weight is no longer finite, or gradients exploded. Losses are
            read every WINDOW_STEPS steps at least, and the reason names the step.
    """

    def __init__(
        self,
        model: nn.Module,
        *,
        train: Batches,
        validation: Batches | None,
        shape: TaskShape,
        training: Training,
        optimizer: Named,
        schedule: Named,
        plan: Plan,
        epochs: int,
        seed: int,
        trial: int = 0,
        objective: tuple[str, bool] | None = None,
        class_counts: Sequence[int] | None = None,
        stop: Callable[[], None] = never,
        micro_batch: int = 0,
    ) -> None:
        if len(train) == 0:
            raise InputError(f"batch_size: {train.batch_size} leaves no batch of {train.samples} samples; lower it")
        device = torch.device(plan.device)
        prepare(model, device=device, layout=plan.layout)
        self._model, self._train, self._validation, self._shape = model, train, validation, shape
        self._plan, self._device, self._seed, self._trial, self._stop = plan, device, seed, trial, stop
        self._epochs, self._class_counts = epochs, class_counts
        self._patience = 0 if validation is None or anneals(schedule) else training.patience
        self._metric, maximize = objective or _default_objective(shape)
        self._criterion = make_criterion(shape, training, class_counts=class_counts, device=device)
        self._forward = forward_of(model, device=device, precision=plan.precision, layout=plan.layout)
        self._scaler = GradScaler(device.type) if plan.precision == "fp16" else None
        self._optimizer = build_optimizer(optimizer, model, scaled=self._scaler is not None)
        self._full_rates = [group["lr"] for group in self._optimizer.param_groups]
        self._factor = build_schedule(schedule, steps_per_epoch=len(train), epochs=epochs)
        self._step = Step(model, self._forward, self._criterion, self._optimizer, training, self._scaler, micro_batch)
        self._watch = ExplosionWatch(clipped=training.clip_norm > 0.0)
        self._best = Best(model, maximize=maximize)
        self._course = Course()
        self._epoch = 0
        """The epoch that is being trained, or has ended."""
        who = {"trial": trial, "seed": seed, "epochs": epochs, "objective": (self._metric, maximize)}
        self._snapshots = Snapshots(
            model,
            self._optimizer,
            self._scaler,
            self._best,
            self._watch,
            device=device,
            identity=who | identity_of(train, training, optimizer, schedule),
        )

    @property
    def epoch(self) -> int:
        """Epochs that have ended."""
        return self._course.epoch

    @property
    def best_epoch(self) -> int:
        """The epoch whose validation objective is best so far, the first of equals; 0 before the first has ended."""
        return self._best.epoch

    @property
    def best_state(self) -> dict[str, Tensor]:
        """The model's state dict after the best epoch, in host memory; empty before the first has ended."""
        return self._best.state

    @property
    def finished(self) -> bool:
        """Whether there is no epoch left to train: all have been, or patience is at its end."""
        return self._epoch >= self._epochs or self._out_of_patience

    def restore_best(self) -> None:
        """Put the weights of the best epoch back into the model."""
        self._best.restore()

    def checkpoint(self, facts: Mapping[str, Any]) -> bytes:
        """Return everything that training goes on from after this epoch, with the caller's ``facts`` (JSON).

        It is one safetensors file (see :mod:`harness.train.checkpoint`), to be taken between epochs only.
        """
        assert self._epoch == self._course.epoch, f"epoch {self._epoch} was cut off"
        return self._snapshots.take(self._course, facts)

    def restore(self, data: bytes) -> dict[str, Any]:
        """Go on from a checkpoint in a newly built Fit of the same candidate and trial; return the caller's facts.

        What follows is bit for bit what would have followed there, under the same plan and on the same machine. The
        micro-batch may be another. Raises :class:`StorageError` for bytes that are damaged or another training's.
        """
        self._course, facts = self._snapshots.put_back(data)
        self._epoch = self._course.epoch
        return facts

    def __iter__(self) -> Iterator[EpochRecord]:
        while not self.finished:
            self._epoch += 1
            with running(self._plan):
                record = self._run_epoch()
            self._course.epoch = self._epoch
            yield record

    def _run_epoch(self) -> EpochRecord:
        start = time.perf_counter()
        tally = self._train_epoch()
        trained = time.perf_counter()
        metrics = tally.metrics()
        self._course.losses.append(metrics["loss"])
        if self._epoch == self._epochs:
            check_weights(self._model, self._epoch)
        validation = self._validate()
        return EpochRecord(
            trial=self._trial,
            epoch=self._epoch,
            train=metrics,
            validation=validation,
            learning_rate=self._optimizer.param_groups[0]["lr"],
            gradient_norm=tally.gradient_norm,
            train_s=trained - start,
            validation_s=time.perf_counter() - trained if validation else math.nan,
            train_samples_s=tally.samples / (trained - start),
            note="; ".join(note for note in self._notes(tally, metrics) if note),
        )

    def _train_epoch(self) -> Tally:
        seed_torch(self._device, derive_seed(self._seed, self._epoch))
        steps = len(self._train)
        before = (self._epoch - 1) * steps
        every = window(self._train.batch_size, self._shape.outputs)
        tally = Tally(
            self._criterion,
            quality(self._shape, self._device),
            self._step.gradients,
            self._watch,
            scaler=self._scaler,
            epoch=self._epoch,
            step=before,
        )
        try:
            for number, batch in enumerate(self._train.epoch(self._epoch), start=1):
                self._stop()
                self._set_rate(self._factor(before + number - 1))
                look = number % every == 0 or number == steps
                tally.add(batch, self._step(batch, measure=look))
                if look:
                    tally.read()
        finally:
            self._step.gradients.forget()  # a step that failed, out of memory say, leaves none behind
        return tally

    def _set_rate(self, factor: float) -> None:
        if factor == self._course.rate_factor:
            return
        self._course.rate_factor = factor
        for group, rate in zip(self._optimizer.param_groups, self._full_rates, strict=True):
            group["lr"] = rate * factor

    def _validate(self) -> dict[str, float]:
        """Measure on the validation part and keep the weights if they are the best."""
        if self._validation is None:
            if self._epoch == self._epochs:
                self._best.keep(self._epoch)
            return {}
        metrics = assess(
            self._model, self._forward, self._validation, self._criterion, self._shape, self._device
        ).metrics
        if self._metric not in metrics:
            raise InputError(f"objective: {self._metric!r} is not measured{did_you_mean(self._metric, metrics)}")
        for name in ("loss", self._metric):
            if not math.isfinite(metrics[name]):
                raise Diverged(f"{name} on validation is {metrics[name]} after epoch {self._epoch}")
        self._course.validation_losses.append(metrics["loss"])
        self._best.offer(self._epoch, metrics[self._metric])
        return metrics

    @property
    def _out_of_patience(self) -> bool:
        return 0 < self._patience <= self._epoch - self._best.epoch

    def _notes(self, tally: Tally, metrics: dict[str, float]) -> Iterator[str]:
        if tally.skipped:
            yield f"{tally.skipped} of {len(self._train)} steps skipped by fp16 loss scaling"
        yield vanishing_gradients(tally.gradient_norm, tally.depth_ratio, self._course.losses)
        yield overfitting(self._course.losses, self._course.validation_losses)
        if self._epoch == self._epochs or self._out_of_patience:
            yield underfitting(self._shape.kind, metrics, self._class_counts)
        if self._out_of_patience and self._epoch < self._epochs:
            yield f"stopped early: {self._metric} no better for {self._patience} epochs, best in {self._best.epoch}"


def _default_objective(shape: TaskShape) -> tuple[str, bool]:
    return ("f1_macro", True) if shape.kind is TaskKind.CLASSIFICATION else ("rmse", False)
