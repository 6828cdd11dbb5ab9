"""The kinds of problems that can be trained: one entry each, which everything else asks.

A new one is a file with a subclass of :class:`Problem`, and its line below.
"""

from __future__ import annotations

from collections.abc import Mapping

from harness.problems.baselines import Baselines, Estimator
from harness.problems.classification import Classification
from harness.problems.forecasting import Forecasting, QuantileForecasting
from harness.problems.multilabel import MultiLabel
from harness.problems.ordinal import Ordinal
from harness.problems.problem import (
    LOSS,
    Criterion,
    Doubt,
    Interval,
    LossOptions,
    Metric,
    Problem,
    Qualities,
    Quality,
    Seen,
    StackedCriterion,
    Undefined,
    problem_of,
    problems,
)
from harness.problems.quantile_regression import QuantileRegression
from harness.problems.regression import Regression

problems.add("classification", Classification())
problems.add("regression", Regression())
problems.add("multilabel", MultiLabel())
problems.add("ordinal", Ordinal())
problems.add("forecasting", Forecasting())
problems.add("quantile-forecasting", QuantileForecasting())
problems.add("quantile-regression", QuantileRegression())


def known_metrics() -> Mapping[str, Metric]:
    """Return the metrics of all problems by name, the loss among them."""
    own = {metric.name: metric for problem in problems.values() for metric in problem.metrics}
    return {LOSS: Metric(LOSS, maximize=False, summed=True), **own}


def known_losses() -> tuple[str, ...]:
    """Return the names that a loss may have, ``auto`` first."""
    return tuple(dict.fromkeys(["auto", *(loss for problem in problems.values() for loss in problem.losses)]))


__all__ = [
    "LOSS",
    "Baselines",
    "Criterion",
    "Doubt",
    "Estimator",
    "Interval",
    "LossOptions",
    "Metric",
    "Problem",
    "Qualities",
    "Quality",
    "Seen",
    "StackedCriterion",
    "Undefined",
    "known_losses",
    "known_metrics",
    "problem_of",
    "problems",
]
