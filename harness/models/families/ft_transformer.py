"""``ft_transformer``: a transformer over the columns of a table (Gorishniy et al., 2021, arXiv:2106.11959).

Each column becomes a token: of numbers, the number times a vector of the column; of categories, a vector of each; and a
bias of the column. A class token stands in front of them, and ``depth`` blocks of :mod:`harness.models.transformers`
follow, the first without its first norm. At the end the class token goes through a norm and the activation into a
linear layer. Tokens do not decay. The code of a category that is missing or unknown starts at 0.

The defaults are the paper's: 3 blocks of width 192 with 8 heads and 256 hidden units of ``reglu``, dropout of 0.2 in
attention and of 0.1 in the hidden layer; it trains with ``adamw`` at 1e-4 and a decay of 1e-5. A sample takes as many
times the work of a block as the table has columns, and one more.

Shape legend: B batch, F numeric columns, K categorical columns, N tokens, D width.
"""

from __future__ import annotations

import math
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor, nn

from harness.models.family import FamilyConfig, family, takes
from harness.models.layers import ACTIVATIONS, Dropout, initialise
from harness.models.tables import offsets
from harness.models.transformers import UNGATED, Block, BlockActivation, TransformerConfig
from harness.records import InputKind, TaskShape


class FTTransformerConfig(FamilyConfig):
    """Parameters of ``ft_transformer``; the width of the network is ``heads`` x ``head_width``."""

    depth: Annotated[int, Field(strict=True, ge=1, le=16)] = 3
    """Number of blocks."""
    heads: Annotated[int, Field(strict=True, ge=1, le=64)] = 8
    """Heads of each attention."""
    head_width: Annotated[int, Field(strict=True, ge=4, le=256, multiple_of=4)] = 24
    """Width of each head, a multiple of 4."""
    expansion: Annotated[int, Field(strict=True, ge=1, le=8)] = 2
    """Units of a block's hidden layer over the width; with a gate two thirds of them, which takes as many weights."""
    activation: BlockActivation = "reglu"
    """Non-linearity of the blocks; in front of the last layer it has no gate."""
    attention_dropout: Dropout = 0.2
    """Share of the weights of attention set to zero in training."""
    ffn_dropout: Dropout = 0.1
    """Share of the hidden activations of every block set to zero in training."""
    dropout: Dropout = 0.0
    """Share of the activations set to zero in training at the end of every branch."""

    def blocks(self) -> TransformerConfig:
        """Return the part that all transformers have."""
        return TransformerConfig.model_validate(self.model_dump(include=set(TransformerConfig.model_fields)))


class Tokens(nn.Module):
    """Makes a token of each column of a table, behind the class token."""

    offsets: Tensor

    def __init__(self, shape: TaskShape, width: int) -> None:
        super().__init__()
        numbers, *codes = shape.inputs
        features = math.prod(numbers.sizes)
        cardinalities = [count for each in codes for count in each.cardinalities]
        self.front = _drawn(1, width)
        self.slope = _drawn(features, width) if features else None
        self.bias = _drawn(features + len(cardinalities), width)
        self.vectors = _vectors(cardinalities, width) if cardinalities else None
        self.register_buffer("offsets", torch.tensor(offsets(cardinalities), dtype=torch.int64), persistent=False)

    def forward(self, x_BF: Tensor, c_BK: Tensor | None = None) -> Tensor:
        """Return ``B x (1 + F + K) x D``."""
        columns = []
        if self.slope is not None:
            columns.append(x_BF.unsqueeze(2) * self.slope)
        if self.vectors is not None:
            assert c_BK is not None, "a table with categories comes with their codes"
            columns.append(self.vectors(c_BK + self.offsets))
        front_B1D = self.front.expand(x_BF.shape[0], -1, -1)
        return torch.cat([front_B1D, torch.cat(columns, dim=1) + self.bias], dim=1)


class FTTransformer(nn.Module):
    """See the module's text; called with ``x_BF`` or ``x_BF, c_BK``."""

    def __init__(self, config: FTTransformerConfig, shape: TaskShape) -> None:
        super().__init__()
        common, plain = config.blocks(), UNGATED[config.activation]
        width = common.width()
        self.tokens = Tokens(shape, width)
        dropouts = {"attention_dropout": config.attention_dropout, "ffn_dropout": config.ffn_dropout}
        blocks = [Block(common, None, 0.0, **dropouts) for _ in range(config.depth)]
        blocks[0].attention.branch.norm = nn.Identity()
        self.blocks = nn.Sequential(*blocks)
        self.norm = nn.LayerNorm(width)
        self.activation = ACTIVATIONS[plain]()
        self.output = initialise(nn.Linear(width, shape.outputs), after=plain)

    def forward(self, x_BF: Tensor, c_BK: Tensor | None = None) -> Tensor:
        """Return logits or values, ``B x outputs``."""
        x_BND = self.blocks(self.tokens(x_BF, c_BK))
        y_BO: Tensor = self.output(self.activation(self.norm(x_BND[:, 0])))
        return y_BO

    def learning_factors(self) -> dict[str, tuple[float, float]]:
        """Return the factors of rate and decay: tokens do not decay."""
        return {"tokens": (1.0, 0.0)}


def _drawn(count: int, width: int) -> nn.Parameter:
    """Return vectors as the paper's code draws them; three dimensions, since they are no matrix."""
    return nn.Parameter(width**-0.5 * (2.0 * torch.rand(1, count, width) - 1.0))


def _vectors(cardinalities: list[int], width: int) -> nn.Embedding:
    """Return the vectors of all categories, one column after the other."""
    table = nn.Embedding(sum(cardinalities), width)
    nn.init.uniform_(table.weight, -(width**-0.5), width**-0.5)
    table.weight.data[offsets(cardinalities)] = 0.0
    return table


@family(
    "ft_transformer",
    summary="attention over the columns of a table, each a token",
    config=FTTransformerConfig,
    why_not=takes((InputKind.NUMERIC,), (InputKind.NUMERIC, InputKind.CATEGORICAL)),
    own_preprocessing=("one_hot",),
)
def build_ft_transformer(config: FTTransformerConfig, shape: TaskShape) -> nn.Module:
    """Return the network for this task, which must be one of tables."""
    return FTTransformer(config, shape)
