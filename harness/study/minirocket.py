"""MiniRocket of the package aeon (Dempster et al., 2021, arXiv:2012.08791): a ridge model on features of series.

The features are how often a series is above a bias after each of 84 convolutions of nine steps, of several spreads.
aeon is imported when they are first computed, which takes seconds, and compiles them once for each machine.
"""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any

import numpy as np
from scipy.special import softmax
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.linear_model import RidgeClassifierCV, RidgeCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from harness.extras import load_extra
from harness.problems import Estimator
from harness.records import NAN, Input

NAME = "MiniRocket"
LEAST_STEPS = 9
"""Of a convolution."""
MOST_ROWS = 5_000
"""Series up to which a ridge model is fitted, on some 10,000 features of each."""
_ALPHAS = np.logspace(-3, 3, 10)
_FEATURE_S = 4e-6
"""Seconds of a series and a step, and of a series' features in the ridge model beside it."""


class Features(TransformerMixin, BaseEstimator):
    """Makes features of series whose values lie side by side, the channels of a step together."""

    def __init__(self, steps: int, channels: int, seed: int) -> None:
        self.steps = steps
        self.channels = channels
        self.seed = seed

    def fit(self, inputs: np.ndarray, known: np.ndarray | None = None) -> Features:
        """Choose the biases by some series, (N, steps x channels); targets are not looked at."""
        del known
        module: Any = load_extra("aeon.transformations.collection.convolution_based", extra="series", use=NAME)
        self.rocket_ = module.MiniRocket(random_state=self.seed % 2**31).fit(self._series(inputs))
        return self

    def transform(self, inputs: np.ndarray) -> np.ndarray:
        """Return the features of series, float64 (N, about 10,000)."""
        return np.asarray(self.rocket_.transform(self._series(inputs)), np.float64)

    def _series(self, inputs: np.ndarray) -> np.ndarray:
        series_NCT = inputs.reshape(-1, self.steps, self.channels).swapaxes(1, 2)
        return np.ascontiguousarray(series_NCT, np.float32)


class RidgeShares(RidgeClassifierCV):
    """A ridge classifier whose scores become shares by a softmax, which orders classes as the scores do."""

    def predict_proba(self, inputs: np.ndarray) -> np.ndarray:
        """Return a share (N, classes) of each class."""
        scores = self.decision_function(inputs)
        shares: np.ndarray = softmax(np.stack([-scores, scores], axis=1) if scores.ndim == 1 else scores, axis=1)
        return shares


def minirocket(series: Input, rows: int, seed: int, *, whole: bool, classes: bool) -> Estimator:
    """Return the model for ``rows`` of such series, or why it is not fitted; ``whole``: all values are at hand."""
    steps, channels = series.sizes
    if not find_spec("aeon"):
        return Estimator(NAME, None, NAN, "skipped: it needs the package aeon: pip install 'harness-automl[series]'")
    if steps < LEAST_STEPS or not whole:
        why = f"fewer than {LEAST_STEPS} steps" if steps < LEAST_STEPS else "too many values"
        return Estimator(NAME, None, NAN, f"skipped: the series have {why}")
    ridge = RidgeShares(alphas=_ALPHAS) if classes else RidgeCV(alphas=_ALPHAS)
    model = make_pipeline(Features(steps, channels, seed), StandardScaler(with_mean=False), ridge)
    return Estimator(NAME, model, 20.0 + 2 * rows * (steps + rows) * _FEATURE_S)
