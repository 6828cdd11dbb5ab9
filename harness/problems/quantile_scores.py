"""Scores of quantiles from all answers of a part at once, and their columns in tables of predictions.

Shape legend: N samples, Q quantiles; what stands between the two are values of one sample.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

PREFIX = "quantile_"
"""What the columns of predictions begin with that hold quantiles; behind it stands the level."""
MEDIAN = 0.5


def middle_of(levels: Sequence[float]) -> int:
    """Return the place of the median, or of the quantile next to it, the lower one of two.

    >>> middle_of((0.1, 0.5, 0.8, 0.9)), middle_of((0.9,)), middle_of((0.25, 0.75))
    (1, 0, 0)
    """
    return min(range(len(levels)), key=lambda place: (abs(levels[place] - MEDIAN), place))


def undefined(metric: str, levels: Sequence[float]) -> str:
    """Say why a metric has no value of such quantiles; "" where it has one.

    >>> undefined("rmse", (0.1, 0.9))
    'it is of the median, and 0.5 is not among the quantiles'
    """
    if metric in ("rmse", "mae") and MEDIAN not in levels:
        return "it is of the median, and 0.5 is not among the quantiles"
    if metric in ("coverage", "interval_width") and len(levels) < 2:
        return "it is of the lowest and the highest quantile, and there is only one"
    return ""


def pinballs(values: NDArray[Any], quantiles: NDArray[np.floating], levels: Sequence[float]) -> Floats:
    """Return the pinball loss of each sample, the mean over its quantiles (Koenker and Bassett, 1978).

    >>> pinballs(np.array([3.0]), np.array([[1.0, 4.0]]), (0.25, 0.75)).tolist()
    [0.375]
    """
    errors, shares = quantiles.astype(np.float64) - values[..., None], np.array(levels)
    return _of_samples(np.maximum(-shares * errors, (1.0 - shares) * errors))


def covered(values: NDArray[Any], quantiles: NDArray[np.floating], levels: Sequence[float]) -> Floats:
    """Return the share of each sample's values that lie between the lowest and the highest quantile."""
    del levels
    return _of_samples((quantiles[..., 0] <= values) & (values <= quantiles[..., -1]))


def widths(values: NDArray[Any], quantiles: NDArray[np.floating], levels: Sequence[float]) -> Floats:
    """Return how far the lowest and the highest quantile of each sample are apart."""
    del values, levels
    return _of_samples(quantiles[..., -1].astype(np.float64) - quantiles[..., 0])


METRICS: Mapping[str, Callable[[NDArray[Any], NDArray[np.floating], Sequence[float]], Floats]] = {
    "pinball": pinballs,
    "coverage": covered,
    "interval_width": widths,
}
"""What is measured of each sample, by the name of the metric that is its mean."""


def quantile_columns(quantiles: NDArray[np.floating], levels: Sequence[float]) -> dict[str, NDArray[np.floating]]:
    """Return a column for each level of ``N x Q`` quantiles.

    >>> list(quantile_columns(np.zeros((1, 2)), (0.1, 0.95)))
    ['quantile_0.1', 'quantile_0.95']
    """
    return {f"{PREFIX}{level}": quantiles[:, place] for place, level in enumerate(levels)}


def levels_in(columns: Iterable[str]) -> tuple[float, ...]:
    """Return the levels of the columns of quantiles; none where there are no such columns."""
    return tuple(float(name.removeprefix(PREFIX)) for name in columns if name.startswith(PREFIX))


def _of_samples(measured: NDArray[Any]) -> Floats:
    means: Floats = measured.reshape(len(measured), -1).mean(axis=1, dtype=np.float64)
    return means
