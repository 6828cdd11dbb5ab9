"""How far scores of classes may be off: the losses of single samples, and standard errors.

Accuracy has the standard error of a share. The other scores of a confusion matrix are bootstrapped over the samples
(Efron, 1979), from a seed, so that the same predictions have the same error; where every resample scores the same, they
have that of accuracy.

Shape legend: N samples, C classes, K non-empty cells of the confusion matrix, R resamples.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.statistics import share_error

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

RESAMPLES = 200
"""Of a bootstrap: the error is then itself known to 5 % (1 / sqrt(2 R))."""

_BOOTSTRAPPED = (
    "f1_macro",
    "f1_weighted",
    "precision_macro",
    "recall_macro",
    "balanced_accuracy",
    "mcc",
    "kappa",
)
_SMALLEST = float(np.finfo(np.float32).tiny)
"""In place of probabilities that have become 0 in float32."""


def losses(answers_NC: NDArray[np.floating], targets_N: NDArray[Any]) -> Floats:
    """Return the negative logarithm of the probability that each sample's own class was given."""
    return -log_probabilities(answers_NC[np.arange(len(targets_N)), targets_N.astype(np.int64)])


def log_probabilities(probabilities: NDArray[np.floating]) -> Floats:
    """Return the logarithms in float64; what float32 has rounded to 0 counts as the least that it can hold."""
    logarithms: Floats = np.log(np.maximum(probabilities.astype(np.float64), _SMALLEST))
    return logarithms


def standard_error(metric: str, targets_N: NDArray[Any], answers_NC: NDArray[np.floating], seed: int) -> float | None:
    """Return the standard error of a score of the confusion matrix; None for the others."""
    targets_N, predicted_N = targets_N.astype(np.int64), answers_NC.argmax(axis=1)
    of_accuracy = share_error(int(np.count_nonzero(predicted_N == targets_N)), len(targets_N))
    if metric == "accuracy":
        return of_accuracy
    if metric not in _BOOTSTRAPPED:
        return None
    return float(np.std(_resampled(metric, predicted_N, targets_N, seed), ddof=1)) or of_accuracy


def _resampled(metric: str, predicted_N: Ints, targets_N: Ints, seed: int) -> Floats:
    """Return the metric of every resample.

    It depends on the samples through their confusion matrix alone, and to resample them is to draw its cells anew.
    """
    classes = int(max(predicted_N.max(), targets_N.max())) + 1
    cells_K, counts_K = np.unique(targets_N * classes + predicted_N, return_counts=True)
    total = int(counts_K.sum())
    drawn_RK = np.random.default_rng(seed).multinomial(total, counts_K / total, size=RESAMPLES).astype(np.float64)
    target_K, output_K = np.divmod(cells_K, classes)
    support_RC = _summed(drawn_RK, target_K, classes)
    predicted_RC = _summed(drawn_RK, output_K, classes)
    hits_RC = _summed(drawn_RK * (target_K == output_K), target_K, classes)
    if metric in ("mcc", "kappa"):
        return _above_chance(metric, support_RC, predicted_RC, hits_RC.sum(axis=1), float(total))
    if metric == "precision_macro":
        score_RC = _ratio(hits_RC, predicted_RC)
    elif metric in ("recall_macro", "balanced_accuracy"):
        score_RC = _ratio(hits_RC, support_RC)
    else:
        score_RC = _ratio(2.0 * hits_RC, support_RC + predicted_RC)
    if metric == "f1_weighted":
        weight_RC = support_RC
    else:
        counted_RC = support_RC if metric == "balanced_accuracy" else support_RC + predicted_RC
        weight_RC = (counted_RC > 0).astype(np.float64)
    scores: Floats = (score_RC * weight_RC).sum(axis=1) / weight_RC.sum(axis=1)
    return scores


def _above_chance(metric: str, support_RC: Floats, predicted_RC: Floats, hits_R: Floats, total: float) -> Floats:
    by_chance_R = (support_RC * predicted_RC).sum(axis=1)
    if metric == "kappa":
        most_R = total**2 - by_chance_R
    else:
        most_R = np.sqrt(np.prod([total**2 - np.square(c).sum(axis=1) for c in (support_RC, predicted_RC)], axis=0))
    return _ratio(hits_R * total - by_chance_R, most_R)


def _summed(drawn_RK: Floats, class_K: Ints, classes: int) -> Floats:
    """Add up the cells of each class."""
    place_RK = np.arange(len(drawn_RK))[:, None] * classes + class_K
    sums: Floats = np.bincount(place_RK.ravel(), drawn_RK.ravel(), len(drawn_RK) * classes).astype(np.float64)
    return sums.reshape(len(drawn_RK), classes)


def _ratio(numerator: Floats, denominator: Floats) -> Floats:
    """Divide, giving 0 where the denominator is 0."""
    return np.divide(numerator, denominator, out=np.zeros_like(numerator), where=denominator > 0)
