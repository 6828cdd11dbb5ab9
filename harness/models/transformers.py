"""What transformers have in common: blocks of attention and of layers over the channels (arXiv:1706.03762).

A block is ``x + attention(norm(x))``, then ``x + mlp(norm(x))``, both with dropout and stochastic depth on the branch:
norms in front, as in Xiong et al. (2020, arXiv:2002.04745). A gated activation, ``reglu`` or ``geglu``, multiplies one
half of the hidden layer by the activation of the other half (Shazeer, 2020, arXiv:2002.05202). Positions are

- ``learned``: a vector added to each token,
- ``rotary``: queries and keys are turned by angles that grow with the token's place, so that attention sees differences
  of places (Su et al., 2021, arXiv:2104.09864).

Shape legend: B batch, N tokens, D width, A heads, K width of a head.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from harness.models.family import FamilyConfig
from harness.models.layers import (
    ACTIVATIONS,
    Activation,
    Dropout,
    Residual,
    dropout,
    initialise,
    sequence,
)
from harness.models.sequences import masked_mean
from harness.models.stages import rising, stochastic_depth

DEVIATION = 0.02
"""Of positions and tokens at the start, as the code of arXiv:2010.11929 has it for positions."""

BlockActivation = Literal[Activation, "reglu", "geglu"]
UNGATED: dict[BlockActivation, Activation] = {
    **{name: name for name in ACTIVATIONS},
    "reglu": "relu",
    "geglu": "gelu",
}
"""The activation itself, or what its gate goes through."""

Angles = Sequence[Sequence[float]]
"""By how much each pair of a query's or key's numbers is turned, in radians, of every token."""


class TransformerConfig(FamilyConfig):
    """Parameters of every transformer; the width of the network is ``heads`` x ``head_width``."""

    depth: Annotated[int, Field(strict=True, ge=1, le=64)] = 4
    """Number of blocks."""
    heads: Annotated[int, Field(strict=True, ge=1, le=64)] = 4
    """Heads of each attention."""
    head_width: Annotated[int, Field(strict=True, ge=4, le=256, multiple_of=4)] = 16
    """Width of each head, a multiple of 4."""
    expansion: Annotated[int, Field(strict=True, ge=1, le=8)] = 2
    """Units of a block's hidden layer over the width; with a gate two thirds of them, which takes as many weights."""
    positions: Literal["learned", "rotary"] = "learned"
    """How a patch's place comes in: added to it, or by turning queries and keys."""
    pooling: Literal["class", "mean"] = "mean"
    """What the last layer sees: a token of its own, or the mean of the patches."""
    activation: BlockActivation = "gelu"
    """Non-linearity of the blocks."""
    dropout: Dropout = 0.0
    """Share of the activations set to zero in training, of the tokens at the start and of every branch."""
    stochastic_depth: Dropout = 0.0
    """Share of the samples that pass by the last block in training; it rises with the blocks (arXiv:1603.09382)."""

    def width(self) -> int:
        """Return the width of the network."""
        return self.heads * self.head_width


class Rotation(nn.Module):
    """Turns pairs of a query's or key's numbers by the angles of its token."""

    cosines: Tensor
    sines: Tensor

    def __init__(self, angles: Angles) -> None:
        super().__init__()
        angles_NK = torch.tensor(angles)
        self.register_buffer("cosines", angles_NK.cos(), persistent=False)
        self.register_buffer("sines", angles_NK.sin(), persistent=False)

    def forward(self, x_BANK: Tensor) -> Tensor:
        """Return ``B x A x N x K``; of fewer tokens than there are angles, they are the first."""
        cosines, sines = (each[: x_BANK.shape[2]] for each in (self.cosines, self.sines))
        first, second = x_BANK.chunk(2, dim=-1)
        turned = [first * cosines - second * sines, second * cosines + first * sines]
        return torch.cat(turned, dim=-1).to(x_BANK.dtype)


class Attention(nn.Module):
    """Every token looks at all that are there; ``dropped`` is the share of its looks that it misses in training."""

    def __init__(
        self, config: TransformerConfig, rotation: Rotation | None, scale: float, dropped: float = 0.0
    ) -> None:
        super().__init__()
        width = config.width()
        self.inputs = initialise(nn.Linear(width, 3 * width), after=None)
        self.output = initialise(nn.Linear(width, width), after=None, scale=scale)
        self.rotation = rotation
        self.dropout = dropout(dropped)
        self._sizes = (3, config.heads, config.head_width)

    def forward(self, x_BND: Tensor, mask_BN: Tensor | None = None) -> Tensor:
        """Return ``B x N x D``."""
        query, key, value = self.inputs(x_BND).unflatten(-1, self._sizes).permute(2, 0, 3, 1, 4).unbind()
        if self.rotation is not None:
            query, key = self.rotation(query), self.rotation(key)
        there = None if mask_BN is None else mask_BN[:, None, None, :]
        # The layer is not called: it is where a schedule of dropout finds the share.
        dropped = self.dropout.p if self.dropout is not None and self.training else 0.0
        seen_BANK = F.scaled_dot_product_attention(query, key, value, attn_mask=there, dropout_p=dropped)
        out: Tensor = self.output(seen_BANK.transpose(1, 2).flatten(2))
        return out


class AttentionBranch(nn.Module):
    """Norm, attention, dropout, stochastic depth."""

    def __init__(
        self, config: TransformerConfig, rotation: Rotation | None, scale: float, drop: float, dropped: float
    ) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(config.width())
        self.attention = Attention(config, rotation, scale, dropped)
        self.dropout = dropout(config.dropout) or nn.Identity()
        self.drop = stochastic_depth(drop) or nn.Identity()

    def forward(self, x_BND: Tensor, mask_BN: Tensor | None = None) -> Tensor:
        """Return ``B x N x D``."""
        out: Tensor = self.drop(self.dropout(self.attention(self.norm(x_BND), mask_BN)))
        return out


class Gated(nn.Module):
    """One half of the channels times the activation of the other."""

    def __init__(self, activation: nn.Module) -> None:
        super().__init__()
        self.activation = activation

    def forward(self, x_BNH: Tensor) -> Tensor:
        """Return half as many channels."""
        value, gate = x_BNH.chunk(2, dim=-1)
        out: Tensor = value * self.activation(gate)
        return out


class Block(nn.Module):
    """Attention, then layers over the channels; branches start smaller the more of them are summed, as in GPT-2.

    Beside the dropout of the branches, ``attention_dropout`` is that of the weights of attention, and ``ffn_dropout``
    that of the hidden layer.
    """

    def __init__(
        self,
        config: TransformerConfig,
        rotation: Rotation | None,
        drop: float,
        *,
        attention_dropout: float = 0.0,
        ffn_dropout: float = 0.0,
    ) -> None:
        super().__init__()
        width, hidden, scale = config.width(), config.width() * config.expansion, (2 * config.depth) ** -0.5
        attention = AttentionBranch(config, rotation, scale, drop, attention_dropout)
        self.attention = Residual(attention, nn.Identity())
        plain = UNGATED[config.activation]
        activation, halves = ACTIVATIONS[plain](), 1
        if plain != config.activation:
            activation, hidden, halves = Gated(activation), 2 * hidden // 3, 2
        mlp = sequence(
            norm=nn.LayerNorm(width),
            hidden=initialise(nn.Linear(width, halves * hidden), after=None),
            activation=activation,
            hidden_dropout=dropout(ffn_dropout),
            output=initialise(nn.Linear(hidden, width), after=plain, scale=scale),
            dropout=dropout(config.dropout),
            drop=stochastic_depth(drop),
        )
        self.mlp = Residual(mlp, nn.Identity())

    def forward(self, x_BND: Tensor, mask_BN: Tensor | None = None) -> Tensor:
        """Return ``B x N x D``."""
        out: Tensor = self.mlp(self.attention(x_BND, mask_BN))
        return out


class Transformer(nn.Module):
    """From tokens to outputs; ``patches`` makes them of what the network is called with, in a subclass.

    ``angles`` are of each token in its place, ``registers`` further tokens that stand in front of them. At the end the
    class token, or the mean of all others but registers, goes through a norm into a linear layer.
    """

    def __init__(
        self, config: TransformerConfig, patches: nn.Module, *, angles: Angles, registers: int, outputs: int
    ) -> None:
        super().__init__()
        width, self._front = config.width(), registers + (config.pooling == "class")
        self.patches = patches
        self.tokens = _drawn(self._front, width) if self._front else None
        learned = config.positions == "learned"
        self.positions = _drawn(len(angles), width) if learned else None
        rotation = None if learned else Rotation([*[[0.0] * len(angles[0])] * self._front, *angles])
        self.dropout = dropout(config.dropout) or nn.Identity()
        drops = rising(config.stochastic_depth, config.depth)
        self.blocks = nn.ModuleList(Block(config, rotation, drop) for drop in drops)
        self.norm = nn.LayerNorm(width)
        self.output = initialise(nn.Linear(width, outputs), after=None)
        self._of_class = config.pooling == "class"

    def answer(self, x_BND: Tensor, mask_BN: Tensor | None = None) -> Tensor:
        """Return logits or values, ``B x outputs``.

        ``mask_BN`` says which tokens are there, at least one of each sample. Of fewer tokens than there are positions,
        they are the first.
        """
        there_BN = mask_BN
        if self.positions is not None:
            x_BND = x_BND + self.positions[:, : x_BND.shape[1]]
        if self.tokens is not None:
            x_BND = torch.cat([self.tokens.expand(x_BND.shape[0], -1, -1).to(x_BND.dtype), x_BND], dim=1)
            there_BN = None if mask_BN is None else F.pad(mask_BN, (self._front, 0), value=True)
        x_BND = self.dropout(x_BND)
        for block in self.blocks:
            x_BND = block(x_BND, there_BN)
        x_BD = x_BND[:, 0] if self._of_class else masked_mean(x_BND[:, self._front :], mask_BN)
        y_BO: Tensor = self.output(self.norm(x_BD))
        return y_BO

    def learning_factors(self) -> dict[str, tuple[float, float]]:
        """Return the factors of rate and decay: tokens and positions, which are no weights, do not decay."""
        drawn = {"tokens": self.tokens, "positions": self.positions}
        return {name: (1.0, 0.0) for name, parameter in drawn.items() if parameter is not None}


def _drawn(count: int, width: int) -> nn.Parameter:
    return nn.Parameter(nn.init.normal_(torch.empty(1, count, width), std=DEVIATION))
