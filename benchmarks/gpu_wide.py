"""A model that needs much memory and little else: ``gpu_check.py`` lets it run out of memory.

In training each sample keeps three tensors of ``copies`` times 64 floats, and needs two more on the way back.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from harness.records import TaskShape


class Wide(nn.Module):
    """Repeats its 64 inputs, multiplies, bends and averages them."""

    def __init__(self, shape: TaskShape, copies: int) -> None:
        super().__init__()
        self.copies = copies
        self.gain = nn.Parameter(torch.ones(64))
        self.last = nn.Linear(64, shape.outputs)

    def forward(self, x_BCHW: Tensor) -> Tensor:
        """Return ``B x outputs`` logits."""
        x_BKF = x_BCHW.flatten(1)[:, None, :].repeat(1, self.copies, 1)
        y_BO: Tensor = self.last((x_BKF * self.gain).tanh().mean(1))
        return y_BO


def build(shape: TaskShape, copies: int) -> nn.Module:
    """Return the model."""
    return Wide(shape, copies)
