"""``realmlp``: a multilayer perceptron with what helps on tables (Holzmueller et al., 2024, arXiv:2407.04491).

- Numbers are put on the median and the distance of the quartiles, and clipped smoothly to between -3 and 3. Both come
  from the quantiles of the training data, of values that repeat as far as these tell them; where there are none the
  numbers stay as they are.
- Beside each number stand three combinations of 16 cosines of it, whose frequencies and phases are learned (PBLD).
- Categories have a column each, two a single one of -1 and 1, and more than ``ONE_HOT`` a learned vector of
  ``EMBEDDING`` numbers. What is unknown or missing is 0 in all columns.
- Every input has a factor that learns at ``scale_rate`` times the rate.
- Linear layers are in NTK parametrisation (Jacot et al., 2018, arXiv:1806.07572): weights of unit variance, and the
  inputs over the root of their number. The last layer begins at 0. So they learn at far higher rates: the paper has
  Adam with 0.04 for classes and 0.07 for values.
- Activations are ``x + a (f(x) - x)`` with an ``a`` for each unit, from 1 on. Biases, these and the cosines learn at a
  tenth of the rate; biases do not decay.

The layers are ``(linear, activation, dropout) x depth, linear``. In the paper dropout and decay fall to 0 in the second
half of training and the rate follows ``coslog4``. Shape legend: B batch, F numeric columns, K categorical columns,
I inputs.
"""

from __future__ import annotations

import itertools
import math
from typing import Annotated, Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from harness.models.family import FamilyConfig, family, takes
from harness.models.layers import MIN_WIDTH, Dropout, dropout, sequence
from harness.models.scaling import RobustClip
from harness.models.tables import Waves
from harness.records import InputKind, TaskShape

ONE_HOT = 9
"""Most categories with a column each."""
EMBEDDING = 8
COMBINATIONS = 3
SLOW = 0.1
"""Factor of the rate of biases, activations and cosines."""

ActivationName = Literal["selu", "mish", "relu"]
_ACTIVATIONS: dict[ActivationName, type[nn.Module]] = {"selu": nn.SELU, "mish": nn.Mish, "relu": nn.ReLU}


class RealMLPConfig(FamilyConfig):
    """Parameters of ``realmlp``."""

    depth: Annotated[int, Field(strict=True, ge=1, le=16)] = 3
    """Number of hidden layers."""
    width: Annotated[int, Field(strict=True, ge=MIN_WIDTH, le=4096)] = 256
    """Units of every hidden layer."""
    activation: ActivationName = "selu"
    """Non-linearity after every hidden layer; the paper has selu for classes and mish for values."""
    dropout: Dropout = 0.15
    """Share of the activations set to zero in training, after every activation."""
    numeric: Literal["plain", "pbld"] = "pbld"
    """How numbers come in: scaled and clipped alone, or with combinations of cosines beside them."""
    scale_rate: Annotated[float, Field(strict=True, gt=0.0, le=256.0)] = 6.0
    """Factor of the learning rate of the inputs' factors."""


class Cosines(Waves):
    """Sets combinations of learned cosines beside each number."""

    def __init__(self, features: int) -> None:
        super().__init__(features, combinations=COMBINATIONS, phases=True)

    def forward(self, x_BF: Tensor) -> Tensor:
        """Return ``B x (4 F)``: column by column the number and its combinations."""
        return torch.cat([x_BF.T.unsqueeze(2), self.combined(x_BF)], dim=2).transpose(0, 1).flatten(1)


class Categories(nn.Module):
    """Turns the codes of one column into columns of numbers, which are fixed."""

    table: Tensor

    def __init__(self, cardinality: int) -> None:
        super().__init__()
        known = cardinality - 1
        columns = torch.tensor([[-1.0], [1.0]]) if known == 2 else torch.eye(known)
        self.register_buffer("table", F.pad(columns, (0, 0, 1, 0)), persistent=False)

    def forward(self, c_B: Tensor) -> Tensor:
        """Return a row for each code, zeros for code 0."""
        return F.embedding(c_B, self.table)


class NTKLinear(nn.Linear):
    """A linear layer of inputs over the root of their number."""

    def __init__(self, inputs: int, outputs: int, *, drawn: bool = True) -> None:
        super().__init__(inputs, outputs)
        for parameter in (self.weight, self.bias):
            nn.init.normal_(parameter) if drawn else nn.init.zeros_(parameter)

    def forward(self, x_BI: Tensor) -> Tensor:
        """Return ``B x outputs``."""
        return F.linear(x_BI * self.in_features**-0.5, self.weight, self.bias)


class Parametric(nn.Module):
    """An activation that each unit has as much of as it learns to."""

    def __init__(self, activation: nn.Module, width: int) -> None:
        super().__init__()
        self.activation = activation
        self.share = nn.Parameter(torch.ones(width))

    def forward(self, x: Tensor) -> Tensor:
        """Return a tensor of the same shape."""
        found: Tensor = x + self.share * (self.activation(x) - x)
        return found


class Scale(nn.Module):
    """A learned factor for every input."""

    def __init__(self, inputs: int) -> None:
        super().__init__()
        self.factor = nn.Parameter(torch.ones(inputs))

    def forward(self, x_BI: Tensor) -> Tensor:
        """Return ``B x I``."""
        return x_BI * self.factor


class RealMLP(nn.Module):
    """See the module's text; called with ``x_BF`` or ``x_BF, c_BK``."""

    def __init__(self, config: RealMLPConfig, shape: TaskShape) -> None:
        super().__init__()
        numbers, *codes = shape.inputs
        features = math.prod(numbers.sizes)
        self.clip = RobustClip(numbers.quantiles, features)
        self.numeric = Cosines(features) if config.numeric == "pbld" and features else None
        self.categories = nn.ModuleList(_category(count) for each in codes for count in each.cardinalities)
        inputs = features * (1 if self.numeric is None else 1 + COMBINATIONS) + sum(map(_columns, self.categories))
        self.scale = Scale(inputs)
        widths = [inputs, *[config.width] * config.depth]
        self.hidden = nn.Sequential(*(_layer(config, *pair) for pair in itertools.pairwise(widths)))
        self.output = NTKLinear(config.width, shape.outputs, drawn=False)
        self._scale_rate = config.scale_rate

    def forward(self, x_BF: Tensor, c_BK: Tensor | None = None) -> Tensor:
        """Return logits or values, ``B x outputs``."""
        x_BI = self.clip(x_BF)
        if self.numeric is not None:
            x_BI = self.numeric(x_BI)
        if c_BK is not None:
            x_BI = torch.cat([x_BI, *(each(c_BK[:, place]) for place, each in enumerate(self.categories))], dim=1)
        y_BO: Tensor = self.output(self.hidden(self.scale(x_BI)))
        return y_BO

    def learning_factors(self) -> dict[str, tuple[float, float]]:
        """Return the factors of rate and decay of all that is no weight of a linear layer or an embedding."""
        found = {"scale": (self._scale_rate, 1.0)}
        for name, _ in self.named_parameters():
            last = name.rpartition(".")[2]
            if last in ("bias", "phase"):
                found[name] = (SLOW, 0.0)
            elif last == "share" or name.startswith("numeric."):
                found[name] = (SLOW, 1.0)
        return found


def _layer(config: RealMLPConfig, before: int, after: int) -> nn.Module:
    """Return a hidden layer."""
    return sequence(
        linear=NTKLinear(before, after),
        activation=Parametric(_ACTIVATIONS[config.activation](), after),
        dropout=dropout(config.dropout),
    )


def _category(cardinality: int) -> nn.Module:
    """Return what turns the codes of a column into numbers; code 0 stands for none of the categories."""
    if cardinality - 1 <= ONE_HOT:
        return Categories(cardinality)
    table = nn.Embedding(cardinality, EMBEDDING)
    nn.init.zeros_(table.weight.data[0])
    return table


def _columns(category: nn.Module) -> int:
    return category.embedding_dim if isinstance(category, nn.Embedding) else category.get_buffer("table").shape[1]


@family(
    "realmlp",
    summary="a perceptron with what helps on tables: robust scaling, learned cosines, layers for high learning rates",
    config=RealMLPConfig,
    why_not=takes((InputKind.NUMERIC,), (InputKind.NUMERIC, InputKind.CATEGORICAL)),
    own_preprocessing=("numeric", "one_hot"),
)
def build_realmlp(config: RealMLPConfig, shape: TaskShape) -> nn.Module:
    """Return the network for this task, which must be one of tables."""
    return RealMLP(config, shape)
