"""A model that predicts as its plan says: for its score on the test samples, and for new samples later."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn

from harness.data import Batches, Part
from harness.records import Plan, TaskShape
from harness.study.trial.building import place_evaluation
from harness.train import Evaluation, evaluate, predict


@dataclass(frozen=True, eq=False)
class Inference:
    """What running a model takes."""

    model: nn.Module
    shape: TaskShape
    plan: Plan
    loss: str

    def evaluate(self, part: Part) -> Evaluation:
        """Measure the model on the samples of a part, and keep its answers."""
        return evaluate(self.model, self._batches(part), answers=True, **self._common)

    def outputs(self, part: Part) -> np.ndarray:
        """Return float32 ``N x C`` probabilities, or ``N`` values less the mean of those of training."""
        return predict(self.model, self._batches(part), **self._common)[0]

    def _batches(self, part: Part) -> Batches:
        return place_evaluation(part, torch.device(self.plan.device), self.plan.micro_batch)

    @property
    def _common(self) -> dict[str, Any]:
        return {"shape": self.shape, "plan": self.plan, "loss": self.loss}
