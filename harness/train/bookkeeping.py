"""What is kept of a training from epoch to epoch, whatever takes its steps: alone, or in a stack of several."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

from torch import Tensor, nn

from harness.errors import Diverged, InputError, MetricFailed, did_you_mean
from harness.problems import LOSS
from harness.records import EpochRecord, Figures
from harness.train.best import Best
from harness.train.diagnosis import overfitting, vanishing_gradients
from harness.train.gradients import check_weights
from harness.train.recipe import Recipe
from harness.train.snapshot import Course, Snapshots
from harness.train.tally import Sums


class Bookkeeping:
    """Knows how far a training has come, its best weights, and when it ends.

    Args:
        recipe: what is trained, and how and where.
        steps: of one epoch; the schedules are laid along them.
        objective: metric on validation that decides the best epoch and patience, and whether more is better.
        epochs: at most so many.
        seed: of dropout and whatever else draws from torch's generators; every epoch has a stream of its own.
        trial: number that the records carry.
        drawn: what a checkpoint must have in common with this training, of its samples, as JSON.
        validated: whether epochs are measured; if not, the last one counts as the best, and patience has nothing to go
            by.
    """

    def __init__(
        self,
        recipe: Recipe,
        *,
        steps: int,
        objective: tuple[str, bool],
        epochs: int,
        seed: int,
        trial: int,
        drawn: Mapping[str, Any],
        validated: bool = True,
    ) -> None:
        self._recipe, self._steps = recipe, steps
        self._metric, maximize = objective
        self._epochs, self._seed, self._trial = epochs, seed, trial
        self._unmeasured: Mapping[str, str] = {}
        self._patience = recipe.patience if validated else 0
        self._parts = tuple(recipe.parts.values())
        for part in self._parts:
            part.along(steps, epochs)
        self._best = Best(recipe.model, maximize=maximize)
        self._course = Course()
        self._epoch = 0
        """The epoch that is being trained, or has ended."""
        own = {"trial": trial, "seed": seed, "epochs": epochs, "objective": objective}
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
        """Go on from a checkpoint in a newly built training of the same candidate and trial; return the caller's facts.

        What follows is bit for bit what would have followed there, under the same plan and on the same machine. The
        micro-batch may be another. Raises :class:`StorageError` for bytes that are damaged or another training's.
        """
        self._course, facts = self._snapshots.put_back(data)
        self._epoch = self._course.epoch
        return facts

    @property
    def _before(self) -> int:
        """Steps before the epoch that is being trained."""
        return (self._epoch - 1) * self._steps

    def _learned(self, metrics: Mapping[str, float]) -> None:
        """Take in what an epoch's steps came to. Raises :class:`Diverged` where they left weights of no use."""
        self._course.losses.append(metrics[LOSS])
        if self._epoch == self._epochs:
            for part in self._parts:
                check_weights(part.module, self._epoch)

    def _validated(self, found: Figures) -> dict[str, float]:
        """Take in what the model is worth on the validation part, and keep its weights if they are the best."""
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

    def _record(
        self, sums: Sums, train: dict[str, float], validation: dict[str, float], train_s: float, validation_s: float
    ) -> EpochRecord:
        """Return the record of the epoch, which has ended."""
        self._course.epoch = self._epoch
        return EpochRecord(
            trial=self._trial,
            epoch=self._epoch,
            train=train,
            validation=validation,
            learning_rate=self._parts[0].learning_rate,
            gradient_norm=sums.gradient_norm,
            train_s=train_s,
            validation_s=validation_s if validation else math.nan,
            train_samples_s=sums.samples / train_s,
            note="; ".join(note for note in self._notes(sums, train) if note),
        )

    @property
    def _out_of_patience(self) -> bool:
        return 0 < self._patience <= self._epoch - self._best.epoch

    def _notes(self, sums: Sums, metrics: dict[str, float]) -> Iterator[str]:
        if sums.skipped:
            yield f"{sums.skipped} of {self._steps} steps skipped by fp16 loss scaling"
        yield from (f"{name} on validation is not known: {why}" for name, why in self._unmeasured.items())
        for norm, depth_ratio in sums.gradients.values():
            yield vanishing_gradients(norm, depth_ratio, self._course.losses)
        yield overfitting(self._course.losses, self._course.validation_losses)
        if self._epoch == self._epochs or self._out_of_patience:
            yield self._recipe.remark(metrics)
        if self._out_of_patience and self._epoch < self._epochs:
            yield f"stopped early: {self._metric} no better for {self._patience} epochs, best in {self._best.epoch}"
