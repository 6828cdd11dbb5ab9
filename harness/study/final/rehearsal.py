"""The winner's recipe measured before it is trusted: trained anew on the training part, compared on validation."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from harness.data import Part, TrainingData, derive_seed
from harness.errors import Diverged, first_line
from harness.measure.isotonic import along_curves, fit_isotonic
from harness.measure.temperature import fit_temperature, tempered
from harness.models import Curves
from harness.problems import LOSS, Undefined, problem_of
from harness.records import NAN, Plan, TaskShape, TrialRecord
from harness.study.final.decision import KEPT, Decision, Tried, decide
from harness.study.final.inference import Inference
from harness.study.final.recipes import Recipe, by_schedule, recipes
from harness.study.final.retraining import FAILURES, Course, Retraining, settled_candidate
from harness.study.job import Job
from harness.train.loss import loss_name


class Rehearsal:
    """Measures what a refit may be, as far as validation can tell; each new seed is another than the trial's."""

    def __init__(
        self, job: Job, dataset: TrainingData, winner: TrialRecord, retraining: Retraining, number: int
    ) -> None:
        """``number`` is that of the trial, from which the seeds are drawn."""
        self._job = job
        self._dataset = dataset
        self._winner = winner
        self._candidate = settled_candidate(winner)
        self._retraining = retraining
        self._number = number
        self._problem = problem_of(dataset.shape)
        self._answers = _Answers(dataset.shape, dataset.validation, self._candidate.training.loss)
        self._outputs: dict[str, np.ndarray] = {}
        """What the first seed predicts by each recipe."""
        self.notes: list[str] = []
        """Trainings that failed, and what there are too few samples for."""

    def run(self, kept: nn.Module, plan: Plan, members: int) -> Decision:
        """Train by each recipe and, for several members, by the best one again; compare with the kept weights."""
        tried = self._tried(KEPT, self._answers(kept, plan))
        singles = list(self._singles())
        average = None
        if members > 1 and singles:
            best = min(singles, key=lambda single: single.loss)
            assert best.recipe is not None
            average = self._average(best.recipe, members)
        return decide(tried, singles, average)

    def _singles(self) -> Iterator[Tried]:
        """Yield what each recipe comes to; recipes that share a schedule share a training."""
        runs = by_schedule(recipes(self._job, self._winner))
        courses = [
            Course(self._seed(0), schedule, tuple(recipe.until for recipe in shared))
            for schedule, shared in runs.items()
        ]
        for shared, trained in zip(runs.values(), self._retraining.each(courses, self._answers), strict=True):
            yet, failure = list(shared), trained.failure
            try:
                for outputs in trained.taken:
                    recipe = yet.pop(0)
                    self._outputs[recipe.what] = outputs
                    yield self._tried(f"refit, {recipe.what}", outputs, recipe)
            except FAILURES as error:
                failure = error
            if failure is not None:
                failed = " and ".join(recipe.what for recipe in yet) or "its prediction"
                self.notes.append(f"the rehearsal of a refit with {failed} failed ({first_line(failure)})")

    def _average(self, recipe: Recipe, members: int) -> Tried | None:
        """Return what the average of so many seeds comes to; the first of them has been trained."""
        courses = [Course(self._seed(member), recipe.schedule, (recipe.until,)) for member in range(1, members)]
        try:
            outputs = [self._outputs[recipe.what]]
            for trained in self._retraining.each(courses, self._answers):
                if trained.failure is not None:
                    raise trained.failure
                outputs += trained.taken
            return self._tried(f"average of {members} refits, {recipe.what}", _mean(outputs), recipe, members)
        except FAILURES as error:
            self.notes.append(f"the rehearsal of {members} refits failed ({first_line(error)})")
            return None

    def _seed(self, member: int) -> int:
        return derive_seed(self._job.spec.search.seed, "rehearsal", self._number, member)

    def _tried(self, what: str, outputs: np.ndarray, recipe: Recipe | None = None, members: int = 1) -> Tried:
        """Measure predictions of the validation samples. Raises :class:`Diverged` where they are no numbers."""
        shape, targets = self._dataset.shape, self._dataset.validation.targets
        name = loss_name(shape, self._candidate.training.loss)
        isotonic = self._isotonic(outputs)
        temperature = 1.0 if isotonic else self._temperature(outputs)
        if isotonic:
            outputs = along_curves(outputs, isotonic)
        elif temperature != 1.0:
            outputs = tempered(outputs, temperature)
        losses = self._problem.losses_of(outputs, targets, loss=name, scale=shape.scale)
        loss = float(losses.mean())
        if not math.isfinite(loss):
            raise Diverged(f"its loss on validation is {loss}")
        return Tried(what, losses, self._objective(outputs, loss), recipe, members, temperature, isotonic, outputs)

    def _objective(self, outputs: np.ndarray, loss: float) -> float:
        """Return the first objective; NaN where it has no value."""
        part, scorer = self._dataset.validation, self._job.scorer
        measure = self._problem.quality(self._dataset.shape, torch.device("cpu"))
        measure.update(torch.from_numpy(outputs), torch.from_numpy(part.targets))
        more = scorer.measure(part.truth, self._problem.own_units(outputs, self._dataset.shape)).values
        return {LOSS: loss, **measure.metrics(), **more}.get(self._job.objectives[0].metric, NAN)

    def _temperature(self, outputs: np.ndarray) -> float:
        """Return the temperature that the validation samples ask for; 1 for values, or where none is wanted."""
        wanted = self._job.spec.training.calibration != "none"
        if not (wanted and self._problem.calibrated and np.isfinite(outputs).all()):
            return 1.0
        return fit_temperature(outputs, self._dataset.validation.targets)

    def _isotonic(self, outputs: np.ndarray) -> Curves:
        """Return the curves that the validation samples ask for; none where none are wanted, or these are too few."""
        wanted = self._job.spec.training.calibration == "isotonic"
        if not (wanted and self._problem.calibrated and np.isfinite(outputs).all()):
            return ()
        try:
            return fit_isotonic(outputs, self._dataset.validation.targets)
        except Undefined as error:
            note = f"no isotonic calibration: {error}; a temperature is used instead"
            self.notes += [note] if note not in self.notes else []
            return ()


@dataclass(frozen=True, eq=False)
class _Answers:
    """What a model says of the validation samples."""

    shape: TaskShape
    validation: Part
    loss: str

    def __call__(self, model: nn.Module, plan: Plan) -> np.ndarray:
        return Inference(model, self.shape, plan, self.loss).outputs(self.validation)


def _mean(outputs: Iterable[np.ndarray]) -> np.ndarray:
    mean: np.ndarray = np.mean([each.astype(np.float64) for each in outputs], axis=0)
    return mean
