"""``vit``: a transformer over patches, for images (Dosovitskiy et al., 2021, arXiv:2010.11929).

Patches become tokens by a linear map, a class token and registers stand in front of them, and ``depth`` blocks follow:
``x + attention(norm(x))``, then ``x + mlp(norm(x))``, both with dropout and stochastic depth on the branch. At the end
the class token, or the mean of the patches, goes through a norm into a linear layer. Positions are

- ``learned``: a vector added to each patch,
- ``rotary``: queries and keys are turned by angles that grow with row and column, so that attention sees differences
  of places (Su et al., 2021, arXiv:2104.09864; in two dimensions Heo et al., 2024, arXiv:2403.13298, section 3.1).

Registers are tokens that stand for nothing, where attention can put what belongs to the whole image (Darcet et al.,
2024, arXiv:2309.16588); they help large networks. ``depth`` 12, ``heads`` 12, ``head_width`` 64, ``expansion`` 4 and
``patch`` 16 is ViT-B/16. Shape legend: B batch, C channels, H height, W width, P patches, N tokens, D width, A heads,
K width of a head.
"""

from __future__ import annotations

import itertools
from typing import Annotated, Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from harness.models.family import FamilyConfig, family, takes
from harness.models.layers import ACTIVATIONS, Activation, Dropout, Residual, dropout, initialise, sequence
from harness.models.stages import patches, rising, stochastic_depth
from harness.records import InputKind, TaskShape

BASE = 100.0
"""Angles of neighbouring patches go from 1 radian down to nearly 1 / BASE, as Heo et al. have it."""
DEVIATION = 0.02
"""Of positions and tokens at the start, as the paper's code has it for positions."""


class VitConfig(FamilyConfig):
    """Parameters of ``vit``; the width of the network is ``heads`` x ``head_width``."""

    patch: Annotated[int, Field(strict=True, ge=1, le=64)] = 4
    """Height and width of a patch, in pixels; images are padded to multiples."""
    depth: Annotated[int, Field(strict=True, ge=1, le=64)] = 4
    """Number of blocks."""
    heads: Annotated[int, Field(strict=True, ge=1, le=64)] = 4
    """Heads of each attention."""
    head_width: Annotated[int, Field(strict=True, ge=4, le=256, multiple_of=4)] = 16
    """Width of each head, a multiple of 4."""
    expansion: Annotated[int, Field(strict=True, ge=1, le=8)] = 2
    """Units of a block's hidden layer over the width."""
    positions: Literal["learned", "rotary"] = "learned"
    """How a patch's place comes in: added to it, or by turning queries and keys."""
    pooling: Literal["class", "mean"] = "mean"
    """What the last layer sees: a token of its own, or the mean of the patches."""
    registers: Annotated[int, Field(strict=True, ge=0, le=64)] = 0
    """Tokens that stand for nothing."""
    activation: Activation = "gelu"
    """Non-linearity of the blocks."""
    dropout: Dropout = 0.0
    """Share of the activations set to zero in training, of the tokens at the start and of every branch."""
    stochastic_depth: Dropout = 0.0
    """Share of the samples that pass by the last block in training; it rises with the blocks (arXiv:1603.09382)."""

    def width(self) -> int:
        """Return the width of the network."""
        return self.heads * self.head_width

    def tokens(self) -> int:
        """Return how many tokens stand in front of the patches."""
        return self.registers + (self.pooling == "class")


class Rotation(nn.Module):
    """Turns pairs of a query's or key's numbers by its patch's row and column; tokens that are none stay as they are.

    Half of the pairs go by the row, half by the column.
    """

    cosines: Tensor
    sines: Tensor

    def __init__(self, config: VitConfig, counts: tuple[int, int]) -> None:
        super().__init__()
        quarter = config.head_width // 4
        rates = [BASE ** (-step / quarter) for step in range(quarter)]
        places = itertools.product(range(counts[0]), range(counts[1]))
        of_patches = [[step * rate for step in place for rate in rates] for place in places]
        angles = torch.tensor([[0.0] * (2 * quarter)] * config.tokens() + of_patches)
        self.register_buffer("cosines", angles.cos(), persistent=False)
        self.register_buffer("sines", angles.sin(), persistent=False)

    def forward(self, x_BANK: Tensor) -> Tensor:
        """Return ``B x A x N x K``."""
        first, second = x_BANK.chunk(2, dim=-1)
        turned = [first * self.cosines - second * self.sines, second * self.cosines + first * self.sines]
        return torch.cat(turned, dim=-1).to(x_BANK.dtype)


class Attention(nn.Module):
    """Every token looks at all (Vaswani et al., 2017, arXiv:1706.03762)."""

    def __init__(self, config: VitConfig, rotation: Rotation | None, scale: float) -> None:
        super().__init__()
        width = config.width()
        self.inputs = initialise(nn.Linear(width, 3 * width), after=None)
        self.output = initialise(nn.Linear(width, width), after=None, scale=scale)
        self.rotation = rotation
        self._sizes = (3, config.heads, config.head_width)

    def forward(self, x_BND: Tensor) -> Tensor:
        """Return ``B x N x D``."""
        query, key, value = self.inputs(x_BND).unflatten(-1, self._sizes).permute(2, 0, 3, 1, 4).unbind()
        if self.rotation is not None:
            query, key = self.rotation(query), self.rotation(key)
        seen_BANK = F.scaled_dot_product_attention(query, key, value)
        out: Tensor = self.output(seen_BANK.transpose(1, 2).flatten(2))
        return out


class Vit(nn.Module):
    """See the module's text; called with ``x_BCHW``."""

    def __init__(self, config: VitConfig, shape: TaskShape) -> None:
        super().__init__()
        channels, height, across = shape.inputs[0].sizes
        width = config.width()
        self.patches, counts = patches(channels, width, config.patch, (height, across))
        self.tokens = _drawn(config.tokens(), width) if config.tokens() else None
        learned = config.positions == "learned"
        self.positions = _drawn(counts[0] * counts[1], width) if learned else None
        rotation = None if learned else Rotation(config, counts)
        self.dropout = dropout(config.dropout) or nn.Identity()
        drops = rising(config.stochastic_depth, config.depth)
        self.blocks = nn.Sequential(*(_block(config, rotation, drop) for drop in drops))
        self.norm = nn.LayerNorm(width)
        self.output = initialise(nn.Linear(width, shape.outputs), after=None)
        self._config = config

    def forward(self, x_BCHW: Tensor) -> Tensor:
        """Return logits or values, ``B x outputs``."""
        x_BND = self.patches(x_BCHW).flatten(2).transpose(1, 2)
        if self.positions is not None:
            x_BND = x_BND + self.positions
        if self.tokens is not None:
            x_BND = torch.cat([self.tokens.expand(x_BND.shape[0], -1, -1).to(x_BND.dtype), x_BND], dim=1)
        x_BND = self.blocks(self.dropout(x_BND))
        of_class = self._config.pooling == "class"
        x_BD = x_BND[:, 0] if of_class else x_BND[:, self._config.tokens() :].mean(dim=1)
        y_BO: Tensor = self.output(self.norm(x_BD))
        return y_BO

    def learning_factors(self) -> dict[str, tuple[float, float]]:
        """Return the factors of rate and decay: tokens and positions, which are no weights, do not decay."""
        drawn = {"tokens": self.tokens, "positions": self.positions}
        return {name: (1.0, 0.0) for name, parameter in drawn.items() if parameter is not None}


def _drawn(count: int, width: int) -> nn.Parameter:
    return nn.Parameter(nn.init.normal_(torch.empty(1, count, width), std=DEVIATION))


def _block(config: VitConfig, rotation: Rotation | None, drop: float) -> nn.Sequential:
    """Return attention and layers over channels; branches start smaller the more of them are summed, as in GPT-2."""
    width, hidden, scale = config.width(), config.width() * config.expansion, (2 * config.depth) ** -0.5
    attention = sequence(
        norm=nn.LayerNorm(width),
        attention=Attention(config, rotation, scale),
        dropout=dropout(config.dropout),
        drop=stochastic_depth(drop),
    )
    mlp = sequence(
        norm=nn.LayerNorm(width),
        hidden=initialise(nn.Linear(width, hidden), after=None),
        activation=ACTIVATIONS[config.activation](),
        output=initialise(nn.Linear(hidden, width), after=config.activation, scale=scale),
        dropout=dropout(config.dropout),
        drop=stochastic_depth(drop),
    )
    return sequence(attention=Residual(attention, nn.Identity()), mlp=Residual(mlp, nn.Identity()))


@family(
    "vit",
    summary="a transformer over patches, for images",
    config=VitConfig,
    why_not=takes((InputKind.IMAGE,)),
)
def build_vit(config: VitConfig, shape: TaskShape) -> nn.Module:
    """Return the network for this task, which must be one of images."""
    return Vit(config, shape)
