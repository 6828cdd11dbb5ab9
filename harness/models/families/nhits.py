"""``nhits``: blocks that each explain a part of a series at a rate of their own (Challu et al., 2023).

Challu, Olivares, Oreshkin, Garza, Mergenthaler-Canseco and Dubrawski, N-HiTS: neural hierarchical interpolation for
time series forecasting, AAAI 2023; the residual stacks are those of N-BEATS (Oreshkin et al., 2020, arXiv:1905.10437).

Each block looks at the maxima of ``pooling`` steps, says a few knots of the past and of the future, and interpolates
between them: the first blocks, which pool most, say what goes slowly. What a block says of the past is taken off what
the next one sees; what all say of the future adds up. Other channels are seen by every block as they are. With a
pooling of 1 every block says every step, which is N-BEATS with its generic basis.

Shape legend: B batch, T steps, C channels, H steps ahead, Q quantiles, K knots.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Annotated

import numpy as np
import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from harness.models.family import FamilyConfig, family, takes
from harness.models.layers import ACTIVATIONS, MIN_WIDTH, Activation, Dropout, dropout, initialise, sequence
from harness.models.naive import Base, Naive, steps_ahead
from harness.problems import problems
from harness.records import InputKind, TaskShape


class NHiTSConfig(FamilyConfig):
    """Parameters of ``nhits``."""

    stacks: Annotated[int, Field(strict=True, ge=1, le=16)] = 3
    """Number of blocks."""
    depth: Annotated[int, Field(strict=True, ge=1, le=8)] = 2
    """Hidden layers of a block."""
    width: Annotated[int, Field(strict=True, ge=MIN_WIDTH, le=4096)] = 128
    """Units of every hidden layer."""
    pooling: Annotated[int, Field(strict=True, ge=1, le=16)] = 2
    """How many times as coarse each block is as the next one; the last is not coarse."""
    base: Base = "growth"
    """What the blocks add to: the window's mean, which is the papers' way, its last season, or that with its growth."""
    activation: Activation = "relu"
    """Non-linearity after every hidden layer."""
    dropout: Dropout = 0.0
    """Share of the activations set to zero in training, after every activation."""


class Block(nn.Module):
    """Says the past and the future of a series by knots."""

    to_past: Tensor
    to_future: Tensor

    def __init__(self, config: NHiTSConfig, shape: TaskShape, rate: int) -> None:
        super().__init__()
        self.steps, channels = shape.inputs[0].sizes
        self.horizon, self.quantiles = steps_ahead(shape)
        self.rate = min(rate, self.steps)
        seen = -(-self.steps // self.rate) + self.steps * (channels - 1)
        self.knots = tuple(max(1, -(-length // rate)) for length in (self.steps, self.horizon))
        # They follow from the lengths, so they are no part of the weights.
        for name, knots, length in zip(("to_past", "to_future"), self.knots, (self.steps, self.horizon), strict=True):
            self.register_buffer(name, _lines(knots, length), persistent=False)
        widths = [seen, *[config.width] * config.depth]
        self.hidden = nn.Sequential(*_layers(config, widths))
        outputs = self.knots[0] + self.knots[1] * self.quantiles
        self.output = initialise(nn.Linear(config.width, outputs), after=config.activation, scale=config.stacks**-0.5)

    def forward(self, past_BT: Tensor, others: Tensor) -> tuple[Tensor, Tensor]:
        """Return what it says of the past, ``B x T``, and of the future, ``B x (H Q)``."""
        pooled = F.max_pool1d(past_BT.unsqueeze(1), self.rate, ceil_mode=True).squeeze(1)
        said = self.output(self.hidden(torch.cat([pooled, others], dim=1)))
        before, after = said.split([self.knots[0], self.knots[1] * self.quantiles], dim=1)
        future_BQH = after.unflatten(1, (self.quantiles, self.knots[1])) @ self.to_future
        return before @ self.to_past, future_BQH.transpose(1, 2).flatten(1)


class NHiTS(nn.Module):
    """See the module's text; called with ``x_BTC``."""

    def __init__(self, config: NHiTSConfig, shape: TaskShape) -> None:
        super().__init__()
        rates = [config.pooling**power for power in range(config.stacks - 1, -1, -1)]
        self.base = Naive(config.base, shape)
        self.blocks = nn.ModuleList(Block(config, shape, rate) for rate in rates)

    def forward(self, x_BTC: Tensor) -> Tensor:
        """Return ``B x (H Q)``."""
        past_BT, others = x_BTC[:, :, 0], x_BTC[:, :, 1:].flatten(1)
        futures = [self.base(past_BT)]
        for block in self.blocks:
            said, future = block(past_BT, others)
            past_BT = past_BT - said
            futures.append(future)
        return torch.stack(futures).sum(dim=0)


def _layers(config: NHiTSConfig, widths: list[int]) -> Iterator[nn.Module]:
    for number, (before, after) in enumerate(itertools.pairwise(widths)):
        linear = initialise(nn.Linear(before, after), after=config.activation if number else None)
        yield sequence(linear=linear, activation=ACTIVATIONS[config.activation](), dropout=dropout(config.dropout))


def _lines(knots: int, length: int) -> Tensor:
    """Return ``K x length``: what each value on straight lines between knots has of each; ends are at first and last.

    A product with it is the same on every device, as torch's interpolation is not.
    """
    ends = np.linspace(0.0, max(1, knots - 1), length) if knots > 1 else np.zeros(length)
    shares = [np.interp(ends, np.arange(knots), row) for row in np.eye(knots)]
    return torch.tensor(np.array(shares), dtype=torch.float32)


def _why_not(shape: TaskShape) -> str:
    if why := takes((InputKind.SERIES,))(shape):
        return why
    return "" if problems[shape.kind].continues else f"says how a series goes on, the task is one of {shape.kind}"


@family(
    "nhits",
    summary="blocks that say what comes by a few knots each, coarse ones first, for forecasts",
    config=NHiTSConfig,
    why_not=_why_not,
)
def build_nhits(config: NHiTSConfig, shape: TaskShape) -> nn.Module:
    """Return the network for this task, which must be a forecast."""
    return NHiTS(config, shape)
