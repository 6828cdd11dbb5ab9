"""``tcn``: a temporal convolutional network, for sequences (Bai et al., 2018, arXiv:1803.01271).

``depth`` residual blocks, each twice ``causal conv, norm, activation, dropout``, and an activation behind the sum. A
causal convolution sees a step and those before it; its kernel's steps lie 1 apart in the first block and twice as far
in each further one, so that the last step sees ``1 + 2 (kernel - 1) (2^depth - 1)`` steps back. The paper normalises
the weights instead of the activations, and answers from the last step (``pooling: last``).

Shape legend: B batch, T steps, C channels.
"""

from __future__ import annotations

from typing import Annotated

import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from harness.models.family import FamilyConfig, family
from harness.models.layers import (
    ACTIVATIONS,
    MIN_WIDTH,
    Activation,
    ChannelNorm,
    Dropout,
    Residual,
    dropout,
    initialise,
    sequence,
)
from harness.models.sequences import Patch, Pool, Pooling, StepNorm, Steps, step_norm, takes_sequences
from harness.records import TaskShape


class TCNConfig(FamilyConfig):
    """Parameters of ``tcn``."""

    depth: Annotated[int, Field(strict=True, ge=1, le=12)] = 4
    """Number of residual blocks."""
    width: Annotated[int, Field(strict=True, ge=MIN_WIDTH, le=2048)] = 64
    """Channels of every block, and width of the vectors of tokens."""
    kernel: Annotated[int, Field(strict=True, ge=2, le=64)] = 7
    """Steps that a convolution sees."""
    pooling: Pooling = "mean"
    """How the steps become one vector."""
    patch: Patch = 1
    """Steps that are taken together as one, for long series; ``auto``: as few as leave at most 256."""
    activation: Activation = "relu"
    """Non-linearity."""
    norm: StepNorm = "batch"
    """Normalisation; ``layer`` is over the channels of each step."""
    dropout: Dropout = 0.0
    """Share of the activations set to zero in training, after every activation in a block."""


class Causal(nn.Conv1d):
    """A convolution over steps that sees none later than its own."""

    def forward(self, x_BCT: Tensor) -> Tensor:
        """Return ``B x C x T``."""
        return super().forward(F.pad(x_BCT, ((self.kernel_size[0] - 1) * self.dilation[0], 0)))


class TCN(nn.Module):
    """See the module's text; called with the sequence and, where lengths vary, its mask."""

    def __init__(self, config: TCNConfig, shape: TaskShape) -> None:
        super().__init__()
        self.steps = Steps(shape, config.width, config.patch)
        befores = [self.steps.channels, *[config.width] * (config.depth - 1)]
        blocks = (_block(config, before, 2**number) for number, before in enumerate(befores))
        self.blocks = nn.Sequential(*blocks)
        self.pool = Pool(config.pooling, config.width)
        self.output = initialise(nn.Linear(config.width, shape.outputs), after=None)

    def forward(self, x: Tensor, mask_BT: Tensor | None = None) -> Tensor:
        """Return logits or values, ``B x outputs``; steps that are not there come last, so that none sees them."""
        x_BTC, mask_BT = self.steps(x, mask_BT)
        x_BTC = self.blocks(x_BTC.transpose(1, 2)).transpose(1, 2)
        y_BO: Tensor = self.output(self.pool(x_BTC, mask_BT))
        return y_BO


def _block(config: TCNConfig, before: int, dilation: int) -> nn.Module:
    """Return a block with its connection around; a branch starts smaller the more of them are summed, as in resnet."""
    layers: dict[str, nn.Module | None] = {}
    for number, (channels, after) in enumerate([(before, None), (config.width, config.activation)], 1):
        convolution = Causal(channels, config.width, config.kernel, dilation=dilation, bias=config.norm != "batch")
        layers |= {
            f"convolution{number}": initialise(convolution, after=after),
            f"norm{number}": step_norm(config.norm, config.width),
            f"activation{number}": ACTIVATIONS[config.activation](),
            f"dropout{number}": dropout(config.dropout),
        }
    branch = sequence(**layers)
    scaled = [layer for layer in branch if isinstance(layer, Causal | nn.BatchNorm1d | ChannelNorm)][-1]
    scaled.weight.data.mul_(config.depth**-0.5)
    skip = nn.Identity() if before == config.width else initialise(nn.Conv1d(before, config.width, 1), after=None)
    return sequence(residual=Residual(branch, skip), activation=ACTIVATIONS[config.activation]())


@family(
    "tcn",
    summary="dilated causal convolutions in residual blocks, for series, text and other sequences",
    config=TCNConfig,
    why_not=takes_sequences,
)
def build_tcn(config: TCNConfig, shape: TaskShape) -> nn.Module:
    """Return the network for this task, which must be one of sequences."""
    return TCN(config, shape)
