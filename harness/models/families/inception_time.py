"""``inception_time``: convolutions of three lengths side by side, for series (Ismail Fawaz et al., 2020).

arXiv:1909.04939. A module narrows its channels to ``width`` by a convolution over one step, and lays side by side the
convolutions of these over ``kernel``, a half and a quarter as many steps, and one over a single step of the maximum of
three; a batch norm and a ReLU follow. Around every three of ``depth`` modules there is a connection of one convolution
and a norm. At the end each channel's mean goes into a linear layer. The paper averages five such networks, which is
``training: {final: {ensemble: 5}}``; kernels are odd here, one step longer.

Steps that are not there are set to zero in front of every convolution, and to minus infinity in front of a maximum.
A series is an image of one row, and its channels are stored last, in which convolutions take about half the time on a
CPU. Shape legend: B batch, T steps, C channels.
"""

from __future__ import annotations

import math
from typing import Annotated

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from harness.models.family import FamilyConfig, family
from harness.models.layers import MIN_WIDTH, Dropout, dropout, initialise
from harness.models.sequences import Patch, Steps, channel_means, masked, takes_series
from harness.records import TaskShape

EVERY = 3
"""Modules that a connection goes around."""


class InceptionTimeConfig(FamilyConfig):
    """Parameters of ``inception_time``."""

    depth: Annotated[int, Field(strict=True, ge=1, le=24)] = 6
    """Number of modules."""
    width: Annotated[int, Field(strict=True, ge=MIN_WIDTH, le=512)] = 32
    """Channels of each of the four parts of a module, and to which it narrows its inputs."""
    kernel: Annotated[int, Field(strict=True, ge=4, le=256)] = 40
    """Steps of the longest convolution; the others have a half and a quarter."""
    residual: Annotated[bool, Field(strict=True)] = True
    """Add what comes into the first of every three modules to what the third gives."""
    patch: Patch = 1
    """Steps that are taken together as one, for long series; ``auto``: as few as leave at most 256."""
    dropout: Dropout = 0.0
    """Share of the features set to zero in training, in front of the last layer."""


class Module(nn.Module):
    """See the module's text; gives four times ``width`` channels."""

    def __init__(self, config: InceptionTimeConfig, before: int) -> None:
        super().__init__()
        width = config.width
        narrow = before > 1
        self.bottleneck = _same(before, width, 1) if narrow else nn.Identity()
        kernels = (max(config.kernel // parts, 2) for parts in (1, 2, 4))
        self.convolutions = nn.ModuleList(_same(width if narrow else before, width, kernel) for kernel in kernels)
        self.pool = nn.MaxPool2d((1, 3), 1, padding=(0, 1))
        self.projection = _same(before, width, 1)
        self.norm = nn.BatchNorm2d(4 * width)

    def forward(self, x_BC1T: Tensor, mask_BT: Tensor | None) -> Tensor:
        """Return ``B x 4 width x 1 x T`` before the activation."""
        narrow_BC1T = self.bottleneck(x_BC1T)
        highest_BC1T = masked(self.pool(masked(x_BC1T, mask_BT, -math.inf)), mask_BT)
        parts = [convolution(narrow_BC1T) for convolution in self.convolutions]
        out_BC1T: Tensor = self.norm(torch.cat([*parts, self.projection(highest_BC1T)], dim=1))
        return out_BC1T


def _same(before: int, after: int, kernel: int) -> nn.Conv2d:
    """Return a convolution over steps that keeps their number; an even ``kernel`` has one step more."""
    half = kernel // 2
    return initialise(nn.Conv2d(before, after, (1, 2 * half + 1), padding=(0, half), bias=False), after=None)


class Modules(nn.Module):
    """Several modules, with a connection around all."""

    def __init__(self, config: InceptionTimeConfig, before: int, count: int, *, residual: bool) -> None:
        super().__init__()
        after = 4 * config.width
        self.parts = nn.ModuleList(Module(config, each) for each in [before, *[after] * (count - 1)])
        self.skip = nn.Sequential(_same(before, after, 1), nn.BatchNorm2d(after)) if residual else None

    def forward(self, x_BC1T: Tensor, mask_BT: Tensor | None) -> Tensor:
        """Return ``B x 4 width x 1 x T``."""
        out_BC1T = x_BC1T
        for part in self.parts:
            out_BC1T = masked(F.relu(part(out_BC1T, mask_BT)), mask_BT)
        if self.skip is None:
            return out_BC1T
        return masked(F.relu(out_BC1T + self.skip(x_BC1T)), mask_BT)


class InceptionTime(nn.Module):
    """See the module's text; called with the series and, where lengths vary, its mask."""

    def __init__(self, config: InceptionTimeConfig, shape: TaskShape) -> None:
        super().__init__()
        after = 4 * config.width
        self.steps = Steps(shape, config.width, config.patch)
        counts = [min(EVERY, config.depth - start) for start in range(0, config.depth, EVERY)]
        befores = [self.steps.channels, *[after] * (len(counts) - 1)]
        self.modules_of_three = nn.ModuleList(
            Modules(config, before, count, residual=config.residual and count == EVERY)
            for before, count in zip(befores, counts, strict=True)
        )
        self.dropout = dropout(config.dropout) or nn.Identity()
        self.output = initialise(nn.Linear(after, shape.outputs), after=None)

    def forward(self, x: Tensor, mask_BT: Tensor | None = None) -> Tensor:
        """Return logits or values, ``B x outputs``."""
        x_BTC, mask_BT = self.steps(x, mask_BT)
        x_BC1T = x_BTC.transpose(1, 2).unsqueeze(2)
        for modules in self.modules_of_three:
            x_BC1T = modules(x_BC1T, mask_BT)
        y_BO: Tensor = self.output(self.dropout(channel_means(x_BC1T, mask_BT)))
        return y_BO


@family(
    "inception_time",
    summary="convolutions of three lengths side by side, for series",
    config=InceptionTimeConfig,
    why_not=takes_series,
)
def build_inception_time(config: InceptionTimeConfig, shape: TaskShape) -> nn.Module:
    """Return the network for this task, which must be one of series."""
    return InceptionTime(config, shape)
