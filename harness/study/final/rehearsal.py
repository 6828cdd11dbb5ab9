"""The winner's recipe measured before it is trusted: trained anew on the training part, compared on validation."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from torch import nn

from harness.data import Part, TrainingData, derive_seed
from harness.errors import first_line
from harness.records import Plan, TaskShape, TrialRecord
from harness.study.final.decision import KEPT, Decision, Tried, decide
from harness.study.final.inference import Inference
from harness.study.final.recipes import Recipe, by_schedule, recipes
from harness.study.final.retraining import FAILURES, Course, Retraining, settled_candidate
from harness.study.final.trying import Trier
from harness.study.job import Job


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
        self._trier = Trier(job, dataset, self._candidate.training.loss)
        self._answers = _Answers(dataset.shape, dataset.validation, self._candidate.training.loss)
        self._outputs: dict[str, np.ndarray] = {}
        """What the first seed predicts by each recipe."""
        self.notes = self._trier.notes
        """Trainings that failed, and what there are too few samples for."""

    def run(self, kept: nn.Module, plan: Plan, members: int) -> Decision:
        """Train by each recipe and, for several members, by the best one again; compare with the kept weights."""
        tried = self._trier.tried(KEPT, self._answers(kept, plan))
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
                    yield self._trier.tried(f"refit, {recipe.what}", outputs, recipe)
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
            return self._trier.tried(f"average of {members} refits, {recipe.what}", _mean(outputs), recipe, members)
        except FAILURES as error:
            self.notes.append(f"the rehearsal of {members} refits failed ({first_line(error)})")
            return None

    def _seed(self, member: int) -> int:
        return derive_seed(self._job.spec.search.seed, "rehearsal", self._number, member)


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
