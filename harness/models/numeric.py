"""Numbers as models take them more easily: encoded piece by piece.

Shape legend: B batch, F numeric columns, E encodings.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn


class PiecewiseLinear(nn.Module):
    """Appends to numbers how far each has gone through each bin of its column: 0 before, 1 behind, linear within.

    A linear layer on top can bend and jump at every quantile, as a tree does. The first bin of a column has no lower
    end and its last one no upper end. A column with a single bin is not encoded: it says the same. Gorishniy et al.,
    2022, arXiv:2203.05556, section 3.2.
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
        self.encodings = len(columns)
        # They follow from the data, so they are no part of the weights.
        self.register_buffer("column", torch.tensor(columns, dtype=torch.int64), persistent=False)
        for name, values in (("start", starts), ("width", widths), ("least", lowest), ("most", highest)):
            self.register_buffer(name, torch.tensor(values, dtype=torch.float32), persistent=False)

    def forward(self, x_BF: Tensor) -> Tensor:
        """Return ``B x (F + E)``: the numbers themselves, then their encodings, column by column."""
        through_BE = (x_BF[:, self.column] - self.start) / self.width
        return torch.cat([x_BF, through_BE.clamp(self.least, self.most)], dim=1)
