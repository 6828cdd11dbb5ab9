"""``convnext``: convolutions in the manner of a transformer, for images (Liu et al., 2022, arXiv:2201.03545).

The stem is a linear map of patches. A block is ``depthwise conv, norm, linear to expansion x C, activation, linear to
C, scale``, added to what comes in: the convolution mixes positions within a channel, the linear layers channels at a
position. In front of every stage but the first a norm and a linear map of 2 x 2 patches halve height and width. Norms
are layer norms over the channels of one position. At the end each channel's mean goes through a norm into a linear
layer.

The paper's networks have patches of 4 pixels, kernels of 7, four stages, and a scale that starts at 1e-6, for trainings
of 300 epochs; the defaults here are for small images and short trainings. Images that cannot be halved are padded.
"""

from __future__ import annotations

from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from harness.models.family import family, takes
from harness.models.layers import ACTIVATIONS, MIN_WIDTH, Activation, ChannelNorm, GlobalAverage, initialise
from harness.models.stages import Place, StagesConfig, head, patches, places, stochastic_depth
from harness.records import InputKind, TaskShape
from harness.spec.idle import Idle


class ConvnextConfig(StagesConfig):
    """Parameters of ``convnext``."""

    width: Annotated[int, Field(strict=True, ge=MIN_WIDTH, le=2048)] = 32
    """Channels of the first stage."""
    patch: Annotated[int, Field(strict=True, ge=1, le=64)] = 2
    """Height and width of the patches of the stem, in pixels."""
    kernel: Literal[3, 5, 7, 9, 11] = 5
    """Height and width of the depthwise convolutions' kernels, padded so that the map keeps its size."""
    expansion: Annotated[int, Field(strict=True, ge=1, le=8)] = 4
    """Units of a block's hidden layer over its channels."""
    layer_scale: Annotated[float, Field(strict=True, ge=0.0, le=1.0)] = 0.1
    """Where the factor of each channel of a branch starts (arXiv:2103.17239); 0: there is none."""
    activation: Activation = "gelu"
    """Non-linearity of the blocks."""


class Block(nn.Module):
    """See the module's text."""

    def __init__(self, config: ConvnextConfig, place: Place) -> None:
        super().__init__()
        width, hidden = place.after, place.after * config.expansion
        depthwise = nn.Conv2d(width, width, config.kernel, padding=config.kernel // 2, groups=width)
        self.depthwise = initialise(depthwise, after=None)
        self.norm = nn.LayerNorm(width)
        self.expand = initialise(nn.Linear(width, hidden), after=None)
        self.activation = ACTIVATIONS[config.activation]()
        self.project = initialise(nn.Linear(hidden, width), after=config.activation)
        self.scale = nn.Parameter(torch.full((width,), config.layer_scale)) if config.layer_scale else None
        self.drop = stochastic_depth(place.drop)

    def forward(self, x_BCHW: Tensor) -> Tensor:
        """Return the sum of the branch and what comes in."""
        out_BHWC: Tensor = self.norm(self.depthwise(x_BCHW).permute(0, 2, 3, 1))
        out_BHWC = self.project(self.activation(self.expand(out_BHWC)))
        if self.scale is not None:
            out_BHWC = out_BHWC * self.scale
        if self.drop is not None:
            out_BHWC = self.drop(out_BHWC)
        out_BCHW: Tensor = x_BCHW + out_BHWC.permute(0, 3, 1, 2)
        return out_BCHW


class Convnext(nn.Module):
    """See the module's text; called with ``x_BCHW``."""

    def __init__(self, config: ConvnextConfig, shape: TaskShape) -> None:
        super().__init__()
        channels, height, width = shape.inputs[0].sizes
        stem, sides = patches(channels, config.width, config.patch, (height, width))
        self.stages = nn.Sequential(stem, ChannelNorm(config.width))
        for place in places(config, config.width):
            if place.stride > 1:
                halve, sides = patches(place.before, place.after, place.stride, sides)
                self.stages.extend([ChannelNorm(place.before), halve])
            self.stages.append(Block(config, place))
        features = config.widths()[-1]
        self.collapse = GlobalAverage()
        self.norm = nn.LayerNorm(features)
        self.head = head(config, features, shape.outputs)

    def forward(self, x_BCHW: Tensor) -> Tensor:
        """Return logits or values, ``B x outputs``."""
        y_BO: Tensor = self.head(self.norm(self.collapse(self.stages(x_BCHW))))
        return y_BO


@family(
    "convnext",
    summary="patches, depthwise convolutions and linear layers over channels, in stages, for images",
    config=ConvnextConfig,
    why_not=takes((InputKind.IMAGE,)),
    idle=(Idle(("width_multiplier",), where={"stages": 1}),),
)
def build_convnext(config: ConvnextConfig, shape: TaskShape) -> nn.Module:
    """Return the network for this task, which must be one of images."""
    return Convnext(config, shape)
