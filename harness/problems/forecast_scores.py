"""Scores of forecasts from all answers of a part at once; see :mod:`harness.problems.forecasting` for their targets.

MASE: Hyndman and Koehler, 2006, Another look at measures of forecast accuracy. sMAPE: as in the M4 competition
(Makridakis et al., 2020), as a share between 0 and 2.

Shape legend: N samples, H steps ahead, Q quantiles.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.problems.problem import Undefined
from harness.problems.quantile_scores import METRICS, pinballs
from harness.problems.value_errors import LOSSES
from harness.statistics import mean_error

Floats = NDArray[np.float64]


def middle(answers: NDArray[np.floating]) -> NDArray[np.floating]:
    """Return ``N x H`` values: of ``N x H x Q`` quantiles, which have the median among them, that.

    It stands in the middle of those of the same distance, which the reader of the task sees to by their number.
    """
    return answers if answers.ndim == 2 else answers[:, :, answers.shape[2] // 2]


def mase(targets: NDArray[Any], answers: NDArray[np.floating]) -> Floats:
    """Return of each sample the mean absolute error over that of the seasonal naive forecast."""
    each: Floats = np.abs(middle(answers) - targets[:, :-1]).mean(axis=1) / targets[:, -1]
    return each


def smape(targets: NDArray[Any], answers: NDArray[np.floating]) -> Floats:
    """Return of each sample the mean of ``2 |error| / (|value| + |answer|)``, 0 where all is 0."""
    values, said = targets[:, :-1].astype(np.float64), middle(answers)
    sizes = np.abs(values) + np.abs(said)
    shares = np.divide(2.0 * np.abs(said - values), sizes, out=np.zeros(values.shape), where=sizes > 0)
    means: Floats = shares.mean(axis=1)
    return means


def mae(targets: NDArray[Any], answers: NDArray[np.floating]) -> Floats:
    """Return the mean absolute error of each sample."""
    errors: Floats = np.abs(middle(answers) - targets[:, :-1]).mean(axis=1)
    return errors


_MEANS: Mapping[str, Callable[[NDArray[Any], NDArray[np.floating]], Floats]] = {
    "mase": mase,
    "smape": smape,
    "mae": mae,
}


def score(metric: str, targets: NDArray[Any], answers: NDArray[np.floating], levels: Sequence[float] = ()) -> float:
    """Return a metric, both arguments in the targets' own units; ``levels`` are those of quantiles.

    Raises :class:`Undefined` for a metric of quantiles where there are none.
    """
    if metric == "rmse":
        return float(np.sqrt(np.square(middle(answers) - targets[:, :-1]).mean()))
    return float(_of_samples(metric, targets, answers, levels).mean())


def standard_error(
    metric: str, targets: NDArray[Any], answers: NDArray[np.floating], levels: Sequence[float] = ()
) -> float | None:
    """Return the standard error of a mean over samples; None for the others."""
    return None if metric == "rmse" else mean_error(_of_samples(metric, targets, answers, levels))


def _of_samples(metric: str, targets: NDArray[Any], answers: NDArray[np.floating], levels: Sequence[float]) -> Floats:
    if metric in _MEANS:
        return _MEANS[metric](targets, answers)
    if answers.ndim == 2:
        raise Undefined("it is of quantiles, and this forecast has none")
    return METRICS[metric](targets[:, :-1], answers, levels)


def losses(
    answers: NDArray[np.floating],
    targets: NDArray[Any],
    *,
    loss: str,
    scale: Sequence[float],
    levels: Sequence[float] = (),
) -> NDArray[np.float64]:
    """Return the loss of each sample; both arguments in the units that are learned.

    Values without quantiles stand for all of these, which are as many below the median as above.
    """
    unit = targets[:, -1:] if scale[-1] else np.array(scale[:-1])
    if answers.ndim == 3:
        return pinballs(targets[:, :-1] / unit, answers / unit[..., None], levels)
    errors = (answers - targets[:, :-1]) / unit
    errors = 0.5 * np.abs(errors) if loss == "pinball" else LOSSES[loss](errors)
    means: Floats = errors.mean(axis=1)
    return means
