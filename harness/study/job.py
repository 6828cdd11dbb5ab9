"""What every trial of a search shares."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import torch

from harness.data import TrainingData
from harness.plan import Memory
from harness.problems import problems
from harness.problems.scoring import Scorer
from harness.records import TaskShape
from harness.spec import Averaged, Blended, Candidate, Spec
from harness.study.objectives import Objective
from harness.train import outputs_for

if TYPE_CHECKING:
    from harness.data import Learning


@dataclass(frozen=True)
class Job:
    """One task on one device, searched by one spec."""

    spec: Spec
    dataset: TrainingData
    device: torch.device
    objectives: tuple[Objective, ...]
    trust: bool = False
    """Whether the user's own modules may be imported."""
    scorer: Scorer = field(default_factory=Scorer)
    """What is measured of the validation samples beyond sums over batches."""
    memory: Memory = field(default_factory=Memory)
    """Where what is measured of the machine is kept."""
    folds: tuple[TrainingData, ...] = ()
    """The data of each fold of a cross-validation, the last of which is ``dataset``; empty where there is none."""
    learning: Learning | None = None
    """What is split anew for trials of a list."""
    splits: Mapping[int, int] = field(default_factory=dict)
    """The seed of the split by that of the trial; a trial that is not among them has ``dataset``."""

    @property
    def trainings(self) -> int:
        """How often a candidate is trained for its value."""
        return self.spec.evaluation.trainings

    def of_fold(self, number: int) -> Job:
        """Return the job with the data of a fold, counted from 1; seeds share their data."""
        return dataclasses.replace(self, dataset=self.folds[number - 1]) if self.folds else self

    def of_trial(self, seed: int) -> Job:
        """Return the job with the data of a trial."""
        if self.learning is None or seed not in self.splits:
            return self
        return dataclasses.replace(self, dataset=self.learning.under(self.splits[seed]))

    @property
    def final(self) -> str | Averaged | Blended:
        """What becomes of the winner. ``auto`` is a refit where its recipe was measured several times already.

        It is one of forecasts as well, whose validation samples are the ones next to what is to be predicted.
        """
        final = self.spec.training.final
        return "refit" if final == "auto" and (self.trainings > 1 or self.continues) else final

    @property
    def continues(self) -> bool:
        """Whether the task is how series go on."""
        return problems[self.dataset.shape.kind].continues

    @property
    def choosing(self) -> Memory | None:
        """What plans are measured with; None: by rule, as when no clock may decide."""
        return None if self.spec.search.by_rule else self.memory

    def model_shape(self, candidate: Candidate, dataset: TrainingData) -> TaskShape:
        """Return the shape that the candidate's model is built for: the loss decides how many outputs it has."""
        return dataclasses.replace(dataset.shape, outputs=outputs_for(dataset.shape, candidate.training.loss))
