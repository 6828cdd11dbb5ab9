"""What recurrent families share: layers that go through the steps one after the other.

Each of ``depth`` layers gives ``width`` numbers for every step, from the step and what it gave for the one before;
``bidirectional`` ones have as many again from a second network that goes from the last step to the first. Dropout
follows every layer, then the steps are pooled into one vector for a linear layer. ``last`` is the state at the end: of
the direction backwards that is at the first step.

Where lengths vary, the direction backwards begins at each sample's own last step, as with packed sequences; the shapes
stay fixed. Weights between states begin as orthogonal matrices (Saxe et al., 2014, arXiv:1312.6120), one for each gate.
Shape legend: B batch, T steps, D width.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor, nn

from harness.models.family import FamilyConfig
from harness.models.layers import MIN_WIDTH, Dropout, dropout, initialise
from harness.models.sequences import Patch, Pool, Pooling, Steps, last
from harness.records import TaskShape

Make = Callable[[int, int], nn.RNNBase]
"""Takes inputs and width; returns one layer in one direction, the batch first."""


class RecurrentConfig(FamilyConfig):
    """Parameters of every recurrent family."""

    depth: Annotated[int, Field(strict=True, ge=1, le=16)] = 1
    """Number of layers."""
    width: Annotated[int, Field(strict=True, ge=MIN_WIDTH, le=4096)] = 64
    """Units of each layer in each direction, and of the vectors of tokens."""
    bidirectional: Annotated[bool, Field(strict=True)] = True
    """Go through the steps from both ends."""
    pooling: Pooling = "mean"
    """How the steps become one vector."""
    patch: Patch = 1
    """Steps that are taken together as one, for long series; ``auto``: as few as leave at most 256."""
    dropout: Dropout = 0.0
    """Share of the activations set to zero in training, after every layer."""


class Layer(nn.Module):
    """One layer, in one direction or in both."""

    def __init__(self, make: Make, inputs: int, config: RecurrentConfig) -> None:
        super().__init__()
        self.onwards = _drawn(make(inputs, config.width))
        self.backwards = _drawn(make(inputs, config.width)) if config.bidirectional else None

    def forward(self, x_BTD: Tensor, mask_BT: Tensor | None = None) -> Tensor:
        """Return ``B x T x D``, onwards first."""
        on_BTD = states(self.onwards, x_BTD)
        if self.backwards is None:
            return on_BTD
        back_BTD = turned(states(self.backwards, turned(x_BTD, mask_BT)), mask_BT)
        return torch.cat([on_BTD, back_BTD], dim=2)


def states(layer: nn.RNNBase, x_BTD: Tensor) -> Tensor:
    """Return what a layer gives for every step.

    In fp32 where autocast asks for bf16 on a processor without it, for which oneDNN (torch 2.13) has no LSTM.
    """
    if x_BTD.is_cpu and torch.is_autocast_enabled("cpu") and not torch.ops.mkldnn._is_mkldnn_bf16_supported():
        with torch.autocast("cpu", enabled=False):
            out_BTD: Tensor = layer(x_BTD.float())[0]
    else:
        out_BTD = layer(x_BTD)[0]
    return out_BTD


def turned(x_BTD: Tensor, mask_BT: Tensor | None) -> Tensor:
    """Return the steps that are there in the other order; the others stay behind them."""
    if mask_BT is None:
        return x_BTD.flip(1)
    place_T = torch.arange(x_BTD.shape[1], device=x_BTD.device)
    length_B1 = mask_BT.sum(dim=1, keepdim=True)
    place_BT = torch.where(place_T < length_B1, length_B1 - 1 - place_T, place_T)
    return x_BTD.gather(1, place_BT[..., None].expand_as(x_BTD))


def _drawn(layer: nn.RNNBase) -> nn.RNNBase:
    """Draw the weights of each gate for itself; biases become 0, those of an LSTM's forget gate 1.

    So it remembers from the start (Jozefowicz et al., 2015, section 2.2).
    """
    width = layer.hidden_size
    for name, parameter in layer.named_parameters():
        if name.startswith("bias"):
            nn.init.zeros_(parameter)
            continue
        draw = nn.init.orthogonal_ if name.startswith("weight_hh") else nn.init.xavier_uniform_
        for gate in parameter.data.split(width):
            draw(gate)
    if isinstance(layer, nn.LSTM):
        nn.init.ones_(layer.get_parameter("bias_ih_l0").data[width : 2 * width])
    return layer


class Recurrent(nn.Module):
    """See the module's text; called with the sequence and, where lengths vary, its mask."""

    def __init__(self, config: RecurrentConfig, shape: TaskShape, make: Make) -> None:
        super().__init__()
        self.steps = Steps(shape, config.width, config.patch)
        width = config.width * (2 if config.bidirectional else 1)
        inputs = [self.steps.channels, *[width] * (config.depth - 1)]
        self.layers = nn.ModuleList(Layer(make, each, config) for each in inputs)
        self.dropout = dropout(config.dropout) or nn.Identity()
        self.pool = Pool(config.pooling, width)
        self.output = initialise(nn.Linear(width, shape.outputs), after=None)
        self._config = config

    def forward(self, x: Tensor, mask_BT: Tensor | None = None) -> Tensor:
        """Return logits or values, ``B x outputs``."""
        x_BTD, mask_BT = self.steps(x, mask_BT)
        for layer in self.layers:
            x_BTD = self.dropout(layer(x_BTD, mask_BT))
        y_BO: Tensor = self.output(self._pooled(x_BTD, mask_BT))
        return y_BO

    def _pooled(self, x_BTD: Tensor, mask_BT: Tensor | None) -> Tensor:
        if self._config.pooling == "last":
            width = self._config.width
            return torch.cat([last(x_BTD[..., :width], mask_BT), x_BTD[:, 0, width:]], dim=1)
        pooled_BD: Tensor = self.pool(x_BTD, mask_BT)
        return pooled_BD
