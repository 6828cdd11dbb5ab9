"""A model that predicts as its plan says: for its score on the test samples, and for new samples later."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch
from torch import nn

from harness.data import Batches, Dataset, Part
from harness.problems import problem_of
from harness.records import Plan, TaskShape
from harness.study.trial.building import place_evaluation
from harness.train import Evaluation, evaluate, predict


class OnTest(NamedTuple):
    """A model on the test samples."""

    result: Evaluation
    answers: np.ndarray
    """In the units of the data."""
    predictions: pd.DataFrame
    """A row for each sample: what it is called, what is right, what was predicted."""


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

    def on_test(self, dataset: Dataset, part: Part) -> OnTest:
        """Measure the model on the test samples of a data set, which are ``part`` as the model takes them in."""
        result, problem = self.evaluate(part), problem_of(self.shape)
        assert result.answers is not None, "they were asked for"
        answers = problem.own_units(result.answers, self.shape)
        names = self.shape.target.names if self.shape.target else ()
        return OnTest(result, answers, dataset.describe_test().assign(**problem.columns(answers, names)))

    def outputs(self, part: Part) -> np.ndarray:
        """Return float32 ``N x C`` probabilities, or ``N`` values less the mean of those of training."""
        return predict(self.model, self._batches(part), **self._common)[0]

    def _batches(self, part: Part) -> Batches:
        return place_evaluation(part, torch.device(self.plan.device), self.plan.micro_batch)

    @property
    def _common(self) -> dict[str, Any]:
        return {"shape": self.shape, "plan": self.plan, "loss": self.loss}
