"""How the columns of a table come into a network.

Shape legend: B batch, F numeric columns, K categorical columns, E encodings, I inputs of the first layer.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from harness.records import TaskShape


class PiecewiseLinear(nn.Module):
    """Appends to numbers how far each has gone through each bin of its column: 0 before, 1 behind, linear within.

    A linear layer on top can bend and jump at every quantile, as a tree does. The first bin of a column has no lower
    end and its last one no upper end. A column with a single bin is not encoded: it says the same. Gorishniy et al.,
    2022, arXiv:2203.05556, section 3.2. Shape legend: B batch, F numeric columns, E encodings.
    """

    column: Tensor
    start: Tensor
    width: Tensor
    least: Tensor
    most: Tensor

    def __init__(self, quantiles: Sequence[Sequence[float]]) -> None:
        super().__init__()
        columns: list[int] = []
        starts: list[float] = []
        widths: list[float] = []
        lowest: list[float] = []
        highest: list[float] = []
        for column, ends in enumerate(quantiles):
            bins = len(ends) - 1
            if bins < 2:
                continue
            columns += [column] * bins
            starts += ends[:-1]
            widths += [after - before for before, after in itertools.pairwise(ends)]
            lowest += [-math.inf, *[0.0] * (bins - 1)]
            highest += [*[1.0] * (bins - 1), math.inf]
        self.columns = columns
        """Of each encoding."""
        self.encodings = len(columns)
        # They follow from the data, so they are no part of the weights.
        self.register_buffer("column", torch.tensor(columns, dtype=torch.int64), persistent=False)
        for name, values in (("start", starts), ("width", widths), ("least", lowest), ("most", highest)):
            self.register_buffer(name, torch.tensor(values, dtype=torch.float32), persistent=False)

    def forward(self, x_BF: Tensor) -> Tensor:
        """Return ``B x (F + E)``: the numbers themselves, then their encodings, column by column."""
        through_BE = (x_BF[:, self.column] - self.start) / self.width
        return torch.cat([x_BF, through_BE.clamp(self.least, self.most)], dim=1)


def embedding_width(cardinality: int) -> int:
    """Return ``min(600, round(1.6 n^0.56))``, the rule of fastai's ``emb_sz_rule`` (fastai.tabular.model)."""
    return min(600, round(1.6 * math.pow(cardinality, 0.56)))


def embedding(cardinality: int) -> nn.Embedding:
    """Return unit-variance vectors, like the standardised columns beside them; code 0 (unknown) starts neutral at 0."""
    table = nn.Embedding(cardinality, embedding_width(cardinality))
    nn.init.normal_(table.weight)
    nn.init.zeros_(table.weight.data[0])
    return table


class Columns(nn.Module):
    """Lays the numbers of a table, their encodings where these are asked for, and embedded categories side by side."""

    def __init__(self, shape: TaskShape, *, encoded: bool) -> None:
        super().__init__()
        numbers, *codes = shape.inputs
        cardinalities = [count for each in codes for count in each.cardinalities]
        self.numeric = PiecewiseLinear(numbers.quantiles) if encoded else None
        self.embeddings = nn.ModuleList(map(embedding, cardinalities))
        features = math.prod(numbers.sizes)
        self.owners = list(range(features))
        """The column of each input of the first layer, counted over numbers and categories."""
        if self.numeric is not None:
            self.owners += self.numeric.columns
        for place, cardinality in enumerate(cardinalities):
            self.owners += [features + place] * embedding_width(cardinality)

    def forward(self, x_BF: Tensor, c_BK: Tensor | None = None) -> Tensor:
        """Return ``B x I``."""
        x_BI = x_BF if self.numeric is None else self.numeric(x_BF)
        if c_BK is None:
            return x_BI
        return torch.cat([x_BI, *(embed(c_BK[:, place]) for place, embed in enumerate(self.embeddings))], dim=1)
