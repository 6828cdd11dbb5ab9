"""``mobilenet``: inverted residuals, for images at little cost (Sandler et al., 2018, arXiv:1801.04381).

A block is ``1 x 1 conv to expansion x C, norm, activation, depthwise conv, norm, activation, (squeeze-excite), 1 x 1
conv, norm``: wide where it is cheap, without an activation where it is narrow. It is added to what comes in where that
has the same shape. The depthwise convolution of the first block of every stage but the first halves height and width.
At the end a 1 x 1 convolution makes ``features`` channels, whose means go into a linear layer.

Squeeze-excite (Hu et al., 2018, arXiv:1709.01507; in these blocks Howard et al., 2019, arXiv:1905.02244) multiplies
each channel by a factor in (0, 1) that two layers make of all channels' means.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field
from torch import Tensor, nn

from harness.models.family import family, takes
from harness.models.layers import (
    ACTIVATIONS,
    MIN_WIDTH,
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


class MobilenetConfig(StagesConfig):
    """Parameters of ``mobilenet``."""

    expansion: Annotated[int, Field(strict=True, ge=1, le=8)] = 4
    """Channels of a block's depthwise convolution over those that come in; with 1 there is no convolution before it."""
    kernel: Literal[3, 5, 7] = 3
    """Height and width of the depthwise convolutions' kernels, padded so that the map keeps its size."""
    squeeze_excite: Annotated[float, Field(strict=True, ge=0.0, le=1.0)] = 0.25
    """Units of squeeze-excite over the channels that come into the block; 0: there is none."""
    features: Annotated[int, Field(strict=True, ge=MIN_WIDTH, le=16384)] = 128
    """Channels of the last convolution."""
    stem: Literal["small", "large"] = "small"
    """Stride of the first convolution, 3 x 3: 1; or 2, for images beyond 64 pixels."""
    activation: Activation = "silu"
    """Non-linearity."""
    norm: Norm = "batch"
    """Normalisation; ``layer`` is over channels, height and width."""


class SqueezeExcite(nn.Module):
    """See the module's text."""

    def __init__(self, channels: int, units: int, activation: Activation) -> None:
        super().__init__()
        self.squeeze = initialise(nn.Conv2d(channels, units, 1), after=None)
        self.activation = ACTIVATIONS[activation]()
        self.excite = initialise(nn.Conv2d(units, channels, 1), after=activation)
        self.gate = nn.Sigmoid()

    def forward(self, x_BCHW: Tensor) -> Tensor:
        """Return the channels, each multiplied by its factor."""
        mean_BC11 = x_BCHW.mean(dim=(2, 3), keepdim=True)
        out: Tensor = x_BCHW * self.gate(self.excite(self.activation(self.squeeze(mean_BC11))))
        return out


class Mobilenet(nn.Module):
    """See the module's text; called with ``x_BCHW``."""

    def __init__(self, config: MobilenetConfig, shape: TaskShape) -> None:
        super().__init__()
        stride = 2 if config.stem == "large" else 1
        self.stem = sequence(**_layer(config, "", shape.inputs[0].sizes[0], config.width, 3, stride=stride))
        self.blocks = nn.Sequential(*(_block(config, place) for place in places(config, config.width)))
        self.last = sequence(**_layer(config, "", config.widths()[-1], config.features, 1))
        self.collapse = GlobalAverage()
        self.head = head(config, config.features, shape.outputs)

    def forward(self, x_BCHW: Tensor) -> Tensor:
        """Return logits or values, ``B x outputs``."""
        y_BO: Tensor = self.head(self.collapse(self.last(self.blocks(self.stem(x_BCHW)))))
        return y_BO


def _layer(
    config: MobilenetConfig,
    name: str,
    before: int,
    after: int,
    kernel: int,
    *,
    stride: int = 1,
    depthwise: bool = False,
    linear: bool = False,
) -> dict[str, nn.Module | None]:
    """Return a convolution with its norm and, unless it is ``linear``, its activation."""
    convolution = nn.Conv2d(
        before,
        after,
        kernel,
        stride,
        padding=kernel // 2,
        groups=before if depthwise else 1,
        bias=config.norm != "batch",
    )
    return {
        f"{name}convolution": initialise(convolution, after=config.activation),
        f"{name}norm": norm(config.norm, after, spatial=True),
        f"{name}activation": None if linear else ACTIVATIONS[config.activation](),
    }


def _block(config: MobilenetConfig, place: Place) -> nn.Module:
    """Return an inverted residual."""
    before, after, stride, drop = place
    wide, units = before * config.expansion, round(before * config.squeeze_excite)
    expand = _layer(config, "expand_", before, wide, 1) if config.expansion > 1 else {}
    branch: dict[str, nn.Module | None] = {
        **expand,
        **_layer(config, "depthwise_", wide, wide, config.kernel, stride=stride, depthwise=True),
        "squeeze_excite": SqueezeExcite(wide, max(units, 1), config.activation) if config.squeeze_excite else None,
        **_layer(config, "project_", wide, after, 1, linear=True),
    }
    if before != after or stride > 1:
        return sequence(**branch)
    return Residual(sequence(**branch, drop=stochastic_depth(drop)), nn.Identity())


@family(
    "mobilenet",
    summary="inverted residuals with squeeze-excite: depthwise convolutions between narrow layers, for images",
    config=MobilenetConfig,
    why_not=takes((InputKind.IMAGE,)),
    idle=(Idle(("width_multiplier",), where={"stages": 1}),),
)
def build_mobilenet(config: MobilenetConfig, shape: TaskShape) -> nn.Module:
    """Return the network for this task, which must be one of images."""
    return Mobilenet(config, shape)
