"""What every trial of a search shares."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import torch

from harness.data import TrainingData
from harness.records import TaskShape
from harness.spec import Candidate, Spec
from harness.study.objectives import Objective
from harness.train import outputs_for


@dataclass(frozen=True)
class Job:
    """One task on one device, searched by one spec."""

    spec: Spec
    dataset: TrainingData
    device: torch.device
    objectives: tuple[Objective, ...]
    trust: bool = False
    """Whether the user's own modules may be imported."""

    def model_shape(self, candidate: Candidate, dataset: TrainingData) -> TaskShape:
        """Return the shape that the candidate's model is built for: the loss decides how many outputs it has."""
        return dataclasses.replace(dataset.shape, outputs=outputs_for(dataset.shape, candidate.training.loss))
