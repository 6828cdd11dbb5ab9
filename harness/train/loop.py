"""The training loop: a bare PyTorch loop that yields a record after every epoch."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from harness.data import Batches, derive_seed
from harness.errors import Diverged, InputError, MetricFailed, did_you_mean
from harness.plan import running
from harness.problems import LOSS
from harness.records import EpochRecord
from harness.train.best import Best
from harness.train.diagnosis import overfitting, vanishing_gradients
from harness.train.gradients import check_weights
from harness.train.randomness import chance
from harness.train.recipe import Recipe
from harness.train.snapshot import Course, Snapshots
from harness.train.tally import Tally, window


def never() -> None:
    """Do not stop."""


class Fit:
    """Trains what a recipe has; iterating trains an epoch at a time and yields its :class:`EpochRecord`.

    Iteration ends after ``epochs``, or when the recipe's patience is at its end. It can be given up at any record, and
    goes on from there when iterated anew. Between records torch's settings and generators are as they were, and every
    module's mode is the one it came in.

    Args:
        recipe: what is trained, and how and where.
        train: batches to learn from; one epoch is one pass over them.
        validation: batches to measure on after every epoch; None: the last epoch, once reached, counts as the best,
            and patience has nothing to go by.
        objective: metric on validation that decides the best epoch and patience, and whether more is better.
        epochs: at most so many.
        seed: of dropout and whatever else draws from torch's generators; every epoch has a stream of its own.
        trial: number that the records carry.
        stop: called before every step; ends the training by raising, usually a TrialEnd.

    Raises:
        InputError: there is nothing to train on, or a schedule is unknown or out of bounds.
        Diverged: while iterating; a loss, gradient or weight is no longer finite, or gradients exploded. Losses are
            read every WINDOW_STEPS steps at least, and the reason names the step.
    """

    def __init__(
        self,
        recipe: Recipe,
        train: Batches,
        validation: Batches | None,
        *,
        objective: tuple[str, bool],
        epochs: int,
        seed: int,
        trial: int = 0,
        stop: Callable[[], None] = never,
    ) -> None:
        if len(train) == 0:
            raise InputError(f"batch_size: {train.batch_size} leaves no batch of {train.samples} samples; lower it")
        self._recipe, self._train, self._validation = recipe, train, validation
        self._metric, maximize = objective
        self._unmeasured: Mapping[str, str] = {}
        self._device = torch.device(recipe.plan.device)
        self._epochs, self._seed, self._trial, self._stop = epochs, seed, trial, stop
        self._patience = 0 if validation is None else recipe.patience
        self._parts = tuple(recipe.parts.values())
        for part in self._parts:
            part.along(len(train), epochs)
        self._best = Best(recipe.model, maximize=maximize)
        self._course = Course()
        self._epoch = 0
        """The epoch that is being trained, or has ended."""
        own = {"trial": trial, "seed": seed, "epochs": epochs, "objective": objective}
        drawn = {"samples": train.samples, "batch_size": train.batch_size}
        self._snapshots = Snapshots(recipe, self._best, {**recipe.identity, **own, **drawn})

    @property
    def model(self) -> nn.Module:
        """What comes of the training: the model as it is now, or the average of its weights."""
        return self._recipe.model

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
            with running(self._recipe.plan), chance(self._device, derive_seed(self._seed, self._epoch)):
                record = self._run_epoch()
            self._course.epoch = self._epoch
            yield record

    def _run_epoch(self) -> EpochRecord:
        start = time.perf_counter()
        tally = self._train_epoch()
        self._recipe.settle(self._train.epoch(self._epoch))
        trained = time.perf_counter()
        metrics = tally.metrics()
        self._course.losses.append(metrics[LOSS])
        if self._epoch == self._epochs:
            for part in self._parts:
                check_weights(part.module, self._epoch)
        validation = self._validate()
        return EpochRecord(
            trial=self._trial,
            epoch=self._epoch,
            train=metrics,
            validation=validation,
            learning_rate=self._parts[0].learning_rate,
            gradient_norm=tally.gradient_norm,
            train_s=trained - start,
            validation_s=time.perf_counter() - trained if validation else math.nan,
            train_samples_s=tally.samples / (trained - start),
            note="; ".join(note for note in self._notes(tally, metrics) if note),
        )

    def _train_epoch(self) -> Tally:
        recipe, steps = self._recipe, len(self._train)
        before = (self._epoch - 1) * steps
        every = window(self._train.batch_size, recipe.outputs)
        tally = Tally(recipe, epoch=self._epoch, step=before)
        try:
            for number, batch in enumerate(self._train.epoch(self._epoch), start=1):
                self._stop()
                for part in self._parts:
                    part.follow(before + number - 1)
                look = number % every == 0 or number == steps
                tally.add(recipe.step(batch, measure=look))
                if look:
                    tally.read()
        finally:
            for part in self._parts:
                part.gradients.forget()  # a step that failed, out of memory say, leaves none behind
        return tally

    def _validate(self) -> dict[str, float]:
        """Measure on the validation part and keep the weights if they are the best."""
        if self._validation is None:
            if self._epoch == self._epochs:
                self._best.keep(self._epoch)
            return {}
        found = self._recipe.assess(self._validation)
        metrics, self._unmeasured = dict(found.values), found.reasons
        self._check_finite(LOSS, metrics)
        if self._metric in found.reasons:
            raise MetricFailed(f"{self._metric} on validation is not known: {found.reasons[self._metric]}")
        if self._metric not in metrics:
            raise InputError(f"objective: {self._metric!r} is not measured{did_you_mean(self._metric, metrics)}")
        self._check_finite(self._metric, metrics)
        self._course.validation_losses.append(metrics[LOSS])
        self._best.offer(self._epoch, metrics[self._metric])
        return metrics

    def _check_finite(self, name: str, metrics: Mapping[str, float]) -> None:
        if not math.isfinite(metrics[name]):
            raise Diverged(f"{name} on validation is {metrics[name]} after epoch {self._epoch}")

    @property
    def _out_of_patience(self) -> bool:
        return 0 < self._patience <= self._epoch - self._best.epoch

    def _notes(self, tally: Tally, metrics: dict[str, float]) -> Iterator[str]:
        if tally.skipped:
            yield f"{tally.skipped} of {len(self._train)} steps skipped by fp16 loss scaling"
        yield from (f"{name} on validation is not known: {why}" for name, why in self._unmeasured.items())
        for norm, depth_ratio in tally.gradients.values():
            yield vanishing_gradients(norm, depth_ratio, self._course.losses)
        yield overfitting(self._course.losses, self._course.validation_losses)
        if self._epoch == self._epochs or self._out_of_patience:
            yield self._recipe.remark(metrics)
        if self._out_of_patience and self._epoch < self._epochs:
            yield f"stopped early: {self._metric} no better for {self._patience} epochs, best in {self._best.epoch}"
