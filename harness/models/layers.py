"""The layers that families share, each drawn and named as the configuration says.

Shape legend: B batch, F features, K categorical columns, C channels, H height, W width, T steps.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Annotated, Literal, TypeVar

from pydantic import Field
from torch import Tensor, nn

from harness.models.masks import QuickDropout

Activation = Literal["relu", "gelu", "silu", "tanh", "sigmoid", "elu", "leaky_relu"]
Norm = Literal["batch", "layer", "group", "none"]
Dropout = Annotated[float, Field(strict=True, ge=0.0, lt=1.0)]

ACTIVATIONS: dict[Activation, type[nn.Module]] = {
    "relu": nn.ReLU,
    "gelu": nn.GELU,
    "silu": nn.SiLU,
    "tanh": nn.Tanh,
    "sigmoid": nn.Sigmoid,
    "elu": nn.ELU,
    "leaky_relu": nn.LeakyReLU,
}

MIN_WIDTH = 4
"""Narrowest layer: a norm over fewer values leaves hardly more than their signs."""

GROUPS = (32, 16, 8, 4, 2, 1)
GROUP_WIDTH = 8
"""Fewest channels that share a group: a group of one on a 1 x 1 map, or in an MLP, would always give 0."""

Weighted = TypeVar("Weighted", nn.Linear, nn.Conv1d, nn.Conv2d)


def initialise(layer: Weighted, *, after: Activation | None, scale: float = 1.0) -> Weighted:
    """Draw the weights to suit the activation that feeds the layer (None: the input or a sum); biases become 0.

    Kaiming normal over the inputs for the relu-likes (He et al., 2015, arXiv:1502.01852), Xavier normal for the
    saturating ones (Glorot and Bengio, 2010), Kaiming with gain 1 after none. ``scale`` multiplies the weights.
    """
    if after in ("tanh", "sigmoid"):
        nn.init.xavier_normal_(layer.weight, gain=nn.init.calculate_gain(after))
    elif after is None:
        nn.init.kaiming_normal_(layer.weight, nonlinearity="linear")
    elif after == "leaky_relu":
        nn.init.kaiming_normal_(layer.weight, a=0.01, nonlinearity="leaky_relu")
    else:
        nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
    layer.weight.data.mul_(scale)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
    return layer


def groups(channels: int) -> int:
    """Return the most of GROUPS that divide ``channels`` and leave at least GROUP_WIDTH in each, else 1.

    Wu and He (2018, arXiv:1803.08494) found 32 groups, or 16 channels a group, best; one channel a group worst.
    """
    return next((count for count in GROUPS if channels % count == 0 and channels // count >= GROUP_WIDTH), 1)


def norm(kind: Norm, channels: int, *, spatial: bool) -> nn.Module | None:
    """Return the norm over ``B x channels`` (or ``B x channels x H x W`` when spatial), None for "none".

    The layer norm of a map is taken over channels, height and width: a group norm with one group.
    """
    if kind == "batch":
        return nn.BatchNorm2d(channels) if spatial else nn.BatchNorm1d(channels)
    if kind == "layer":
        return nn.GroupNorm(1, channels) if spatial else nn.LayerNorm(channels)
    if kind == "group":
        return nn.GroupNorm(groups(channels), channels)
    return None


def dropout(share: float) -> nn.Dropout | None:
    """Return the dropout layer, None when it would do nothing."""
    return QuickDropout(share) if share > 0.0 else None


def sequence(**layers: nn.Module | None) -> nn.Sequential:
    """Return the named layers in order, without those that are None."""
    return nn.Sequential(OrderedDict((name, layer) for name, layer in layers.items() if layer is not None))


class Residual(nn.Module):
    """``skip(x) + branch(x)``; the skip is the identity wherever the shapes allow it."""

    def __init__(self, branch: nn.Module, skip: nn.Module) -> None:
        super().__init__()
        self.branch = branch
        self.skip = skip

    def forward(self, x: Tensor, *others: Tensor | None) -> Tensor:
        """Add the branch to the stream; it alone sees what else it is called with."""
        out: Tensor = self.skip(x) + self.branch(x, *others)
        return out


class ChannelNorm(nn.LayerNorm):
    """A layer norm over the channels of each position, or step."""

    def forward(self, x_BCHW: Tensor) -> Tensor:
        """Return ``B x C x H x W``, or ``B x C x T``."""
        return super().forward(x_BCHW.movedim(1, -1)).movedim(-1, 1)


class GlobalAverage(nn.Module):
    """Mean of each channel; unlike adaptive pooling its gradient is deterministic on CUDA."""

    def forward(self, x_BCHW: Tensor) -> Tensor:
        """Return ``B x C``."""
        return x_BCHW.mean(dim=(2, 3))


class GlobalMax(nn.Module):
    """Maximum of each channel; unlike adaptive pooling its gradient is deterministic on CUDA."""

    def forward(self, x_BCHW: Tensor) -> Tensor:
        """Return ``B x C``."""
        return x_BCHW.amax(dim=(2, 3))
