"""Scores of labels from all predictions of a part at once, by scikit-learn.

Shape legend: N samples, V labels.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn import metrics

from harness.problems.flags import SAID
from harness.problems.problem import Undefined

Labels = NDArray[np.int64]

_OF_LABELS: Mapping[str, Callable[[Labels, Labels], float]] = {
    "f1_macro": partial(metrics.f1_score, average="macro", zero_division=0),
    "f1_micro": partial(metrics.f1_score, average="micro", zero_division=0),
    "precision_macro": partial(metrics.precision_score, average="macro", zero_division=0),
    "recall_macro": partial(metrics.recall_score, average="macro", zero_division=0),
    "exact_match": metrics.accuracy_score,
    "hamming_loss": metrics.hamming_loss,
}
_OF_PROBABILITIES: Mapping[str, Callable[..., float]] = {
    "roc_auc": metrics.roc_auc_score,
    "average_precision": metrics.average_precision_score,
}


def score(metric: str, targets: NDArray[Any], answers: NDArray[np.floating]) -> float:
    """Return a metric of ``N x V`` probabilities. Raises :class:`Undefined`."""
    true_NV = (targets > 0.5).astype(np.int64)
    if metric in _OF_LABELS:
        return float(_OF_LABELS[metric](true_NV, (answers >= SAID).astype(np.int64)))
    same = (true_NV == true_NV[:1]).all(axis=0)
    if same.any():
        raise Undefined(f"label {int(np.argmax(same))} (from 0) is the same in all samples")
    return float(_OF_PROBABILITIES[metric](true_NV, answers))
