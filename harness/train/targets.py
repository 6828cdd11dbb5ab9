"""What is learned where there are targets, and how good a model is at it."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn

from harness.data import Batches
from harness.plan import Forward
from harness.problems import LOSS, Quality, problems
from harness.records import Figures, Plan, TaskShape
from harness.spec import Candidate
from harness.train.diagnosis import underfitting
from harness.train.evaluation import assess
from harness.train.loss import Criterion, make_criterion
from harness.train.recipe import Taken


@dataclass(frozen=True, slots=True)
class Targets:
    """What is learned."""

    shape: TaskShape
    """Of the task (two outputs for two classes, whatever the loss)."""
    class_counts: Sequence[int] | None = None
    """Training samples of each class; for balanced class weights, and to notice underfitting."""
    scorer: Callable[[np.ndarray], Figures] | None = None
    """What else is measured of the answers to the samples on which the model is assessed."""


class OnTargets:
    """What recipes of models of targets have in common: what they are measured by.

    Raises :class:`InputError` for a loss that is unknown or does not fit the task.
    """

    model: nn.Module
    """What is measured."""
    _forward_in_use: Forward

    def __init__(self, candidate: Candidate, targets: Targets, plan: Plan) -> None:
        self.plan = plan
        self.candidate, self.targets = candidate, targets
        self.outputs = targets.shape.outputs
        self.identity: Mapping[str, Any] = {
            key: value for key, value in candidate.as_dict().items() if key != "architecture"
        }
        self._criterion = make_criterion(
            targets.shape, candidate.training, class_counts=targets.class_counts, device=torch.device(plan.device)
        )

    def seen(self) -> SeenTargets:
        """Return what measures the quality on the training samples of one epoch."""
        return SeenTargets(
            self._criterion,
            problems[self.targets.shape.kind].quality(self.targets.shape, torch.device(self.plan.device)),
        )

    def assess(self, batches: Batches) -> Figures:
        """Return metrics of the model in use, those of the scorer among them unless there are no answers to score."""
        shape, scorer, device = self.targets.shape, self.targets.scorer, torch.device(self.plan.device)
        found = assess(
            self.model, self._forward_in_use, batches, self._criterion, shape, device, answers=scorer is not None
        )
        return self.scored(found.metrics, found.answers)

    def scored(self, metrics: Mapping[str, float], answers: np.ndarray | None) -> Figures:
        """Return the metrics with what the scorer says of the answers, unless there are none to score."""
        scorer = self.targets.scorer
        if scorer is None or answers is None or not math.isfinite(metrics[LOSS]):
            return Figures(metrics)
        return Figures(metrics) | scorer(answers)

    def remark(self, metrics: Mapping[str, float]) -> str:
        """Say where the model has hardly learned."""
        return underfitting(self.targets.shape.kind, metrics, self.targets.class_counts)


class SeenTargets:
    """The quality of what steps scored."""

    def __init__(self, criterion: Criterion, measure: Quality) -> None:
        self._criterion = criterion
        self._quality = measure

    def update(self, steps: Sequence[Taken]) -> None:
        """Take in the scores and targets of several steps, which is cheaper than one by one."""
        scores, targets = (torch.cat(tensors) for tensors in zip(*(taken.kept for taken in steps), strict=True))
        self._quality.update(self._criterion.predictions(scores), targets)

    def metrics(self) -> Mapping[str, float]:
        """Return them by name."""
        return self._quality.metrics()
