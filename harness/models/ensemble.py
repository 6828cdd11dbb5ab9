"""Trained models behind a module of their own: several averaged, or one softened by a temperature.

Shape legend: N models, B batch, C outputs.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from harness.problems import problems
from harness.problems.outputs import prediction
from harness.records import TaskShape


class Ensemble(nn.Module):
    """Averages what its members predict: probabilities of classes, or values; what else they return is left out.

    The outputs are of the members' own form, so whatever takes those takes these: of classes the logarithms of the mean
    probabilities, whose softmax is these again; with one output, the logit of the second of two classes, the logit of
    its mean probability. A member with that one output may stand among others: 0 is the logit of the first class then.

    ``counts`` is how often each member counts; without them each counts once.
    """

    def __init__(self, members: Sequence[nn.Module], shape: TaskShape, counts: Sequence[int] = ()) -> None:
        super().__init__()
        self.members = nn.ModuleList(members)
        self.counts = tuple(counts) or (1,) * len(members)
        self._kind = shape.kind
        self._outputs = shape.outputs

    def forward(self, *inputs: Tensor) -> Tensor:
        """Return float32 ``B x C``."""
        outputs: list[Tensor] = []
        for member, count in zip(self.members, self.counts, strict=True):
            outputs += [self._in_form(prediction(member(*inputs)).float())] * count
        return problems[self._kind].averaged(torch.stack(outputs))

    def _in_form(self, outputs_BC: Tensor) -> Tensor:
        """Return the logits of both of two classes where these are asked for and there is that of the second one."""
        alone = outputs_BC.shape[-1] == 1 and self._outputs == 2
        return functional.pad(outputs_BC, (1, 0)) if alone else outputs_BC


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
