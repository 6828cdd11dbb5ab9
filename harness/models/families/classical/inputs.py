"""What of a task's inputs these families see, for scikit-learn and for torch alike.

Shape legend: B batch, F numbers or pixels, K categorical columns, W columns of one-hot categories, I = F + W.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from harness.models.family import takes
from harness.models.fitted import Fitted, Samples
from harness.models.tables import offsets
from harness.problems import problems
from harness.records import InputKind, TaskKind, TaskShape

Floats = NDArray[np.float64]

CATEGORIES = 20
"""Most columns that one category becomes; the rarer categories share one."""

_takes = takes((InputKind.IMAGE,), (InputKind.NUMERIC,), (InputKind.NUMERIC, InputKind.CATEGORICAL))


def of_kinds(*kinds: TaskKind) -> Callable[[TaskShape], str]:
    """Return the ``why_not`` of a model for tasks of these kinds, of tables and of images."""
    *others, last = kinds

    def why_not(shape: TaskShape) -> str:
        if shape.kind not in kinds:
            return f"is for {', '.join(others)} and {last}, the task is {shape.kind}"
        return _takes(shape)

    return why_not


why_not = of_kinds(TaskKind.CLASSIFICATION, TaskKind.REGRESSION, TaskKind.QUANTILE_REGRESSION)


def has_classes(shape: TaskShape) -> bool:
    """Tell whether classes are predicted, not values."""
    return problems[shape.kind].classes


def columns_of(shape: TaskShape) -> tuple[int, tuple[int, ...]]:
    """Return how many numbers or pixels a sample has, and the cardinality of each categorical column."""
    codes = shape.find(InputKind.CATEGORICAL)
    return math.prod(shape.inputs[0].sizes), codes.cardinalities if codes else ()


class OneHot(Fitted):
    """Lays numbers, or the pixels of an image, beside one-hot categories."""

    places: Tensor
    offsets: Tensor

    def __init__(self, shape: TaskShape) -> None:
        super().__init__()
        self.numbers, self._cardinalities = columns_of(shape)
        widths = [min(count, CATEGORIES) for count in self._cardinalities]
        self.width = sum(widths)
        """Columns that the categories become."""
        self._starts = list(itertools.accumulate(widths, initial=0))
        self.register_buffer("places", self._in_order(), persistent=True)
        self.register_buffer("offsets", torch.tensor(offsets(self._cardinalities), dtype=torch.int64), persistent=False)

    @property
    def columns(self) -> int:
        """All columns, I."""
        return self.numbers + self.width

    def fit(self, samples: Samples) -> Floats:
        """Give the commonest categories of each column one of their own; return the columns of the samples."""
        if self.width:
            places = self._in_order()
            for column, count in enumerate(self._cardinalities):
                if count > CATEGORIES:
                    seen = np.bincount(samples.inputs[1][:, column].numpy(), minlength=count)
                    ranks = np.argsort(np.argsort(-seen, kind="stable"), kind="stable")
                    own = torch.from_numpy(np.minimum(ranks, CATEGORIES - 1)) + self._starts[column]
                    places[int(self.offsets[column]) :][:count] = own
            self.hold(places=places)
        with torch.no_grad():
            columns: Floats = self(*(x.to(self.places.device) for x in samples.inputs)).cpu().double().numpy()
        return columns

    def forward(self, x: Tensor, c_BK: Tensor | None = None) -> Tensor:
        """Return ``B x I``."""
        x_BF = x.flatten(1)
        if c_BK is None:
            return x_BF
        hot_BW = x_BF.new_zeros(x_BF.shape[0], self.width)
        hot_BW = hot_BW.scatter(1, self.places[c_BK + self.offsets], 1.0)
        return torch.cat([x_BF, hot_BW], dim=1)

    def flaw(self) -> str:
        """Return what is wrong: a place beyond the columns, or of another number of categories."""
        if len(self.places) != sum(self._cardinalities):
            return f"{len(self.places)} categories, not {sum(self._cardinalities)}"
        if self.width and not 0 <= int(self.places.min()) <= int(self.places.max()) < self.width:
            return "a category has no column"
        return ""

    def _in_order(self) -> Tensor:
        """Return the column of each category where each column has one for each, up to the most."""
        return torch.cat(
            [
                torch.zeros(0, dtype=torch.int64),
                *(
                    torch.arange(count).clamp(max=CATEGORIES - 1) + start
                    for start, count in zip(self._starts, self._cardinalities, strict=False)
                ),
            ]
        )


def wide(x: Tensor) -> Tensor:
    """Return it in float64, in which scikit-learn computes, where the device has that: MPS has not."""
    return x if x.device.type == "mps" else x.double()


def empty(module: nn.Module, name: str, dimensions: int, dtype: torch.dtype = torch.float32) -> None:
    """Register a buffer that a fit fills."""
    module.register_buffer(name, torch.zeros((0,) * dimensions, dtype=dtype))
