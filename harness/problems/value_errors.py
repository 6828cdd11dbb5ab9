"""How far scores of values may be off: the losses of single samples, and standard errors.

Standard errors are those of a mean for absolute errors, by the delta method from that of the mean squared error for
RMSE, and bootstrapped over the samples (Efron, 1979) from a seed for R².

Shape legend: N samples, V values to predict.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.problems.label_errors import RESAMPLES, Floats
from harness.statistics import mean_error

LOSSES: Mapping[str, Callable[[Floats], Floats]] = {
    "mae": np.abs,
    "mse": np.square,
    # Quadratic up to an error of 1, linear beyond, as torch's default.
    "huber": lambda errors: np.where(np.abs(errors) <= 1.0, 0.5 * np.square(errors), np.abs(errors) - 0.5),
}


def losses(answers: NDArray[np.floating], targets: NDArray[Any], *, loss: str, scale: Sequence[float]) -> Floats:
    """Return the squared (``mse``) or Huber (``huber``, delta 1) error of each sample, each value over its scale."""
    unit_V = np.array([unit if unit > 0.0 else 1.0 for unit in scale])
    losses_NV = LOSSES[loss]((columns(answers) - columns(targets)) / unit_V)
    means_N: Floats = losses_NV.mean(axis=1)
    return means_N


def standard_error(metric: str, targets: NDArray[Any], answers: NDArray[np.floating], seed: int) -> float | None:
    """Return the standard error of ``rmse``, ``mae`` or ``r2``; None for the others."""
    targets_NV = columns(targets)
    errors_NV = columns(answers) - targets_NV
    if metric == "mae":
        return mean_error(np.abs(errors_NV).mean(axis=1))
    if metric == "rmse":
        return mean_error(_pull_on_root(errors_NV).mean(axis=1))
    if metric == "r2":
        return float(np.std(list(_resampled_r2(errors_NV, targets_NV, seed)), ddof=1))
    return None


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


def columns(values: NDArray[Any]) -> Floats:
    """Return ``N x V`` in float64."""
    return values.astype(np.float64).reshape(len(values), -1)
