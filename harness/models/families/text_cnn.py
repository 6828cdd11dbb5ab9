"""``text_cnn``: convolutions over neighbouring words and their maxima, for text (Kim, 2014, arXiv:1408.5882).

Convolutions over ``kernel``, ``kernel + 1`` and ``kernel + 2`` tokens' vectors lie side by side, ``filters`` channels
of each; of every channel the maximum over the text, behind an activation and dropout, goes into a linear layer. The
paper has kernels of 3, 4 and 5, 100 filters, dropout 0.5, and vectors of 300 numbers learned on other text.

Shape legend: B batch, T tokens, D width, C channels.
"""

from __future__ import annotations

import math
from typing import Annotated

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from harness.models.family import FamilyConfig, family
from harness.models.layers import ACTIVATIONS, MIN_WIDTH, Activation, Dropout, dropout, initialise
from harness.models.sequences import Steps, masked, takes_tokens
from harness.records import TaskShape

KERNELS = 3
"""How many lengths there are."""


class TextCNNConfig(FamilyConfig):
    """Parameters of ``text_cnn``."""

    width: Annotated[int, Field(strict=True, ge=MIN_WIDTH, le=4096)] = 128
    """Numbers of a token's vector."""
    filters: Annotated[int, Field(strict=True, ge=MIN_WIDTH, le=4096)] = 100
    """Channels of each length."""
    kernel: Annotated[int, Field(strict=True, ge=1, le=32)] = 3
    """Tokens that the shortest convolutions see; the others see one and two more."""
    activation: Activation = "relu"
    """Non-linearity, behind the maximum."""
    dropout: Dropout = 0.5
    """Share of the features set to zero in training, in front of the last layer."""


class Windows(nn.Conv1d):
    """A convolution with a window around every token; those at the ends reach beyond the text, over zeros."""

    def forward(self, x_BDT: Tensor) -> Tensor:
        """Return ``B x C x T``."""
        kernel = self.kernel_size[0]
        return super().forward(F.pad(x_BDT, ((kernel - 1) // 2, kernel // 2)))


class TextCNN(nn.Module):
    """See the module's text; called with the tokens and, where lengths vary, their mask."""

    def __init__(self, config: TextCNNConfig, shape: TaskShape) -> None:
        super().__init__()
        self.steps = Steps(shape, config.width)
        kernels = range(config.kernel, config.kernel + KERNELS)
        self.convolutions = nn.ModuleList(
            initialise(Windows(config.width, config.filters, kernel), after=None) for kernel in kernels
        )
        self.activation = ACTIVATIONS[config.activation]()
        self.dropout = dropout(config.dropout) or nn.Identity()
        self.output = initialise(nn.Linear(KERNELS * config.filters, shape.outputs), after=config.activation)

    def forward(self, codes_BT: Tensor, mask_BT: Tensor | None = None) -> Tensor:
        """Return logits or values, ``B x outputs``."""
        x_BTD, mask_BT = self.steps(codes_BT, mask_BT)
        x_BDT = x_BTD.transpose(1, 2).contiguous()  # once, as each convolution would copy it
        highest = [masked(layer(x_BDT), mask_BT, -math.inf).amax(dim=2) for layer in self.convolutions]
        y_BO: Tensor = self.output(self.dropout(self.activation(torch.cat(highest, dim=1))))
        return y_BO


@family(
    "text_cnn",
    summary="convolutions over neighbouring tokens and their maxima, for text",
    config=TextCNNConfig,
    why_not=takes_tokens,
)
def build_text_cnn(config: TextCNNConfig, shape: TaskShape) -> nn.Module:
    """Return the network for this task, which must be one of text."""
    return TextCNN(config, shape)
