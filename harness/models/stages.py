"""What families of stages share: blocks of one width each, at half the resolution and another width in every stage.

Shape legend: B batch, C channels, H height, W width.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, NamedTuple

from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from harness.models.family import FamilyConfig
from harness.models.layers import MIN_WIDTH, Dropout, dropout, initialise, sequence


class StagesConfig(FamilyConfig):
    """Parameters of every family of stages."""

    stages: Annotated[int, Field(strict=True, ge=1, le=8)] = 3
    """Number of stages, each at half the height and width of the one before, down to 1 x 1."""
    width: Annotated[int, Field(strict=True, ge=MIN_WIDTH, le=2048)] = 16
    """Channels of the first stage."""
    width_multiplier: Annotated[float, Field(strict=True, ge=1.0, le=4.0)] = 2.0
    """Factor of the channels from one stage to the next."""
    blocks: Annotated[int, Field(strict=True, ge=1, le=32)] = 2
    """Blocks in each stage."""
    dropout: Dropout = 0.0
    """Share of the features set to zero in training, in front of the last layer."""
    stochastic_depth: Dropout = 0.0
    """Share of the samples that pass by the last block in training; it rises with the blocks (arXiv:1603.09382)."""

    def widths(self) -> list[int]:
        """Return the channels of every stage."""
        return [round(self.width * self.width_multiplier**stage) for stage in range(self.stages)]


class Place(NamedTuple):
    """Where a block stands."""

    before: int
    """Channels that come in."""
    after: int
    """Channels that go out."""
    stride: int
    """2 for the first block of a stage but the first, else 1."""
    drop: float
    """Its share of stochastic depth."""


def places(config: StagesConfig, before: int, *, expansion: int = 1) -> Iterator[Place]:
    """Yield the place of every block; ``before`` channels come into the first, ``expansion`` multiplies all others."""
    drops = iter(rising(config.stochastic_depth, config.stages * config.blocks))
    for stage, width in enumerate(config.widths()):
        for block in range(config.blocks):
            yield Place(before, width * expansion, 2 if stage and not block else 1, next(drops))
            before = width * expansion


def rising(most: float, blocks: int) -> list[float]:
    """Return the share of stochastic depth of every block: linear, up to ``most`` in the last (Huang et al., 2016)."""
    return [most * number / blocks for number in range(1, blocks + 1)]


class StochasticDepth(nn.Dropout):
    """Sets a branch to zero for whole samples in training, and scales up the others (Huang et al., 2016)."""

    def forward(self, x: Tensor) -> Tensor:
        """Return ``x``, sample by sample whole or zero; what it is in use."""
        if not self.training:
            return x
        return x * F.dropout(x.new_ones(len(x), *[1] * (x.dim() - 1)), self.p)


def stochastic_depth(share: float) -> StochasticDepth | None:
    """Return the layer, None when it would do nothing."""
    return StochasticDepth(share) if share > 0.0 else None


def patches(channels: int, width: int, side: int, sides: tuple[int, int]) -> tuple[nn.Conv2d, tuple[int, int]]:
    """Return a linear map of squares of ``side`` pixels that do not overlap, and how many there are down and across.

    An image of other sides than multiples is padded with zeros, and a patch is never larger than the image.
    """
    kernel = min(side, sides[0]), min(side, sides[1])
    counts = -(-sides[0] // kernel[0]), -(-sides[1] // kernel[1])
    lacking = counts[0] * kernel[0] - sides[0], counts[1] * kernel[1] - sides[1]
    padding = (lacking[0] + 1) // 2, (lacking[1] + 1) // 2  # one pixel too many is passed over at the end
    return initialise(nn.Conv2d(channels, width, kernel, kernel, padding), after=None), counts


def head(config: StagesConfig, features: int, outputs: int) -> nn.Sequential:
    """Return the layers behind the pooled features."""
    return sequence(dropout=dropout(config.dropout), output=initialise(nn.Linear(features, outputs), after=None))
