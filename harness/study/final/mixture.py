"""An average of trials as one model, and who selects it when a search ends."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from harness.models import Ensemble, own_sha256
from harness.records import Plan, TrialRecord
from harness.spec import Candidate
from harness.study.final.recipes import Recipe
from harness.study.final.retraining import settled_candidate


@dataclass(frozen=True, eq=False)
class Mixture:
    """An average of trials."""

    records: Sequence[TrialRecord]
    """Of the members, the weightiest first."""
    counts: Sequence[int]
    recipes: Sequence[Recipe]
    """How long each was trained."""
    model: Ensemble
    plan: Plan

    @property
    def members(self) -> list[dict[str, Any]]:
        """Trial and weight of each."""
        whole = sum(self.counts)
        return [
            {
                "trial": record.trial,
                "weight": count / whole,
                "architecture": settled_candidate(record).architecture.name,
            }
            for record, count in zip(self.records, self.counts, strict=True)
        ]

    @property
    def candidate(self) -> Candidate:
        """The weightiest, with the plain loss, whose outputs the average has."""
        first = settled_candidate(self.records[0])
        return replace(first, training=first.training.model_copy(update={"loss": "auto"}))

    def told(self) -> list[Mapping[str, Any]]:
        """Return what ``candidate.json`` says of the members."""
        return [_told(*each) for each in enumerate(zip(self.records, self.counts, self.recipes, strict=True))]


def _told(number: int, member: tuple[TrialRecord, int, Recipe]) -> Mapping[str, Any]:
    record, count, recipe = member
    candidate = settled_candidate(record)
    digest = own_sha256(candidate.architecture)
    return {
        "trial": record.trial,
        "candidate": candidate.as_dict(),
        "count": count,
        "recipe": {"schedule": recipe.schedule, "until": recipe.until},
        "weights": f"members.{number}.",
        **({"own_sha256": digest} if digest else {}),
    }


@dataclass(frozen=True, eq=False)
class Selected:
    """What was selected from the trials of a search."""

    mixture: Mixture | None
    """None: there are no two trials that can be averaged."""
    halves: NDArray[np.floating] | None = None
    """What averages say of validation, each on the half of the samples that it was not selected on; None: unknown."""
    notes: Sequence[str] = ()


class Mixer(Protocol):
    """Who knows the trials that a final model may average."""

    def mix(self) -> Selected:
        """Select trials, and build their average."""
