"""Trained models behind a module of their own: several averaged, or one softened by a temperature.

Shape legend: N models, B batch, C outputs.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from harness.problems import problems
from harness.problems.outputs import prediction
from harness.records import TaskShape


class Ensemble(nn.Module):
    """Averages what its members predict: probabilities of classes, or values; what else they return is left out.

    The outputs are of the members' own form, so whatever takes those takes these: of classes the logarithms of the mean
    probabilities, whose softmax is these again; with one output, the logit of the second of two classes, the logit of
    its mean probability.
    """

    def __init__(self, members: Sequence[nn.Module], shape: TaskShape) -> None:
        super().__init__()
        self.members = nn.ModuleList(members)
        self._kind = shape.kind

    def forward(self, *inputs: Tensor) -> Tensor:
        """Return float32 ``B x C``."""
        outputs_NBC = torch.stack([prediction(member(*inputs)).float() for member in self.members])
        return problems[self._kind].averaged(outputs_NBC)


class Tempered(nn.Module):
    """Softens (above 1) or sharpens (below 1) what a model says of classes; its order of them stays.

    Guo et al., 2017, arXiv:1706.04599. Its weights are the model's own.
    """

    def __init__(self, model: nn.Module, temperature: float) -> None:
        super().__init__()
        self.model = model
        self.temperature = temperature

    def forward(self, *inputs: Tensor) -> Tensor:
        """Return float32 ``B x C`` logits, or ``B x 1`` of the second of two classes."""
        return prediction(self.model(*inputs)).float() / self.temperature
