"""The winner trained anew on one set of samples, never looking at others."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from torch import nn

from harness.data import Batches, TrainingData, derive_seed
from harness.errors import Diverged
from harness.models import load_weights
from harness.records import EpochRecord, Plan, TrialRecord
from harness.spec import Candidate
from harness.study.final.recipes import Recipe
from harness.study.job import Job
from harness.study.trial.building import (
    build_model,
    followed_here,
    make_fit,
    place_training,
    plan_training,
    with_batch_size,
)
from harness.train.gradients import check_weights

FAILURES = (Diverged, RuntimeError, MemoryError)
"""What training a recipe again may end in, where it did not when the trial was trained."""


T = TypeVar("T")
Taken = Callable[[nn.Module, Plan], T]
"""What is wanted of a model that was trained by a plan."""


@dataclass(frozen=True, slots=True)
class Course:
    """A training: from a seed, along a schedule of so many epochs, until the last of ``stops`` (ascending)."""

    seed: int
    schedule: int
    stops: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Trained(Generic[T]):
    """What a training came to: what was taken of the model at each stop, as far as it came, and why no further."""

    taken: tuple[T, ...]
    failure: Exception | None = None


def settled_candidate(winner: TrialRecord) -> Candidate:
    """Return the winner's candidate with the batch size that it was trained with."""
    candidate = Candidate.from_dict(winner.candidate)
    if winner.plan and candidate.training.batch_size == "auto":
        return with_batch_size(candidate, winner.plan.batch_size)
    return candidate


class Retraining:
    """Trains the winner's candidate on the training part of a data set, with one plan for all seeds."""

    def __init__(
        self,
        job: Job,
        dataset: TrainingData,
        winner: TrialRecord,
        stop: Callable[[], None],
        watch: Callable[[EpochRecord], None],
        plan: Plan | None = None,
    ) -> None:
        """``plan``: how it was trained before, and is to be once more."""
        self._job = job
        self._dataset = dataset
        self._winner = winner
        self._candidate = settled_candidate(winner)
        self._stop = stop
        self._watch = watch
        self._plan = followed_here(plan, job.device) if plan is not None else None

    @property
    def plan(self) -> Plan:
        """How it is trained here; known once a training has begun."""
        assert self._plan is not None
        return self._plan

    def refits(self, recipe: Recipe, count: int, number: int) -> list[nn.Module]:
        """Train so many models by a recipe, each from a seed of its own that follows from the search's and a trial's.

        Raises what :meth:`train` raises.
        """
        seeds = (derive_seed(self._job.spec.search.seed, "refit", number, member) for member in range(count))
        courses = [Course(seed, recipe.schedule, (recipe.until,)) for seed in seeds]
        models: list[nn.Module] = []
        for trained in self.each(courses, _off_the_device if count > 1 else _as_it_is):
            if trained.failure is not None:
                raise trained.failure
            models += trained.taken
        return models

    def each(self, courses: Sequence[Course], taken: Taken[T]) -> Sequence[Trained[T]]:
        """Train each course, whatever others come to. Raises :class:`Interrupted` when asked to stop."""
        return [self.one(course, taken) for course in courses]

    def one(self, course: Course, taken: Taken[T]) -> Trained[T]:
        """Train one course. Raises :class:`Interrupted` when asked to stop."""
        found: list[T] = []
        try:
            for model in self.train(course.seed, course.schedule, course.stops):
                found.append(taken(model, self.plan))
        except FAILURES as error:
            return Trained(tuple(found), error)
        return Trained(tuple(found))

    def train(self, seed: int, schedule: int, stops: Sequence[int]) -> Iterator[nn.Module]:
        """Train along a schedule of so many epochs; yield the model as it is after each of ``stops`` (ascending).

        Raises :class:`Interrupted` when asked to stop, and whatever of FAILURES the training ends in.
        """
        job, candidate, dataset, trial = self._job, self._candidate, self._dataset, self._winner.trial
        model = build_model(job, candidate, dataset, seed)
        train = place_training(job, candidate, dataset, seed)
        plan = self._settled(train)
        load_weights(candidate.architecture, model)
        fit = make_fit(
            job,
            candidate,
            dataset,
            model,
            train,
            None,
            plan,
            seed=seed,
            trial=trial,
            stop=self._stop,
            epochs=schedule,
        )
        for epoch in fit:
            self._watch(epoch)
            if epoch.epoch in stops:
                check_weights(fit.model, epoch.epoch)
                yield fit.model
            if epoch.epoch == stops[-1]:
                return

    def _settled(self, train: Batches) -> Plan:
        """Return how it is trained here, measured the first time."""
        if self._plan is None:
            micro_batch = self._winner.plan.micro_batch if self._winner.plan else 0
            self._plan = plan_training(self._job, self._candidate, self._dataset, train, micro_batch=micro_batch)
        return self._plan


def _as_it_is(model: nn.Module, _plan: Plan) -> nn.Module:
    return model


def _off_the_device(model: nn.Module, _plan: Plan) -> nn.Module:
    return model.cpu()
