"""``resnet``: residual networks, for images (He et al., 2016, arXiv:1512.03385).

A stem, then stages of blocks whose output is added to what comes in; the first block of every stage but the first
halves height and width by its 3 x 3 convolution, and a 1 x 1 convolution fits what it is added to. A block is

- ``basic``: two 3 x 3 convolutions,
- ``bottleneck``: 1 x 1, 3 x 3, 1 x 1 convolutions, the last with four times the channels of the stage;

with ``order: post``, ``conv, norm, activation, ..., conv, norm``, then the sum, then the activation; with
``order: pre`` (He et al., 2016, arXiv:1603.05027) ``norm, activation, conv, ...``, and a norm and an activation behind
the last block.
At the end each channel's mean goes into a linear layer. ``stages`` 4, ``width`` 64, ``stem: large`` is ResNet-18; the
default is close to the paper's ResNet-14 for images of 32 x 32 pixels.
"""

from __future__ import annotations

from typing import Literal

from torch import Tensor, nn

from harness.models.family import family, takes
from harness.models.layers import (
    ACTIVATIONS,
    Activation,
    GlobalAverage,
    Norm,
    Residual,
    initialise,
    norm,
    sequence,
)
from harness.models.stages import Place, StagesConfig, head, places, stochastic_depth
from harness.records import InputKind, TaskShape
from harness.spec.idle import Idle

EXPANSION = {"basic": 1, "bottleneck": 4}
"""Channels that a block gives over the width of its stage."""


class ResnetConfig(StagesConfig):
    """Parameters of ``resnet``."""

    block: Literal["basic", "bottleneck"] = "basic"
    """Two 3 x 3 convolutions, or a 3 x 3 one between two of 1 x 1, which give four times the width."""
    order: Literal["post", "pre"] = "post"
    """Norm and activation behind each convolution, or in front of it."""
    stem: Literal["small", "large"] = "small"
    """A 3 x 3 convolution; or 7 x 7 and a max pooling that quarter height and width, for images beyond 64 pixels."""
    activation: Activation = "relu"
    """Non-linearity."""
    norm: Norm = "batch"
    """Normalisation; ``layer`` is over channels, height and width."""


class Resnet(nn.Module):
    """See the module's text; called with ``x_BCHW``."""

    def __init__(self, config: ResnetConfig, shape: TaskShape) -> None:
        super().__init__()
        expansion = EXPANSION[config.block]
        self.stem = _stem(config, shape.inputs[0].sizes[0])
        self.blocks = nn.Sequential(
            *(_block(config, place) for place in places(config, config.width, expansion=expansion))
        )
        features = config.widths()[-1] * expansion
        self.last = sequence(**_between(config, features)) if config.order == "pre" else nn.Identity()
        self.collapse = GlobalAverage()
        self.head = head(config, features, shape.outputs)

    def forward(self, x_BCHW: Tensor) -> Tensor:
        """Return logits or values, ``B x outputs``."""
        x_BCHW = self.last(self.blocks(self.stem(x_BCHW)))
        y_BO: Tensor = self.head(self.collapse(x_BCHW))
        return y_BO


def _stem(config: ResnetConfig, channels: int) -> nn.Sequential:
    """Return what makes ``width`` channels of the image."""
    kernel, stride = (7, 2) if config.stem == "large" else (3, 1)
    return sequence(
        convolution=_convolution(config, channels, config.width, kernel, stride, first=True),
        **(_between(config, config.width) if config.order == "post" else {}),
        pool=nn.MaxPool2d(3, 2, padding=1) if config.stem == "large" else None,
    )


def _convolution(
    config: ResnetConfig, before: int, after: int, kernel: int, stride: int = 1, *, first: bool = False
) -> nn.Conv2d:
    """Return a convolution without a bias where a batch norm would remove it."""
    bias = config.norm != "batch"
    layer = nn.Conv2d(before, after, kernel, stride, padding=kernel // 2, bias=bias)
    return initialise(layer, after=None if first else config.activation)


def _between(config: ResnetConfig, channels: int) -> dict[str, nn.Module | None]:
    """Return what stands between two convolutions."""
    return {
        "norm": norm(config.norm, channels, spatial=True),
        "activation": ACTIVATIONS[config.activation](),
    }


def _convolutions(config: ResnetConfig, place: Place) -> list[nn.Conv2d]:
    """Return the convolutions of a block."""
    before, after, stride, _ = place
    if config.block == "basic":
        return [_convolution(config, before, after, 3, stride), _convolution(config, after, after, 3)]
    narrow = after // EXPANSION["bottleneck"]
    return [
        _convolution(config, before, narrow, 1),
        _convolution(config, narrow, narrow, 3, stride),
        _convolution(config, narrow, after, 1),
    ]


def _branch(config: ResnetConfig, place: Place) -> nn.Sequential:
    """Return what is added."""
    layers: dict[str, nn.Module | None] = {}
    convolutions = _convolutions(config, place)
    for number, convolution in enumerate(convolutions, 1):
        pre = config.order == "pre"
        between = _between(config, convolution.in_channels if pre else convolution.out_channels)
        if number == len(convolutions) and not pre:
            del between["activation"]  # it is behind the sum
        named = {f"{name}{number}": layer for name, layer in between.items()}
        own = {f"convolution{number}": convolution}
        layers |= {**named, **own} if pre else {**own, **named}
    return sequence(**layers, drop=stochastic_depth(place.drop))


def _block(config: ResnetConfig, place: Place) -> nn.Module:
    """Return a block with its connection around; a branch starts smaller the more of them are summed, as in cnn."""
    branch = _branch(config, place)
    scale = (config.stages * config.blocks) ** -0.5
    last = [layer for layer in branch if isinstance(layer, nn.Conv2d | nn.BatchNorm2d | nn.GroupNorm)][-1]
    last.weight.data.mul_(scale)
    residual = Residual(branch, _skip(config, place))
    if config.order == "pre":
        return residual
    return sequence(residual=residual, activation=ACTIVATIONS[config.activation]())


def _skip(config: ResnetConfig, place: Place) -> nn.Module:
    """Return what fits the input of a block to its output."""
    if place.before == place.after and place.stride == 1:
        return nn.Identity()
    return sequence(
        # A 1 x 1 convolution with this stride is the same, but in its gradient oneDNN (torch 2.13, AVX2) writes beyond
        # its memory where fewer than 8 channels come in and are stored last.
        every=nn.MaxPool2d(1, place.stride) if place.stride > 1 else None,
        projection=initialise(nn.Conv2d(place.before, place.after, 1, bias=False), after=None),
        norm=norm(config.norm, place.after, spatial=True) if config.order == "post" else None,
    )


@family(
    "resnet",
    summary="residual blocks, basic or bottleneck, norm and activation behind or in front, for images",
    config=ResnetConfig,
    why_not=takes((InputKind.IMAGE,)),
    idle=(Idle(("width_multiplier",), where={"stages": 1}),),
)
def build_resnet(config: ResnetConfig, shape: TaskShape) -> nn.Module:
    """Return the network for this task, which must be one of images."""
    return Resnet(config, shape)
