"""``cnn``: stages of convolutions at falling resolution, for images.

A stage is ``blocks`` convolutions of one width; between stages the map is pooled by 2 and the width multiplied. The
layers are ``conv, (norm, activation, conv) x (convolutions - 1), norm, activation, head``, with the pooling in front
of a stage's first block (as in KellerJordan/cifar10-airbench: conv, pool, norm, activation). ``residual`` adds
connections from the output of one convolution to that of the next, around the norm and the activation
(pre-activation, He et al., 2016, arXiv:1603.05027): the layers and their order stay the same.
"""

from __future__ import annotations

import itertools
from typing import Annotated, Literal

from pydantic import Field
from torch import Tensor, nn

from harness.models.family import Choice, FamilyConfig, family, takes
from harness.models.layers import (
    ACTIVATIONS,
    MIN_WIDTH,
    Activation,
    Dropout,
    GlobalAverage,
    GlobalMax,
    Norm,
    Residual,
    dropout,
    initialise,
    norm,
    sequence,
)
from harness.records import InputKind, TaskShape
from harness.spec.idle import Idle

POOLING: dict[str, type[nn.MaxPool2d] | type[nn.AvgPool2d]] = {"max": nn.MaxPool2d, "average": nn.AvgPool2d}
COLLAPSE: dict[str, type[nn.Module]] = {"average": GlobalAverage, "max": GlobalMax, "none": nn.Flatten}


class LinearHead(FamilyConfig):
    """One linear layer; it has no parameters."""


class MLPHead(FamilyConfig):
    """One hidden layer with the activation of the network, then a linear layer."""

    width: Annotated[int, Field(strict=True, ge=MIN_WIDTH, le=16384)] = 128
    """Units of the hidden layer."""


class Head(Choice):
    """What turns the features into outputs: ``linear``, or ``{mlp: {width: 128}}``."""

    linear: LinearHead | None = None
    """One linear layer."""
    mlp: MLPHead | None = None
    """A hidden layer, then a linear layer."""


class CNNConfig(FamilyConfig):
    """Parameters of ``cnn``."""

    stages: Annotated[int, Field(strict=True, ge=1, le=8)] = 3
    """Number of stages, each at half the height and width of the one before, down to 1 x 1."""
    width: Annotated[int, Field(strict=True, ge=MIN_WIDTH, le=2048)] = 32
    """Channels of the first stage."""
    width_multiplier: Annotated[float, Field(strict=True, ge=1.0, le=4.0)] = 2.0
    """Factor of the channels from one stage to the next."""
    blocks: Annotated[int, Field(strict=True, ge=1, le=32)] = 1
    """Convolutions in each stage."""
    kernel: Literal[1, 3, 5, 7, 9, 11] = 3
    """Height and width of the convolutions' kernels; odd, padded with zeros so that the map keeps its size."""
    pooling: Literal["max", "average"] = "max"
    """How the map is halved between stages."""
    activation: Activation = "relu"
    """Non-linearity after every convolution and in the head."""
    norm: Norm = "batch"
    """Normalisation of every convolution, before its activation; ``layer`` is over channels, height and width."""
    dropout: Dropout = 0.0
    """Share of the features set to zero in training, in front of every linear layer of the head."""
    residual: Annotated[bool, Field(strict=True)] = False
    """Add each convolution's output to the next one's; by 1 x 1 projection where the channels differ."""
    global_pooling: Literal["average", "max", "none"] = "average"
    """What the head sees of the last map: each channel's average or maximum, or (none) every position."""
    head: Head = Head(linear=LinearHead())
    """What turns the features into outputs: ``linear``, or ``{mlp: {width: 128}}``."""

    def widths(self) -> list[int]:
        """Return the channels of every stage."""
        return [round(self.width * self.width_multiplier**stage) for stage in range(self.stages)]


class CNN(nn.Module):
    """See the module's text; called with ``x_BCHW``."""

    def __init__(self, config: CNNConfig, shape: TaskShape) -> None:
        super().__init__()
        channels, height, width = shape.inputs[0].sizes
        widths = config.widths()
        self.stem = _convolution(config, channels, widths[0], after=None)
        self.stages = nn.Sequential(_stage(config, widths[0], widths[0], config.blocks - 1, pool=None))
        for before, after in itertools.pairwise(widths):
            window = (min(2, height), min(2, width))  # 1 along a side that cannot be halved
            height, width = height // window[0], width // window[1]
            pool = POOLING[config.pooling](window) if window != (1, 1) else None
            self.stages.append(_stage(config, before, after, config.blocks, pool=pool))
        self.last = sequence(**_between(config, widths[-1]))
        self.collapse = COLLAPSE[config.global_pooling]()
        positions = height * width if config.global_pooling == "none" else 1
        self.head = _head(config, widths[-1] * positions, shape.outputs)

    def forward(self, x_BCHW: Tensor) -> Tensor:
        """Return logits or values, ``B x outputs``."""
        x_BCHW = self.last(self.stages(self.stem(x_BCHW)))
        y_BO: Tensor = self.head(self.collapse(x_BCHW))
        return y_BO


def _convolution(
    config: CNNConfig, inputs: int, outputs: int, *, after: Activation | None, scale: float = 1.0
) -> nn.Conv2d:
    """Return a convolution that keeps height and width, without a bias where a batch norm would remove it."""
    bias = config.norm != "batch"
    layer = nn.Conv2d(inputs, outputs, config.kernel, padding=config.kernel // 2, bias=bias)
    return initialise(layer, after=after, scale=scale)


def _between(config: CNNConfig, channels: int) -> dict[str, nn.Module | None]:
    """Return what stands between two convolutions."""
    return {
        "norm": norm(config.norm, channels, spatial=True),
        "activation": ACTIVATIONS[config.activation](),
    }


def _stage(config: CNNConfig, before: int, after: int, blocks: int, *, pool: nn.Module | None) -> nn.Sequential:
    """Return the pooling and blocks of one stage; its first block changes the channels."""
    inputs = [before, *[after] * (blocks - 1)]
    named = {f"block{number}": _block(config, channels, after) for number, channels in enumerate(inputs[:blocks], 1)}
    return sequence(pool=pool, **named)


def _block(config: CNNConfig, before: int, after: int) -> nn.Module:
    """Return one further convolution, with its connection around when residual."""
    # Branches start smaller the more of them are summed, so that the sum starts at unit size (as in GPT-2).
    # A zero start of the branch would do that too, but gives the layers inside it no gradient in the first step.
    scale = (config.stages * config.blocks - 1) ** -0.5 if config.residual else 1.0
    convolution = _convolution(config, before, after, after=config.activation, scale=scale)
    branch = sequence(**_between(config, before), convolution=convolution)
    if not config.residual:
        return branch
    if before == after:
        return Residual(branch, nn.Identity())
    return Residual(branch, initialise(nn.Conv2d(before, after, 1, bias=False), after=None))


def _head(config: CNNConfig, features: int, outputs: int) -> nn.Sequential:
    """Return the linear layers that end the network."""
    if config.head.mlp is None:
        output = initialise(nn.Linear(features, outputs), after=config.activation)
        return sequence(dropout=dropout(config.dropout), output=output)
    hidden = config.head.mlp.width
    return sequence(
        dropout=dropout(config.dropout),
        hidden=initialise(nn.Linear(features, hidden), after=config.activation),
        activation=ACTIVATIONS[config.activation](),
        hidden_dropout=dropout(config.dropout),
        output=initialise(nn.Linear(hidden, outputs), after=config.activation),
    )


@family(
    "cnn",
    summary="convolutions in stages of falling resolution and growing width, for images",
    config=CNNConfig,
    why_not=takes((InputKind.IMAGE,)),
    idle=(
        Idle(("width_multiplier", "pooling"), where={"stages": 1}),
        Idle(("residual",), where={"stages": 1, "blocks": 1}),
    ),
)
def build_cnn(config: CNNConfig, shape: TaskShape) -> nn.Module:
    """Return the network for this task, which must be one of images."""
    return CNN(config, shape)
