"""Ordinal classification: one of several classes that have an order, such as grades."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from harness.problems.classification import Classification, weights_of
from harness.problems.problem import Criterion, LossOptions, Metric, Quality
from harness.records import TaskShape

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray
    from torch import Tensor


class Ordinal(Classification):
    """Classes in an order. A model has an output for each step of it: how likely it goes on to the next class.

    The continuation-ratio model (Fienberg, 1980; as a network's loss CORN, Shi, Cao and Raschka, 2021,
    arXiv:2111.08851): of C classes, output k is the logit of being above class k for those that reached it.
    """

    name = "ordinal"
    metrics = (
        Metric("quadratic_kappa", maximize=True, summed=True),
        Metric("class_distance", maximize=False, summed=True),
        *Classification.metrics,
    )
    headline = ("quadratic_kappa", "class_distance", "accuracy")
    objective = "quadratic_kappa"
    losses = ("ordinal",)
    ordered = True
    stackable = False
    calibrated = False

    def outputs_for(self, shape: TaskShape, loss: str) -> int:
        """Return one less than there are classes."""
        self.loss_name(shape, loss)
        return shape.outputs - 1

    def criterion(
        self,
        shape: TaskShape,
        options: LossOptions,
        *,
        class_counts: Sequence[int] | None,
        device: torch.device,
    ) -> Criterion:
        """Return the cross-entropy of the classes that the outputs say."""
        from harness.problems.labels import Labels
        from harness.problems.order import of_steps

        self.loss_name(shape, options.loss)
        weights_C = weights_of(options, class_counts)
        return Labels(
            logits=of_steps,
            smoothing=options.label_smoothing,
            weights_C=None if weights_C is None else weights_C.to(device),
        )

    def quality(self, shape: TaskShape, device: torch.device) -> Quality:
        """Return an empty confusion matrix of classes in an order."""
        from harness.problems.order import OrderedMatrix

        return OrderedMatrix(shape.outputs, device)

    def score(self, metric: str, targets: NDArray[Any], answers: NDArray[np.floating]) -> float:
        """Return a metric as scikit-learn has it."""
        from harness.problems.order import scores

        if metric in scores:
            return scores[metric](targets, answers)
        return super().score(metric, targets, answers)

    def averaged(self, outputs: Tensor) -> Tensor:
        """Return the outputs that say the mean probabilities."""
        from harness.problems.order import of_steps, steps_of

        return steps_of(of_steps(outputs).logsumexp(dim=0) - math.log(len(outputs)))

    def skill(self, training: Mapping[str, float], class_counts: Sequence[int] | None) -> tuple[float, str]:
        """Return the quadratic kappa, of which chance has none."""
        kappa = training["quadratic_kappa"]
        return kappa, f"quadratic kappa {kappa:.3g} where chance has 0"
