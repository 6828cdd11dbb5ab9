"""scikit-learn's models of one quantile, fitted to several."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, RegressorMixin, clone


class EachQuantile(RegressorMixin, BaseEstimator):
    """A model for each level, whose predictions are put in order.

    ``model`` is any that takes a ``quantile``; where ``rows`` are given it is fitted on so many at most, evenly spaced.
    """

    def __init__(self, model: Any, levels: Sequence[float], rows: int | None = None) -> None:
        self.model = model
        self.levels = levels
        self.rows = rows

    def fit(self, inputs: NDArray[Any], values: NDArray[Any]) -> EachQuantile:
        """Fit the model to ``N`` values once for each level."""
        if self.rows is not None and self.rows < len(values):
            places = np.linspace(0, len(values) - 1, self.rows).astype(np.int64)
            inputs, values = inputs[places], values[places]
        self.models_ = [clone(self.model).set_params(quantile=level).fit(inputs, values) for level in self.levels]
        return self

    def predict(self, inputs: NDArray[Any]) -> NDArray[np.float64]:
        """Return ``N x Q``, which ascend."""
        quantiles: NDArray[np.float64] = np.sort(
            np.column_stack([model.predict(inputs) for model in self.models_]), axis=1
        )
        return quantiles
