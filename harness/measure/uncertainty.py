"""How far a score on a sample of the data may be off: its standard error.

Where there is a closed form it is taken: for accuracy the binomial one with two hits and two misses added (Agresti and
Coull, 1998), since a few hundred samples that are all told right do not make sure of the next; the standard error of a
mean for losses and absolute errors, and for RMSE that of the mean squared error by the delta method. The others are
bootstrapped over the samples (Efron, 1979), from a seed, so that the same predictions have the same error; where every
resample scores the same, they have that of accuracy.

Shape legend: N samples, V values to predict, C classes, K non-empty cells of the confusion matrix, R resamples.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from harness.records import LABEL_METRICS, VALUE_METRICS, Figures

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

NAME = "value_se"
"""The figure's name."""

RESAMPLES = 200
"""Of a bootstrap: the error is then itself known to 5 % (1 / sqrt(2 R))."""

_SMALLEST = float(np.finfo(np.float32).tiny)
"""In place of probabilities that have become 0 in float32."""


def standard_error(
    metric: str,
    outputs: NDArray[np.floating],
    targets: NDArray[np.generic],
    *,
    seed: int,
    loss: str,
    scale: Sequence[float] = (1.0,),
) -> Figures:
    """Return the standard error of ``metric``, as the figure ``value_se``; NaN with a reason where it has none.

    ``outputs`` are ``N x C`` probabilities, or ``N`` or ``N x V`` values in the targets' units. The metric ``loss``
    needs the name of the plain ``loss`` (``cross_entropy``, ``binary``, ``mse`` or ``huber``), and of values the
    ``scale`` by which each was divided.
    """
    samples = len(targets)
    if samples < 2:
        return Figures.missing("one validation sample has no standard error", NAME)
    if not np.isfinite(outputs).all():
        return Figures.missing("the standard error is not known: a prediction is not finite", NAME)
    if metric in LABEL_METRICS:
        error = _label_error(metric, outputs.argmax(axis=1), targets.astype(np.int64), seed)
    elif metric in VALUE_METRICS:
        error = _value_error(metric, _columns(outputs), _columns(targets), seed)
    elif metric == "loss":
        error = _of_mean(losses_per_sample(outputs, targets, loss=loss, scale=scale))
    else:
        return Figures.missing(f"no standard error is known of {metric}", NAME)
    return Figures({NAME: error})


def losses_per_sample(
    outputs: NDArray[np.floating], targets: NDArray[np.generic], *, loss: str, scale: Sequence[float] = (1.0,)
) -> Floats:
    """Return the plain loss of each sample in float64.

    Of ``N x C`` probabilities the negative logarithm of the target's; of ``N`` or ``N x V`` values the squared
    (``mse``) or Huber (``huber``, delta 1) error over its ``scale``, the standard deviation of the training targets.
    """
    if loss in _LOSSES:
        unit_V = np.array([unit if unit > 0.0 else 1.0 for unit in scale])
        losses_NV = _LOSSES[loss]((_columns(outputs) - _columns(targets)) / unit_V)
        means_N: Floats = losses_NV.mean(axis=1)
        return means_N
    return -log_probabilities(outputs[np.arange(len(targets)), targets.astype(np.int64)])


def log_probabilities(probabilities: NDArray[np.floating]) -> Floats:
    """Return the logarithms in float64; what float32 has rounded to 0 counts as the least that it can hold."""
    logarithms: Floats = np.log(np.maximum(probabilities.astype(np.float64), _SMALLEST))
    return logarithms


def _label_error(metric: str, predicted_N: Ints, targets_N: Ints, seed: int) -> float:
    samples = len(targets_N) + 4
    accuracy = (np.count_nonzero(predicted_N == targets_N) + 2) / samples
    of_accuracy = math.sqrt(accuracy * (1.0 - accuracy) / samples)
    if metric == "accuracy":
        return of_accuracy
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
    if metric == "precision_macro":
        score_RC = _ratio(hits_RC, predicted_RC)
    elif metric == "recall_macro":
        score_RC = _ratio(hits_RC, support_RC)
    else:
        score_RC = _ratio(2.0 * hits_RC, support_RC + predicted_RC)
    weight_RC = support_RC if metric == "f1_weighted" else (support_RC + predicted_RC > 0).astype(np.float64)
    scores: Floats = (score_RC * weight_RC).sum(axis=1) / weight_RC.sum(axis=1)
    return scores


def _summed(drawn_RK: Floats, class_K: Ints, classes: int) -> Floats:
    """Add up the cells of each class."""
    place_RK = np.arange(len(drawn_RK))[:, None] * classes + class_K
    sums: Floats = np.bincount(place_RK.ravel(), drawn_RK.ravel(), len(drawn_RK) * classes).astype(np.float64)
    return sums.reshape(len(drawn_RK), classes)


def _ratio(numerator: Floats, denominator: Floats) -> Floats:
    """Divide, giving 0 where the denominator is 0."""
    return np.divide(numerator, denominator, out=np.zeros_like(numerator), where=denominator > 0)


def _value_error(metric: str, outputs_NV: Floats, targets_NV: Floats, seed: int) -> float:
    errors_NV = outputs_NV - targets_NV
    closed: Mapping[str, Callable[[], Floats]] = {
        "mae": lambda: np.abs(errors_NV),
        "rmse": lambda: _pull_on_root(errors_NV),
    }
    if metric in closed:
        return _of_mean(closed[metric]().mean(axis=1))
    return float(np.std(list(_resampled_r2(errors_NV, targets_NV, seed)), ddof=1))


def _pull_on_root(errors_NV: Floats) -> Floats:
    """Return each sample's part in the root of the mean square, to first order: its square over twice the root."""
    squares_NV = np.square(errors_NV)
    root_V = np.sqrt(squares_NV.mean(axis=0))
    parts_NV: Floats = np.divide(squares_NV, 2.0 * root_V, out=np.zeros_like(squares_NV), where=root_V > 0)
    return parts_NV


def _resampled_r2(errors_NV: Floats, targets_NV: Floats, seed: int) -> Iterator[float]:
    """Yield R² of every resample; of targets that are all equal it is 1 if exact, else 0."""
    generator = np.random.default_rng(seed)
    squares_NV, centred_NV = np.square(errors_NV), targets_NV - targets_NV.mean(axis=0)
    for _ in range(RESAMPLES):
        drawn = generator.integers(0, len(targets_NV), len(targets_NV))
        unexplained_V = squares_NV[drawn].mean(axis=0)
        variance_V = centred_NV[drawn].var(axis=0)
        share_V = np.divide(unexplained_V, variance_V, out=np.sign(unexplained_V), where=variance_V > 0)
        yield float((1.0 - share_V).mean())


_LOSSES: Mapping[str, Callable[[Floats], Floats]] = {
    "mse": np.square,
    # Quadratic up to an error of 1, linear beyond, as torch's default.
    "huber": lambda errors: np.where(np.abs(errors) <= 1.0, 0.5 * np.square(errors), np.abs(errors) - 0.5),
}


def _of_mean(parts_N: NDArray[np.floating]) -> float:
    return float(np.std(parts_N.astype(np.float64), ddof=1) / math.sqrt(len(parts_N)))


def _columns(values: NDArray[np.generic]) -> Floats:
    """Return ``N x V`` in float64."""
    return values.astype(np.float64).reshape(len(values), -1)
