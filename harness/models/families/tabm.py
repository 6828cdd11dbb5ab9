"""``tabm``: many multilayer perceptrons in one set of weights, for tables (Gorishniy et al., 2024, arXiv:2410.24210).

Each member multiplies the inputs of the first linear layer by numbers of its own, which makes it see other features;
the layer's weights are those of all members. With ``kind`` full it does the same before and behind every further hidden
layer and has biases of its own (BatchEnsemble, Wen et al., 2020, arXiv:2002.06715); with mini all that follows the
first multiplication is shared. The layers are ``(linear, activation, dropout) x depth``, and a linear layer for each
member alone. Members learn each for itself: the loss is the mean of theirs. In use the model answers with the mean of
their probabilities, or of their values.

The numbers before the first layer are drawn, one for each column and member: 1 or -1, and normal where numbers have
encodings; all other ones begin as 1. Numbers that multiply, and biases, do not decay. It takes ``members`` times the
work of an ``mlp`` for a sample. Shape legend: M members, B batch, I inputs and O outputs of a layer.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from harness.models.family import FamilyConfig, family, takes
from harness.models.layers import ACTIVATIONS, MIN_WIDTH, Activation, Dropout, dropout, initialise, sequence
from harness.models.tables import Columns, Numeric, undecayed
from harness.problems import problems
from harness.problems.outputs import Members
from harness.records import InputKind, TaskShape

OWN = ("scale", "bias")
"""What the parameters are called that members have for themselves, beside the last layer's weights."""


class TabMConfig(FamilyConfig):
    """Parameters of ``tabm``."""

    members: Annotated[int, Field(strict=True, ge=2, le=256)] = 16
    """How many perceptrons there are in one; the paper has 32."""
    kind: Literal["full", "mini"] = "full"
    """Whether members differ around every layer, or before the first and in the last one only."""
    depth: Annotated[int, Field(strict=True, ge=1, le=16)] = 2
    """Number of hidden layers."""
    width: Annotated[int, Field(strict=True, ge=MIN_WIDTH, le=4096)] = 256
    """Units of every hidden layer."""
    activation: Activation = "relu"
    """Non-linearity after every hidden layer."""
    dropout: Dropout = 0.1
    """Share of the activations set to zero in training, after every activation."""
    numeric: Numeric = "plain"
    """How numbers come in: as they are, or with piecewise-linear or periodic encodings beside them."""


class Scale(nn.Module):
    """Multiplies what a layer takes or returns, for each member by numbers of its own."""

    def __init__(self, members: int, features: int) -> None:
        super().__init__()
        # Three dimensions: it is no matrix, though it has as many numbers as one.
        self.scale = nn.Parameter(torch.ones(members, 1, features))

    def forward(self, x: Tensor) -> Tensor:
        """Return ``M x B x I`` of these, or of ``B x I`` that all members have in common."""
        return x * self.scale


class Bias(nn.Module):
    """Adds to what a layer returns, for each member numbers of its own."""

    def __init__(self, members: int, features: int) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(members, 1, features))

    def forward(self, x_MBO: Tensor) -> Tensor:
        """Return ``M x B x O``."""
        return x_MBO + self.bias


class Heads(nn.Module):
    """A linear layer for each member."""

    def __init__(self, config: TabMConfig, outputs: int) -> None:
        super().__init__()
        drawn = [
            initialise(nn.Linear(config.width, outputs), after=config.activation).weight.detach().T
            for _ in range(config.members)
        ]
        self.weight = nn.Parameter(torch.stack(drawn))
        self.bias = nn.Parameter(torch.zeros(config.members, 1, outputs))

    def forward(self, x_MBI: Tensor) -> Tensor:
        """Return ``M x B x O``."""
        return torch.matmul(x_MBI, self.weight) + self.bias


class TabM(nn.Module):
    """See the module's text; called with ``x_BF`` or ``x_BF, c_BK``."""

    def __init__(self, config: TabMConfig, shape: TaskShape) -> None:
        super().__init__()
        self.columns = Columns(shape, config.numeric)
        self.start = _start(self.columns.owners, config.members, signs=config.numeric == "plain")
        widths = [len(self.columns.owners), *[config.width] * config.depth]
        self.hidden = nn.Sequential(*(_layer(config, *pair) for pair in enumerate(itertools.pairwise(widths))))
        self.output = Heads(config, shape.outputs)
        self._kind = shape.kind

    def forward(self, x_BF: Tensor, c_BK: Tensor | None = None) -> Tensor | Members:
        """Return logits or values, ``B x outputs``; in training those of each member as well."""
        x_MBI = self.start(self.columns(x_BF, c_BK))
        each_MBO = self.output(self.hidden(x_MBI)).float()
        together_BO = problems[self._kind].averaged(each_MBO)
        return Members(together_BO, each_MBO) if self.training else together_BO

    def learning_factors(self) -> dict[str, tuple[float, float]]:
        """Return the factors of rate and decay of what members have for themselves, and of encodings."""
        names = (name for name, _ in self.named_parameters())
        return undecayed(self) | {name: (1.0, 0.0) for name in names if name.rpartition(".")[2] in OWN}


def _start(owners: Sequence[int], members: int, *, signs: bool) -> Scale:
    """Return what makes members differ: a number for each of them and each column, whatever inputs that has."""
    start = Scale(members, len(owners))
    drawn = torch.randn(members, 1, max(owners) + 1)
    with torch.no_grad():
        start.scale.copy_((drawn.sign() if signs else drawn)[:, :, owners])
    return start


def _layer(config: TabMConfig, number: int, widths: tuple[int, int]) -> nn.Module:
    """Return a hidden layer of all members."""
    full, (before, after) = config.kind == "full", widths
    linear = nn.Linear(before, after, bias=not full)
    return sequence(
        taken=Scale(config.members, before) if full and number else None,
        linear=initialise(linear, after=config.activation if number else None),
        returned=Scale(config.members, after) if full else None,
        bias=Bias(config.members, after) if full else None,
        activation=ACTIVATIONS[config.activation](),
        dropout=dropout(config.dropout),
    )


@family(
    "tabm",
    summary="many perceptrons in one set of weights, for tables: learns as an ensemble does",
    config=TabMConfig,
    why_not=takes((InputKind.NUMERIC,), (InputKind.NUMERIC, InputKind.CATEGORICAL)),
)
def build_tabm(config: TabMConfig, shape: TaskShape) -> nn.Module:
    """Return the network for this task, which must be one of tables."""
    return TabM(config, shape)
