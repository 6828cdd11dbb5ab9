"""How long the winner may be trained again, when no validation samples say when to stop."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from harness.records import TrialRecord
from harness.spec import Candidate
from harness.study.job import Job
from harness.study.trial.building import epochs_of, stages_of
from harness.train.schedule import anneals


@dataclass(frozen=True, slots=True)
class Recipe:
    """So many epochs of a schedule that runs along so many."""

    what: str
    schedule: int
    """Epochs that the schedule of the learning rate runs along."""
    until: int
    """Epochs that are trained."""


def recipes(job: Job, winner: TrialRecord) -> tuple[Recipe, ...]:
    """Return the lengths of the winner's training that a refit may have; the first one is what its trial measured.

    Where its rate anneals and its best epoch was not the last, the rate was still high there, and part of what made the
    epoch the best was its noise. So there are two more: the whole schedule, and one that ends at the best epoch. Of a
    fit in stages there is the whole of it, as an early stage may have been the best by a tie alone.
    """
    candidate = Candidate.from_dict(winner.candidate)
    epochs, best = epochs_of(job, candidate, winner.plan), winner.best_epoch
    whole = Recipe(f"all {_said(epochs)}", epochs, epochs)
    if best == epochs:
        return (whole,)
    cut = Recipe(f"{best} of {_said(epochs)}", epochs, best)
    if stages_of(candidate):
        return cut, whole
    if not anneals(candidate.schedule):
        return (cut,)
    return cut, whole, Recipe(f"a schedule of {_said(best)}", best, best)


def by_schedule(recipes: Sequence[Recipe]) -> dict[int, list[Recipe]]:
    """Return the recipes by the epochs of their schedule, the shorter first: one training serves all that share it."""
    runs: dict[int, list[Recipe]] = {}
    for recipe in sorted(recipes, key=lambda recipe: recipe.until):
        runs.setdefault(recipe.schedule, []).append(recipe)
    return runs


def _said(epochs: int) -> str:
    return f"{epochs} epoch{'s' if epochs > 1 else ''}"
