"""How sequences come into a network, and how steps become one vector of a sample.

A mask says which steps are there: the first ones of each sample, one at least. The others never change an answer,
whatever stands in them and however many they are. Only in training a batch norm takes them, as zeros, into its
statistics. Shape legend: B batch, T steps, C channels, D width, H height, W width of an image.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Annotated, Literal

import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from harness.models.family import takes
from harness.models.layers import ChannelNorm, initialise
from harness.records import InputKind, TaskShape

Patch = Annotated[int, Field(strict=True, ge=1, le=256)] | Literal["auto"]
Pooling = Literal["last", "mean", "max", "attention"]
StepNorm = Literal["batch", "layer", "none"]

MOST = 256
"""Steps that ``patch: auto`` leaves at most."""
SPREAD = 0.1
"""Standard deviation of tokens' vectors at first, small beside what is learned of those that are seen often."""
KNOWN = 2
"""The first code of a token that stands for itself; the vectors of padding and of unknown ones begin as 0."""

SERIES = ((InputKind.SERIES,), (InputKind.SERIES, InputKind.MASK), (InputKind.IMAGE,))
TOKENS = ((InputKind.TOKENS,), (InputKind.TOKENS, InputKind.MASK))

takes_series = takes(*SERIES)
"""The ``why_not`` of families that take series; an image is the series of its columns."""
takes_sequences = takes(*SERIES, *TOKENS)
takes_tokens = takes(*TOKENS)


class Steps(nn.Module):
    """Makes vectors of steps of the inputs of a task: an embedding of tokens, a series as it is, an image's columns.

    ``patch`` steps in a row are taken together as one, with all their channels; at the end zeros fill up the last.
    ``auto`` are as few as leave at most MOST.
    """

    def __init__(self, shape: TaskShape, width: int, patch: int | Literal["auto"] = 1) -> None:
        super().__init__()
        first = shape.inputs[0]
        *channels, steps = first.sizes if first.kind is not InputKind.SERIES else first.sizes[::-1]
        self.embedding = embedding(first.cardinalities[0], width) if first.kind is InputKind.TOKENS else None
        self.patch = -(-steps // MOST) if patch == "auto" else patch
        self.channels = (math.prod(channels) if self.embedding is None else width) * self.patch
        """Of a step."""
        self.count = -(-steps // self.patch)
        """Steps of a sample."""
        self._columns = first.kind is InputKind.IMAGE

    def forward(self, x: Tensor, mask_BT: Tensor | None = None) -> tuple[Tensor, Tensor | None]:
        """Return ``B x T x C``, 0 where a step is not there, and the mask of these steps."""
        if self._columns:
            x = x.permute(0, 3, 1, 2).flatten(2)
        x_BTC = x if self.embedding is None else self.embedding(x)
        if mask_BT is not None:
            x_BTC = x_BTC.masked_fill(~mask_BT[..., None], 0.0)
        if self.patch == 1:
            return x_BTC, mask_BT
        lacking = -x_BTC.shape[1] % self.patch
        x_BTC = F.pad(x_BTC, (0, 0, 0, lacking)).unflatten(1, (-1, self.patch)).flatten(2)
        if mask_BT is not None:
            mask_BT = F.pad(mask_BT, (0, lacking), value=False).unflatten(1, (-1, self.patch)).any(2)
        return x_BTC, mask_BT


def embedding(vocabulary: int, width: int) -> nn.Embedding:
    """Return small vectors of tokens, 0 for padding and for unknown ones."""
    table = nn.Embedding(vocabulary, width)
    nn.init.normal_(table.weight, std=SPREAD)
    nn.init.zeros_(table.weight.data[:KNOWN])
    return table


def masked(x_BCT: Tensor, mask_BT: Tensor | None, fill: float = 0.0) -> Tensor:
    """Return channels of steps, ``B x C x T`` or ``B x C x 1 x T``, with ``fill`` where a step is not there."""
    if mask_BT is None:
        return x_BCT
    return x_BCT.masked_fill(~mask_BT.unflatten(0, (-1, *[1] * (x_BCT.dim() - 2))), fill)


def channel_means(x_BCT: Tensor, mask_BT: Tensor | None) -> Tensor:
    """Return the mean of every channel over the steps that are there, ``B x C``, of maps as :func:`masked` takes."""
    if mask_BT is None:
        return x_BCT.flatten(2).mean(dim=2)
    return masked(x_BCT, mask_BT).flatten(2).sum(dim=2) / mask_BT.sum(dim=1, keepdim=True)


def masked_mean(x_BTD: Tensor, mask_BT: Tensor | None) -> Tensor:
    """Return the mean of the steps that are there, ``B x D``.

    >>> import torch
    >>> masked_mean(torch.tensor([[[1.0], [3.0], [8.0]]]), torch.tensor([[True, True, False]]))
    tensor([[2.]])
    """
    if mask_BT is None:
        return x_BTD.mean(dim=1)
    there_BT1 = mask_BT[..., None]
    return x_BTD.masked_fill(~there_BT1, 0.0).sum(dim=1) / there_BT1.sum(dim=1)


def masked_max(x_BTD: Tensor, mask_BT: Tensor | None) -> Tensor:
    """Return the maximum over the steps that are there, ``B x D``."""
    return x_BTD.amax(dim=1) if mask_BT is None else x_BTD.masked_fill(~mask_BT[..., None], -math.inf).amax(dim=1)


def last(x_BTD: Tensor, mask_BT: Tensor | None) -> Tensor:
    """Return the last step that is there, ``B x D``."""
    if mask_BT is None:
        return x_BTD[:, -1]
    place_B11 = (mask_BT.sum(dim=1) - 1)[:, None, None]
    return x_BTD.gather(1, place_B11.expand(-1, 1, x_BTD.shape[2])).squeeze(1)


POOLED: Mapping[Pooling, Callable[[Tensor, Tensor | None], Tensor]] = {
    "last": last,
    "mean": masked_mean,
    "max": masked_max,
}


class Pool(nn.Module):
    """Makes one vector of the steps: the last, the mean, each channel's maximum, or a learned weighted mean.

    ``attention`` weighs each step by a softmax of a linear map of it, which begins as the plain mean (as in Yang et
    al., 2016, doi:10.18653/v1/N16-1174, without the hidden layer).
    """

    def __init__(self, kind: Pooling, width: int) -> None:
        super().__init__()
        self.kind: Pooling = kind
        self.score = nn.Linear(width, 1, bias=False) if kind == "attention" else None
        if self.score is not None:
            nn.init.zeros_(self.score.weight)

    def forward(self, x_BTD: Tensor, mask_BT: Tensor | None = None) -> Tensor:
        """Return ``B x D``."""
        if self.score is None:
            return POOLED[self.kind](x_BTD, mask_BT)
        score_BT: Tensor = self.score(x_BTD).squeeze(2)
        if mask_BT is not None:
            score_BT = score_BT.masked_fill(~mask_BT, -math.inf)
        return (score_BT.softmax(dim=1)[..., None] * x_BTD).sum(dim=1)


def step_norm(kind: StepNorm, channels: int) -> nn.Module | None:
    """Return the norm over ``B x C x T``, None for "none"; ``layer`` is over the channels of each step."""
    if kind == "batch":
        return nn.BatchNorm1d(channels)
    return ChannelNorm(channels) if kind == "layer" else None


def convolve(x_BTC: Tensor, weight_OCK: Tensor, *, dilation: int = 1, groups: int = 1) -> Tensor:
    """Return the convolution over steps that keeps their number, ``B x T x O``, of an odd kernel; zeros lie around.

    The channels of a step lie side by side, and steps ``dilation`` apart are the rows of an image, where convolutions
    are fastest on a CPU. Those of a single channel are a product of its windows and the kernels. A training step of
    ``lite`` (16 series of 256 steps, one thread) took 28 ms so, and 85 by ``nn.Conv1d``.
    """
    steps, half = x_BTC.shape[1], weight_OCK.shape[2] // 2
    if x_BTC.shape[2] == 1 and dilation == 1:
        windows_BTK = F.pad(x_BTC, (0, 0, half, half)).squeeze(2).unfold(1, 2 * half + 1, 1)
        return F.linear(windows_BTK, weight_OCK.squeeze(1))
    rows_BCRD = F.pad(x_BTC, (0, 0, 0, -steps % dilation)).unflatten(1, (-1, dilation)).permute(0, 3, 1, 2)
    out_BORD = F.conv2d(rows_BCRD, weight_OCK.unsqueeze(3), padding=(half, 0), groups=groups)
    return out_BORD.permute(0, 2, 3, 1).flatten(1, 2)[:, :steps]


class Convolution(nn.Conv1d):
    """Keeps the number of steps of ``B x T x C``, without a bias; an even ``kernel`` has one step more."""

    def __init__(self, before: int, after: int, kernel: int, *, dilation: int = 1, groups: int = 1) -> None:
        super().__init__(before, after, 2 * (kernel // 2) + 1, dilation=dilation, groups=groups, bias=False)
        initialise(self, after=None)

    def forward(self, x_BTC: Tensor) -> Tensor:
        """Return ``B x T x C``."""
        return convolve(x_BTC, self.weight, dilation=self.dilation[0], groups=self.groups)


class BatchNorm(nn.BatchNorm1d):
    """Of ``B x T x C``, over samples and steps."""

    def forward(self, x_BTC: Tensor) -> Tensor:
        """Return ``B x T x C``."""
        return super().forward(x_BTC.flatten(0, 1)).view_as(x_BTC)
