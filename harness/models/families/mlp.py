"""``mlp``: fully connected layers, for tables and for flattened images.

The layers are ``linear, (norm, activation, dropout, linear) x (depth - 1), norm, activation, dropout, linear``.
``residual`` adds connections from the output of one hidden linear layer to that of the next, around the norm and the
activation (pre-activation, He et al., 2016, arXiv:1603.05027): the layers and their order stay the same.
"""

from __future__ import annotations

import itertools
import math
from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from harness.errors import InputError
from harness.models.family import FamilyConfig, family, takes
from harness.models.layers import (
    ACTIVATIONS,
    MIN_WIDTH,
    Activation,
    Dropout,
    Norm,
    Residual,
    dropout,
    initialise,
    norm,
    sequence,
)
from harness.models.tables import Numeric, Periodic, PiecewiseLinear, embedding, embedding_width, encoder, undecayed
from harness.records import InputKind, TaskShape
from harness.spec.idle import Idle


class MLPConfig(FamilyConfig):
    """Parameters of ``mlp``."""

    depth: Annotated[int, Field(strict=True, ge=0, le=64)] = 2
    """Number of hidden layers; 0 is a linear model (logistic or linear regression)."""
    width: Annotated[int, Field(strict=True, ge=MIN_WIDTH, le=16384)] = 128
    """Units of the first hidden layer."""
    shape: Literal["constant", "pyramid"] = "constant"
    """Widths of the further layers: all the same, or each half of the one before (never under 4)."""
    activation: Activation = "relu"
    """Non-linearity after every hidden layer."""
    norm: Norm = "none"
    """Normalisation of every hidden layer, before its activation."""
    dropout: Dropout = 0.0
    """Share of the activations set to zero in training, after every activation."""
    residual: Annotated[bool, Field(strict=True)] = False
    """Add each hidden layer's output to the next one's; by projection where the widths differ."""
    numeric: Numeric = "plain"
    """How numeric columns of a table come in: as they are, or with piecewise-linear or periodic encodings beside."""

    def widths(self) -> list[int]:
        """Return the width of every hidden layer."""
        halvings = range(self.depth) if self.shape == "pyramid" else [0] * self.depth
        return [max(self.width >> times, MIN_WIDTH) for times in halvings]


class MLP(nn.Module):
    """See the module's text; called with ``x_BCHW``, ``x_BF``, or ``x_BF, c_BK``."""

    def __init__(self, config: MLPConfig, shape: TaskShape) -> None:
        super().__init__()
        cardinalities = [count for codes in shape.inputs[1:] for count in codes.cardinalities]
        self.embeddings = nn.ModuleList(map(embedding, cardinalities))
        self.numeric = _numeric(config, shape)
        encodings = self.numeric.encodings if self.numeric is not None else 0
        inputs = math.prod(shape.inputs[0].sizes) + encodings + sum(map(embedding_width, cardinalities))
        widths = config.widths()
        if not widths:
            self.hidden = nn.Sequential()
            self.output = initialise(nn.Linear(inputs, shape.outputs), after=None)
            return
        stem = initialise(nn.Linear(inputs, widths[0], bias=config.norm != "batch"), after=None)
        pairs = enumerate(itertools.pairwise(widths), 1)
        blocks = {f"block{number}": _block(config, before, after) for number, (before, after) in pairs}
        self.hidden = sequence(stem=stem, **blocks, last=sequence(**_between(config, widths[-1])))
        self.output = initialise(nn.Linear(widths[-1], shape.outputs), after=config.activation)

    def forward(self, x: Tensor, c_BK: Tensor | None = None) -> Tensor:
        """Return logits or values, ``B x outputs``."""
        x_BF = x.flatten(1)
        if self.numeric is not None:
            x_BF = self.numeric(x_BF)
        if c_BK is not None:
            embedded = [embed(c_BK[:, column]) for column, embed in enumerate(self.embeddings)]
            x_BF = torch.cat([x_BF, *embedded], dim=1)
        y_BO: Tensor = self.output(self.hidden(x_BF))
        return y_BO

    def learning_factors(self) -> dict[str, tuple[float, float]]:
        """Return the factors of rate and decay of encodings that are learned."""
        return undecayed(self)


def _numeric(config: MLPConfig, shape: TaskShape) -> PiecewiseLinear | Periodic | None:
    """Return what encodes the numbers, where that was asked for."""
    if config.numeric != "plain" and shape.inputs[0].kind is InputKind.IMAGE:
        raise InputError(
            f"architecture.mlp.numeric: {config.numeric} is for columns of a table, not for pixels; leave it out"
        )
    return encoder(config.numeric, shape.inputs[0])


def _between(config: MLPConfig, width: int) -> dict[str, nn.Module | None]:
    """Return what stands between two linear layers."""
    return {
        "norm": norm(config.norm, width, spatial=False),
        "activation": ACTIVATIONS[config.activation](),
        "dropout": dropout(config.dropout),
    }


def _block(config: MLPConfig, before: int, after: int) -> nn.Module:
    """Return one further hidden layer, with its connection around when residual."""
    bias = config.norm != "batch"  # a batch norm takes away any constant that is added before it
    # Branches start smaller the more of them are summed, so that the sum starts at unit size (as in GPT-2).
    scale = (config.depth - 1) ** -0.5 if config.residual else 1.0
    linear = initialise(nn.Linear(before, after, bias=bias), after=config.activation, scale=scale)
    branch = sequence(**_between(config, before), linear=linear)
    if not config.residual:
        return branch
    if before == after:
        return Residual(branch, nn.Identity())
    return Residual(branch, initialise(nn.Linear(before, after, bias=False), after=None))


@family(
    "mlp",
    summary="fully connected layers, for tables (with embeddings of categories) and flattened images",
    config=MLPConfig,
    why_not=takes((InputKind.IMAGE,), (InputKind.NUMERIC,), (InputKind.NUMERIC, InputKind.CATEGORICAL)),
    idle=(
        Idle(("width", "activation", "norm", "dropout"), where={"depth": 0}),
        Idle(("shape", "residual"), where={"depth": 1}),
    ),
)
def build_mlp(config: MLPConfig, shape: TaskShape) -> nn.Module:
    """Return the network for this task."""
    return MLP(config, shape)
