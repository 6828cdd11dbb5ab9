"""How the columns of a table come into a network.

Shape legend: B batch, F numeric columns, K categorical columns, E encodings, H waves of a number, C combinations of
them, I inputs of the first layer.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from harness.records import Input, TaskShape

Numeric = Literal["plain", "piecewise_linear", "periodic"]
"""How numbers come in: as they are, or with encodings beside them."""

FREQUENCIES = 16
COMBINATIONS = 8
"""Of the waves of a number, in a periodic encoding."""
SIGMA = 0.1
"""Standard deviation of frequencies at first, in periods for each standard deviation of a column; Holzmueller et al.,
2024, arXiv:2407.04491, found it over many tables."""


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


class Waves(nn.Module):
    """Combinations of waves of each number, whose frequencies are learned; each column has a linear layer of its own.

    With ``phases`` there is a cosine of each frequency, whose phase is learned as well, else its cosine and its sine.
    Gorishniy et al., 2022, arXiv:2203.05556, section 3.3; with phases Holzmueller et al., 2024, arXiv:2407.04491.
    """

    def __init__(self, features: int, *, combinations: int, phases: bool) -> None:
        super().__init__()
        waves = FREQUENCIES if phases else 2 * FREQUENCIES
        bound = waves**-0.5
        # Three dimensions: none of these is a matrix, each column has its own.
        self.frequency = nn.Parameter(SIGMA * torch.randn(features, 1, FREQUENCIES))
        self.phase = nn.Parameter(math.pi * (2.0 * torch.rand(features, 1, FREQUENCIES) - 1.0)) if phases else None
        self.weight = nn.Parameter(bound * (2.0 * torch.rand(features, waves, combinations) - 1.0))
        self.bias = nn.Parameter(bound * (2.0 * torch.rand(features, 1, combinations) - 1.0))

    def combined(self, x_BF: Tensor) -> Tensor:
        """Return ``F x B x C``."""
        angles_FBH = 2.0 * math.pi * x_BF.T.unsqueeze(2) * self.frequency
        if self.phase is None:
            waves_FBH = torch.cat([angles_FBH.cos(), angles_FBH.sin()], dim=2)
        else:
            waves_FBH = torch.cos(angles_FBH + self.phase)
        return torch.matmul(waves_FBH, self.weight) + self.bias


class Periodic(Waves):
    """Appends to numbers what is above 0 of combinations of their waves (PLR in arXiv:2203.05556, there without them).

    Standing beside its encoding, as with the other encodings, a number still has a straight way through.
    """

    def __init__(self, features: int) -> None:
        super().__init__(features, combinations=COMBINATIONS, phases=False)
        self.columns = [column for column in range(features) for _ in range(COMBINATIONS)]
        """Of each encoding."""
        self.encodings = len(self.columns)

    def forward(self, x_BF: Tensor) -> Tensor:
        """Return ``B x (F + E)``: the numbers themselves, then their encodings, column by column."""
        beside_FBC = self.combined(x_BF).relu()
        return torch.cat([x_BF, beside_FBC.transpose(0, 1).flatten(1)], dim=1)


def encoder(kind: Numeric, numbers: Input) -> PiecewiseLinear | Periodic | None:
    """Return what sets encodings beside the numbers of a table; None where they come in as they are."""
    if kind == "piecewise_linear":
        return PiecewiseLinear(numbers.quantiles)
    features = math.prod(numbers.sizes)
    return Periodic(features) if kind == "periodic" and features else None


def undecayed(model: nn.Module) -> dict[str, tuple[float, float]]:
    """Return the factors of rate and decay of frequencies and biases of periodic encodings, which are no weights."""
    return {
        f"{name}.{own}": (1.0, 0.0)
        for name, module in model.named_modules()
        if isinstance(module, Periodic)
        for own in ("frequency", "bias")
    }


def offsets(cardinalities: Sequence[int]) -> list[int]:
    """Return where the codes of each column begin if those of all columns are numbered one after the other.

    >>> offsets([3, 2, 4])
    [0, 3, 5]
    """
    return list(itertools.accumulate(cardinalities, initial=0))[:-1]


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

    def __init__(self, shape: TaskShape, numeric: Numeric) -> None:
        super().__init__()
        numbers, *codes = shape.inputs
        cardinalities = [count for each in codes for count in each.cardinalities]
        self.numeric = encoder(numeric, numbers)
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
