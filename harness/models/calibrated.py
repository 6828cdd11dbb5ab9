"""A trained model whose probabilities of classes are fitted to samples that it did not learn from.

Shape legend: B batch, C classes, R curves, K steps of a curve.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from harness.models.ensemble import Tempered
from harness.problems.outputs import prediction


class Curve(NamedTuple):
    """A rising line through points: what a probability of the model (``x``, ascending) becomes (``y``)."""

    x: tuple[float, ...]
    y: tuple[float, ...]


Curves = tuple[Curve, ...]
"""Of two classes the curve of the second; of more one for each, in their order. Empty: nothing is changed."""


class Isotonic(nn.Module):
    """Takes each class's probability along a curve of its own and lets them sum to 1 again.

    Zadrozny and Elkan, 2002 (KDD, 694-699). Of one output, the logit of the second of two classes, the output is the
    logit of what its probability becomes; of several, the logarithms of the probabilities. Its weights are the model's
    own. Each curve is a sum of clipped ramps, so that a graph of it has no branch and no search.
    """

    def __init__(self, model: nn.Module, curves: Curves) -> None:
        super().__init__()
        self.model = model
        x_RK, y_RK = _padded([curve.x for curve in curves]), _padded([curve.y for curve in curves])
        width_RK = x_RK.diff(dim=1).clamp(min=torch.finfo(torch.float32).tiny)
        # Clones: a program of torch.export holds no two buffers in parts of one memory.
        self.start_RK = nn.Buffer(x_RK[:, :-1].clone(), persistent=False)
        self.width_RK = nn.Buffer(width_RK, persistent=False)
        self.rise_RK = nn.Buffer(y_RK.diff(dim=1), persistent=False)
        self.low_R = nn.Buffer(y_RK[:, 0].clone(), persistent=False)

    def forward(self, *inputs: Tensor) -> Tensor:
        """Return float32 ``B x C`` logarithms of probabilities, or ``B x 1`` logits of the second of two classes."""
        outputs = prediction(self.model(*inputs)).float()
        if outputs.shape[-1] == 1:
            second_B1 = self.along(outputs.sigmoid())
            return second_B1.log() - (1.0 - second_B1).log()
        return self.of_probabilities(outputs.softmax(dim=-1)).log()

    def of_probabilities(self, shares_BC: Tensor) -> Tensor:
        """Return what probabilities become, each row's sum 1."""
        if shares_BC.shape[-1] == 2:
            second_B1 = self.along(shares_BC[:, 1:])
            return torch.cat([1.0 - second_B1, second_B1], dim=1)
        fitted_BC = self.along(shares_BC)
        return fitted_BC / fitted_BC.sum(dim=-1, keepdim=True)

    def along(self, shares_BR: Tensor) -> Tensor:
        """Return where the curves take probabilities; beyond its ends a curve is level."""
        part_BRK = ((shares_BR[..., None] - self.start_RK) / self.width_RK).clamp(0.0, 1.0)
        return (part_BRK * self.rise_RK).sum(dim=-1) + self.low_R


def calibrated(model: nn.Module, temperature: float, isotonic: Curves) -> nn.Module:
    """Return a model with what its probabilities were fitted by around it, if by anything."""
    if isotonic:
        return Isotonic(model, isotonic)
    return model if temperature == 1.0 else Tempered(model, temperature)


def _padded(rows: Sequence[Sequence[float]]) -> Tensor:
    """Return rows of one length, the shorter ones level at their ends; two points at least, for one step."""
    length = max(2, *map(len, rows))
    return torch.tensor([[*row, *[row[-1]] * (length - len(row))] for row in rows], dtype=torch.float32)
