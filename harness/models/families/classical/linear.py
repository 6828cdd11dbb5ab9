"""``linear``: scikit-learn's logistic, ridge and quantile regression; one-hot categories.

Each quantile has weights of its own, the solution of a linear program (Koenker and Bassett, 1978).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any

import numpy as np
import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from harness.models.families.classical.answers import Answers, of_two
from harness.models.families.classical.inputs import OneHot, empty, why_not
from harness.models.family import FamilyConfig, Fitting, family
from harness.models.fitted import Fitted, Samples
from harness.records import TaskShape

ITERATIONS = 1000
"""Of L-BFGS at most; scikit-learn's 100 are not enough for some tables."""
PROGRAM = 5e8
"""Columns times the square of the rows of a linear program at most, some 5 s of it; more samples are not taken."""


class LinearConfig(FamilyConfig):
    """Parameters of ``linear``."""

    c: Annotated[float, Field(strict=True, gt=0.0)] = 1.0
    """How little the weights are shrunk: ``C`` of scikit-learn's logistic regression, 1 / ``alpha`` of its ridge, and
    of its quantile regression, which has the mean of the losses, 1 / ``alpha`` over the number of samples."""


class Linear(Fitted):
    """See the module's text; called with ``x_BCHW``, ``x_BF``, or ``x_BF, c_BK``."""

    weight: Tensor
    bias: Tensor

    def __init__(self, shape: TaskShape) -> None:
        super().__init__()
        self.columns = OneHot(shape)
        self.answers = Answers(shape)
        empty(self, "weight", 2)
        empty(self, "bias", 1)

    def forward(self, *inputs: Tensor) -> Tensor:
        """Return logarithms of probabilities, or values, ``B x outputs``."""
        if not len(self.bias):
            return self.answers.nothing(inputs[0])
        y_BR = F.linear(self.columns(*inputs), self.weight, self.bias)
        if not self.answers.of_classes:
            return self.answers(y_BR)
        return self.answers(of_two(y_BR) if len(self.bias) == 1 else F.log_softmax(y_BR, dim=1))

    def flaw(self) -> str:
        """Return what is wrong: weights of other columns, or that are no numbers."""
        if self.weight.shape != (len(self.bias), self.columns.columns) and len(self.bias):
            return f"weights of shape {tuple(self.weight.shape)} for {self.columns.columns} columns"
        if not bool(torch.isfinite(self.weight).all() and torch.isfinite(self.bias).all()):
            return "a weight is no finite number"
        return ""

    def mismatch(self) -> str:
        """Return whether there are rows of other numbers than there are classes or values."""
        fits = len(self.bias) in (0, self.answers.machines)
        return "" if fits else f"{len(self.bias)} rows of weights for {self.answers.machines}"


def fit_linear(config: LinearConfig, module: nn.Module, samples: Samples) -> Iterator[None]:
    """Fit it in one go."""
    assert isinstance(module, Linear)
    if module.answers.levels:
        samples = samples.at_most(int((PROGRAM / module.columns.columns) ** 0.5), "linear")
    inputs, targets = module.columns.fit(samples), module.answers.fit(samples)
    weights, biases = [], []
    for model in _estimators(config, module.answers, len(inputs)):
        samples.check()
        model.fit(inputs, targets, sample_weight=samples.weights)
        weights.append(np.atleast_2d(model.coef_))
        biases.append(np.atleast_1d(model.intercept_))
    module.hold(weight=torch.from_numpy(np.concatenate(weights)), bias=torch.from_numpy(np.concatenate(biases)))
    yield


def _estimators(config: LinearConfig, answers: Answers, samples: int) -> list[Any]:
    from sklearn.linear_model import LogisticRegression, QuantileRegressor, Ridge

    if answers.of_classes:
        return [LogisticRegression(C=config.c, max_iter=ITERATIONS)]
    if answers.levels:
        return [QuantileRegressor(quantile=level, alpha=1.0 / (config.c * samples)) for level in answers.levels]
    return [Ridge(alpha=1.0 / config.c)]


@family(
    "linear",
    summary="scikit-learn's logistic, ridge or quantile regression, for tables and flattened images",
    config=LinearConfig,
    why_not=why_not,
    fitting=Fitting(fit_linear),
)
def build_linear(config: LinearConfig, shape: TaskShape) -> nn.Module:
    """Return the module that holds the weights once they are fitted."""
    del config
    return Linear(shape)
