"""``nearest_neighbours``: scikit-learn's k nearest neighbours by Euclidean distance; categories are one-hot.

The samples are the model: it is as large as they are, and its file holds them.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Literal

import numpy as np
import torch
from pydantic import Field
from torch import Tensor, nn

from harness.models.families.classical.answers import Answers, quantiles_of
from harness.models.families.classical.inputs import OneHot, empty, why_not, wide
from harness.models.family import FamilyConfig, Fitting, family
from harness.models.fitted import Fitted, Samples
from harness.records import TaskShape

TINY = 1e-12
"""In place of a distance of 0, so that a sample that is known decides by itself."""


class NeighboursConfig(FamilyConfig):
    """Parameters of ``nearest_neighbours``: scikit-learn's, with its defaults."""

    n_neighbors: Annotated[int, Field(strict=True, ge=1, le=10_000)] = 5
    """Samples that vote, or whose mean or quantiles are taken; all where there are fewer."""
    weights: Literal["uniform", "distance"] = "uniform"
    """How much each counts: all alike, or one over its distance."""


class Neighbours(Fitted):
    """See the module's text; called with ``x_BCHW``, ``x_BF``, or ``x_BF, c_BK``."""

    samples: Tensor
    values: Tensor

    def __init__(self, config: NeighboursConfig, shape: TaskShape) -> None:
        super().__init__()
        self._config = config
        self.columns = OneHot(shape)
        self.answers = Answers(shape)
        empty(self, "samples", 2)
        empty(self, "values", 2)

    def forward(self, *inputs: Tensor) -> Tensor:
        """Return logarithms of probabilities, or values, ``B x outputs``."""
        if not len(self.samples):
            return self.answers.nothing(inputs[0])
        squared_BN = squared_distances(self.columns(*inputs), self.samples)
        squared_BK, near_BK = squared_BN.topk(min(self._config.n_neighbors, len(self.samples)), largest=False)
        values_BKV = wide(self.values[near_BK])
        by_distance = self._config.weights == "distance"
        counts_BK = squared_BK.sqrt().clamp(min=TINY).reciprocal() if by_distance else torch.ones_like(squared_BK)
        if levels := self.answers.levels:
            return self.answers(quantiles_of(values_BKV[:, :, 0], counts_BK, levels))
        sums_BV = (values_BKV * counts_BK[:, :, None]).sum(dim=1)
        if self.answers.of_classes:
            return self.answers((sums_BV / sums_BV.sum(dim=1, keepdim=True)).log())
        return self.answers(sums_BV / counts_BK.sum(dim=1, keepdim=True))

    def flaw(self) -> str:
        """Return what is wrong: samples of other columns, or that are no numbers."""
        shapes = (self.samples.shape[1], self.values.shape) if len(self.samples) else None
        if shapes and shapes != (self.columns.columns, (len(self.samples), self.values.shape[1])):
            return f"samples of {self.samples.shape[1]} columns, not {self.columns.columns}, or without values"
        if not bool(torch.isfinite(self.samples).all() and torch.isfinite(self.values).all()):
            return "a number of its samples is not finite"
        return ""

    def mismatch(self) -> str:
        """Return whether samples have other numbers of values than there are classes or values."""
        values = self.values.shape[1]
        fits = not len(self.samples) or values == self.answers.seen
        return "" if fits else f"samples of {values} values for {self.answers.seen}"


def squared_distances(x_BI: Tensor, samples_NI: Tensor) -> Tensor:
    """Return the squared Euclidean distance of each to each, ``B x N``."""
    x_BI, samples_NI = wide(x_BI), wide(samples_NI)
    squared_BN = x_BI.square().sum(dim=1)[:, None] + samples_NI.square().sum(dim=1) - 2.0 * x_BI @ samples_NI.T
    return squared_BN.clamp(min=0.0)


def fit_neighbours(config: NeighboursConfig, module: nn.Module, samples: Samples) -> Iterator[None]:
    """Take the samples; the vote of each counts as its class does."""
    del config
    assert isinstance(module, Neighbours)
    inputs, targets = module.columns.fit(samples), module.answers.fit(samples)
    values = targets.reshape(len(inputs), -1)
    if module.answers.of_classes:
        weights = np.ones(len(inputs)) if samples.weights is None else samples.weights
        values = (values == module.answers.classes.cpu().numpy()) * weights[:, None]
    module.hold(samples=torch.from_numpy(inputs), values=torch.from_numpy(values))
    yield


@family(
    "nearest_neighbours",
    summary="the k nearest samples, for tables and flattened images",
    config=NeighboursConfig,
    why_not=why_not,
    fitting=Fitting(fit_neighbours),
)
def build_neighbours(config: NeighboursConfig, shape: TaskShape) -> nn.Module:
    """Return the module that holds the samples once it is fitted."""
    return Neighbours(config, shape)
