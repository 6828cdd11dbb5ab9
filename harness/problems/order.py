"""Classes in an order while they are learned: what outputs say of them, and what is measured by their distance.

Shape legend: B batch, C classes, K = C - 1 steps from one class to the next.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch.nn.functional as F
from numpy.typing import NDArray
from sklearn import metrics
from torch import Tensor

from harness.problems.labels import ConfusionMatrix
from harness.problems.problem import Undefined
from harness.records import NAN


def of_steps(z: Tensor) -> Tensor:
    """Return the logarithms of the probabilities of classes, ``... x C``, from the logits of the steps, ``... x K``."""
    above = F.logsigmoid(z).cumsum(dim=-1)
    return F.pad(above, (1, 0)) + F.pad(F.logsigmoid(-z), (0, 1))


def steps_of(p: Tensor) -> Tensor:
    """Return the logits of the steps from the logarithms of the probabilities of classes."""
    from_here = p.flip(-1).logcumsumexp(dim=-1).flip(-1)
    return from_here[..., 1:] - p[..., :-1]


class OrderedMatrix(ConfusionMatrix):
    """A confusion matrix that also knows how far apart its classes are."""

    def metrics(self) -> dict[str, float]:
        """Return ``quadratic_kappa`` in [-1, 1], ``class_distance`` in classes, and the others."""
        counts_CC = self._table().astype(np.float64)
        total = counts_CC.sum()
        apart_CC = np.abs(np.subtract.outer(np.arange(self.classes), np.arange(self.classes)))
        by_chance_CC = np.outer(counts_CC.sum(axis=1), counts_CC.sum(axis=0)) / max(total, 1.0)
        expected = float((np.square(apart_CC) * by_chance_CC).sum())
        return {
            "quadratic_kappa": 1.0 - float((np.square(apart_CC) * counts_CC).sum()) / expected if expected else NAN,
            "class_distance": float((apart_CC * counts_CC).sum()) / total if total else NAN,
            **super().metrics(),
        }


def _quadratic_kappa(targets: NDArray[Any], answers: NDArray[np.floating]) -> float:
    predicted = answers.argmax(axis=1)
    if len(np.union1d(targets, predicted)) < 2:
        raise Undefined("every target and every prediction is of one class")
    return float(metrics.cohen_kappa_score(targets, predicted, labels=range(answers.shape[1]), weights="quadratic"))


scores: Mapping[str, Callable[[NDArray[Any], NDArray[np.floating]], float]] = {
    "quadratic_kappa": _quadratic_kappa,
    "class_distance": lambda targets, answers: float(metrics.mean_absolute_error(targets, answers.argmax(axis=1))),
}
"""By name, from codes of classes and ``N x C`` probabilities."""
