"""What is fitted to, and what a fitted model returns: logarithms of probabilities, or standardised values.

Shape legend: N samples, B batch, S classes with samples to fit, C classes, Q quantiles, O outputs of the task's model.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from harness.models.families.classical.inputs import empty, has_classes
from harness.models.fitted import Fitted, Samples
from harness.problems import problems
from harness.records import TaskShape

LEAST = math.log(torch.finfo(torch.float32).eps)
"""The logarithm of the least probability: of a class without samples, and in place of 0, as scikit-learn's log loss
clips what it is given in float32."""
ROUNDING = 1e-9
"""By how much a share may be missed by rounding."""


class Answers(Fitted):
    """The last part of a fitted model of classes or values."""

    classes: Tensor

    def __init__(self, shape: TaskShape) -> None:
        super().__init__()
        self._outputs = shape.outputs
        self._ordered = problems[shape.kind].ordered
        self._classes = shape.outputs + 1 if self._ordered else max(shape.outputs, 2)
        self.of_classes = has_classes(shape)
        self.levels = shape.quantiles
        empty(self, "classes", 1, torch.int64)

    def fit(self, samples: Samples) -> NDArray[Any]:
        """Take down which classes there are; return the targets, ``N`` or ``N x V``, as scikit-learn takes them.

        Raises ``ValueError`` where all samples are of one class.
        """
        if not self.of_classes:
            return samples.targets[:, 0] if samples.targets.shape[1] == 1 else samples.targets
        classes = np.unique(samples.targets)
        if len(classes) < 2:
            raise ValueError("all samples to fit are of one class")
        self.hold(classes=torch.from_numpy(classes))
        return samples.targets

    @property
    def width(self) -> int:
        """What comes in for each sample: S, or the values or quantiles."""
        return len(self.classes) if self.of_classes else self._outputs

    @property
    def seen(self) -> int:
        """Values of a sample to fit, or shares of classes: one where quantiles are told."""
        return 1 if self.levels else self.width

    @property
    def machines(self) -> int:
        """Numbers that a model has for each sample where one is enough for two classes."""
        return 1 if self.of_classes and len(self.classes) == 2 else self.width

    def flaw(self) -> str:
        """Return what is wrong: classes that are not those of the task, or in another order."""
        known = self.classes.tolist()
        if known and (known != sorted(set(known)) or known[0] < 0 or known[-1] >= self._classes):
            return "its classes are not the task's"
        return ""

    def __call__(self, y_BS: Tensor) -> Tensor:
        """Return what :meth:`forward` does."""
        outputs: Tensor = super().__call__(y_BS)
        return outputs

    def forward(self, y_BS: Tensor) -> Tensor:
        """Return float32 ``B x O`` from logarithms of probabilities, or values as they are.

        Of classes in an order these are the logits of the steps from one to the next.
        """
        y_BS = y_BS.float()
        if not self.of_classes:
            return y_BS
        y_BS = y_BS.clamp(min=LEAST)
        if len(self.classes) < self._classes:
            known_SC = F.one_hot(self.classes, self._classes).to(y_BS.dtype)
            y_BS = y_BS @ known_SC + LEAST * (1.0 - known_SC.sum(dim=0))
        if self._ordered:
            from harness.problems.order import steps_of

            return steps_of(y_BS)
        return y_BS if self._outputs > 1 else y_BS[:, 1:] - y_BS[:, :1]

    def nothing(self, x: Tensor) -> Tensor:
        """Return what a model says before it is fitted: 0 for everything."""
        return x.new_zeros(x.shape[0], self._outputs, dtype=torch.float32)


def quantiles_of(values_BN: Tensor, weights_BN: Tensor, levels: Sequence[float]) -> Tensor:
    """Return of each level the least of a sample's values with which that share of their weights is reached.

    >>> quantiles_of(torch.tensor([[3.0, 1.0, 2.0]]), torch.ones(1, 3), (0.3, 0.5, 0.9)).tolist()
    [[1.0, 2.0, 3.0]]
    """
    ascending_BN, order_BN = values_BN.sort(dim=1)
    reached_BN = weights_BN.gather(1, order_BN).cumsum(dim=1)
    shares_Q = torch.tensor([level - ROUNDING for level in levels], dtype=reached_BN.dtype, device=reached_BN.device)
    short_BQN = reached_BN[:, None, :] < (shares_Q * reached_BN[:, -1:])[:, :, None]
    return ascending_BN.gather(1, short_BQN.sum(dim=2))


def of_two(logit_B1: Tensor) -> Tensor:
    """Return the logarithms of both probabilities from the logit of the second of two classes."""
    return torch.cat([F.logsigmoid(-logit_B1), F.logsigmoid(logit_B1)], dim=1)
