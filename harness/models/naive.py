"""The naive forecast that a network adds to: what it learns is how far off that is.

Shape legend: B batch, T steps, H steps ahead, Q quantiles, O outputs (H Q).
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from harness.records import TaskShape

Base = Literal["mean", "season", "growth"]
"""The mean of the window; its last season once more; that, and what it grew by since the season before."""


class Naive(nn.Module):
    """Continues a window, which is on its own mean, without learning anything.

    Where the window has not two seasons, or a season is a single step, ``growth`` is ``season``; where it has not one,
    or nothing is said to follow, both are the mean.
    """

    weights: Tensor

    def __init__(self, base: Base, shape: TaskShape) -> None:
        super().__init__()
        target, steps = shape.target, shape.inputs[0].sizes[0]
        self.quantiles = max(1, len(target.quantiles)) if target else 1
        horizon, season = shape.outputs // self.quantiles, target.season if target else 0
        weights_TH = torch.zeros(steps, horizon)
        ahead = torch.arange(horizon)
        if base != "mean" and 0 < season <= steps:
            weights_TH[steps - season + ahead % season, ahead] = 1.0
            if base == "growth" and 1 < season <= steps // 2:
                seasons = (1 + ahead // season) / season
                weights_TH[-season:] += seasons
                weights_TH[-2 * season : -season] -= seasons
        # It follows from the season, so it is no part of the weights.
        self.register_buffer("weights", weights_TH, persistent=False)

    def forward(self, past_BT: Tensor) -> Tensor:
        """Return ``B x O``: of quantiles all are the same."""
        return (past_BT @ self.weights).repeat_interleave(self.quantiles, dim=1)
