"""``lite``: few weights and filters made by hand, for series (Ismail-Fawaz et al., 2023, arXiv:2409.02869).

The first layer lays side by side convolutions of ``width`` channels over ``kernel``, a half and a quarter as many steps
(multiplexing), and filters that are never trained, over the sum of the channels: they answer to rises, falls and peaks
of many lengths (Ismail-Fawaz et al., 2022, doi:10.1109/BigData55660.2022.10020496). Then follow ``depth`` convolutions
of one channel each, whose steps lie 2, 4, ... apart, each with a linear map over the channels. Batch norms and ReLUs
stand between. At the end each channel's mean goes into a linear layer.

It has about a fortieth of the weights of ``inception_time``. LITETime averages five, which is ``training: {final:
{ensemble: 5}}``. Kernels are odd here, one step longer. Steps that are not there are set to zero in front of every
convolution. The layers are computed with the channels of a step side by side, which on a CPU takes a third of the time.
Shape legend: B batch, T steps, C channels, L steps of the longest filter.
"""

from __future__ import annotations

from typing import Annotated

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from harness.models.family import FamilyConfig, family
from harness.models.layers import MIN_WIDTH, Dropout, dropout, initialise
from harness.models.sequences import BatchNorm, Convolution, Patch, Steps, convolve, masked_mean, takes_series
from harness.records import TaskShape

LENGTHS = (2, 4, 8, 16, 32, 64)
"""Steps of the filters for rises and falls; those for peaks have half as many again, and there is none of the first."""


class LiteConfig(FamilyConfig):
    """Parameters of ``lite``."""

    depth: Annotated[int, Field(strict=True, ge=1, le=8)] = 2
    """Number of layers behind the first."""
    width: Annotated[int, Field(strict=True, ge=MIN_WIDTH, le=512)] = 32
    """Channels of each convolution."""
    kernel: Annotated[int, Field(strict=True, ge=4, le=256)] = 40
    """Steps of the longest convolution; the second layer has a half, each further one half of that before."""
    filters: Annotated[bool, Field(strict=True)] = True
    """Have filters that are never trained beside the first convolutions."""
    patch: Patch = 1
    """Steps that are taken together as one, for long series; ``auto``: as few as leave at most 256."""
    dropout: Dropout = 0.0
    """Share of the features set to zero in training, in front of the last layer."""


def rise(length: int) -> Tensor:
    """Return the filter for rises: -1 and 1 in turn; that for falls is its negative."""
    return 2.0 * (torch.arange(length) % 2) - 1.0


def peak(length: int) -> Tensor:
    """Return the filter for peaks: half of ``length`` down, half up to twice as much, half down, each as parabolas."""
    quarter = torch.linspace(0.0, 1.0, length // 4 + 1)[1:] ** 2
    half = torch.cat([quarter, quarter.flip(0)])
    return torch.cat([-half, 2.0 * half, -half])


def filters() -> Tensor:
    """Return all filters, in the middle of ``17 x 1 x L`` that are otherwise 0."""
    rises = [rise(length) for length in LENGTHS]
    shapes = [*rises, *(-each for each in rises), *(peak(length) for length in LENGTHS[1:])]
    middle = max(map(len, shapes)) // 2
    found = torch.zeros(len(shapes), 1, 2 * middle + 1)
    for row, each in zip(found[:, 0], shapes, strict=True):
        start = middle - (len(each) - 1) // 2
        row[start : start + len(each)] = each
    return found


class Filters(nn.Module):
    """The filters that are never trained, and a ReLU."""

    weight: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("weight", filters(), persistent=False)

    def forward(self, x_BTC: Tensor) -> Tensor:
        """Return a channel for each filter."""
        return F.relu(convolve(x_BTC.sum(dim=2, keepdim=True), self.weight))


class Lite(nn.Module):
    """See the module's text; called with the series and, where lengths vary, its mask."""

    def __init__(self, config: LiteConfig, shape: TaskShape) -> None:
        super().__init__()
        self.steps = Steps(shape, config.width, config.patch)
        kernels = (max(config.kernel // parts, 2) for parts in (1, 2, 4))
        first = [Convolution(self.steps.channels, config.width, kernel) for kernel in kernels]
        self.first = nn.ModuleList([*first, *([Filters()] if config.filters else [])])
        before = 3 * config.width + (len(filters()) if config.filters else 0)
        self.norm = BatchNorm(before)
        befores = [before, *[config.width] * (config.depth - 1)]
        self.further = nn.ModuleList(_separable(config, each, number) for number, each in enumerate(befores, 1))
        self.dropout = dropout(config.dropout) or nn.Identity()
        self.output = initialise(nn.Linear(config.width, shape.outputs), after=None)

    def forward(self, x: Tensor, mask_BT: Tensor | None = None) -> Tensor:
        """Return logits or values, ``B x outputs``."""
        x_BTC, mask_BT = self.steps(x, mask_BT)
        x_BTC = F.relu(self.norm(torch.cat([layer(x_BTC) for layer in self.first], dim=2)))
        for layer in self.further:
            x_BTC = layer(x_BTC if mask_BT is None else x_BTC.masked_fill(~mask_BT[..., None], 0.0))
        y_BO: Tensor = self.output(self.dropout(masked_mean(x_BTC, mask_BT)))
        return y_BO


def _separable(config: LiteConfig, before: int, number: int) -> nn.Sequential:
    """Return the layer of that number, from 1: a convolution of one channel each, and one over a single step."""
    kernel = max(config.kernel >> number, 2)
    return nn.Sequential(
        Convolution(before, before, kernel, dilation=2**number, groups=before),
        Convolution(before, config.width, 1),
        BatchNorm(config.width),
        nn.ReLU(),
    )


@family(
    "lite",
    summary="few weights, and filters made by hand, for series",
    config=LiteConfig,
    why_not=takes_series,
)
def build_lite(config: LiteConfig, shape: TaskShape) -> nn.Module:
    """Return the network for this task, which must be one of series."""
    return Lite(config, shape)
