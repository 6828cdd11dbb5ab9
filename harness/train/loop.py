"""The training loop: a bare PyTorch loop that yields a record after every epoch."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import torch

from harness.data import Batches, derive_seed
from harness.errors import InputError
from harness.plan import running
from harness.records import EpochRecord
from harness.train.bookkeeping import Bookkeeping
from harness.train.randomness import chance
from harness.train.recipe import Recipe
from harness.train.tally import Tally, window


def never() -> None:
    """Do not stop."""


class Fit(Bookkeeping):
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
        super().__init__(
            recipe,
            steps=len(train),
            objective=objective,
            epochs=epochs,
            seed=seed,
            trial=trial,
            drawn={"samples": train.samples, "batch_size": train.batch_size},
            validated=validation is not None,
        )
        self._train, self._validation, self._stop = train, validation, stop
        self._device = torch.device(recipe.plan.device)

    def __iter__(self) -> Iterator[EpochRecord]:
        while not self.finished:
            self._epoch += 1
            with running(self._recipe.plan), chance(self._device, derive_seed(self._seed, self._epoch)):
                record = self._run_epoch()
            yield record

    def _run_epoch(self) -> EpochRecord:
        start = time.perf_counter()
        tally = self._train_epoch()
        self._recipe.settle(self._train.epoch(self._epoch))
        trained = time.perf_counter()
        metrics = tally.metrics()
        self._learned(metrics)
        validation = self._validate()
        return self._record(tally, metrics, validation, trained - start, time.perf_counter() - trained)

    def _train_epoch(self) -> Tally:
        recipe, steps = self._recipe, len(self._train)
        every = window(self._train.batch_size, recipe.outputs)
        tally = Tally(recipe, epoch=self._epoch, step=self._before)
        try:
            for number, batch in enumerate(self._train.epoch(self._epoch), start=1):
                self._stop()
                for part in self._parts:
                    part.follow(self._before + number - 1)
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
        return self._validated(self._recipe.assess(self._validation))
