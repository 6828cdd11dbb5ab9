"""Scores of values from all predictions of a part at once, by scikit-learn.

Shape legend: N samples, V values to predict.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn import metrics

from harness.problems.problem import Undefined
from harness.problems.value_errors import columns

Floats = NDArray[np.float64]


def score(metric: str, targets: NDArray[Any], answers: NDArray[np.floating]) -> float:
    """Return a metric of ``N`` or ``N x V`` values in the targets' own units. Raises :class:`Undefined`."""
    return float(_SCORES[metric](columns(targets), columns(answers)))


def _r2(function: Callable[..., float], targets_NV: Floats, answers_NV: Floats) -> float:
    if len(targets_NV) < 2:
        raise Undefined("it takes two samples")
    return function(targets_NV, answers_NV)


def _mape(targets_NV: Floats, answers_NV: Floats) -> float:
    if not targets_NV.all():
        raise Undefined("a target is 0")
    return float(metrics.mean_absolute_percentage_error(targets_NV, answers_NV))


_SCORES: Mapping[str, Callable[[Floats, Floats], float]] = {
    "rmse": metrics.root_mean_squared_error,
    "mae": metrics.mean_absolute_error,
    "r2": partial(_r2, metrics.r2_score),
    "median_absolute_error": metrics.median_absolute_error,
    "mape": _mape,
    "pinball_50": partial(metrics.mean_pinball_loss, alpha=0.5),
    "pinball_90": partial(metrics.mean_pinball_loss, alpha=0.9),
    "explained_variance": partial(_r2, metrics.explained_variance_score),
}
