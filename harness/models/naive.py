"""The naive forecast that a network adds to: what it learns is how far off that is.

Shape legend: B batch, T steps, H steps ahead, Q quantiles, O outputs (H Q).
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from harness.records import TaskShape

DAMPED = 0.75
"""Share of the growth that goes on: on most series less than all of it does (Gardner and McKenzie, 1985)."""

Base = Literal["mean", "season", "growth"]
"""The mean of the window; its last season once more; or its level and growth with the mean pattern of its seasons."""


def steps_ahead(shape: TaskShape) -> tuple[int, int]:
    """Return how many steps are predicted, and how many numbers of each."""
    quantiles = max(1, len(shape.quantiles))
    return shape.outputs // quantiles, quantiles


class Naive(nn.Module):
    """Continues a window, which is on its own mean, without learning anything.

    With ``growth`` each season lies on a straight line with the growth of its mean to the next one's, the last one on
    that from the one before, of which ``DAMPED`` goes on; the pattern is the mean of what lies beside the lines. Where
    the window has not two seasons, or a season is a single step, ``growth`` is ``season``; where it has not one, or
    nothing is said to follow, both are the mean.
    """

    def __init__(self, base: Base, shape: TaskShape) -> None:
        super().__init__()
        steps = shape.inputs[0].sizes[0]
        self.horizon, self.quantiles = steps_ahead(shape)
        self.season = shape.target.season if shape.target else 0
        self.base: Base = base
        if base == "growth" and not 1 < self.season <= steps // 2:
            self.base = "season"
        if not 0 < self.season <= steps:
            self.base = "mean"

    def forward(self, past_BT: Tensor) -> Tensor:
        """Return ``B x O``: of quantiles all are the same."""
        if self.base == "mean":
            return past_BT.new_zeros(past_BT.shape[0], self.horizon * self.quantiles)
        ahead_H = torch.arange(self.horizon, device=past_BT.device)
        if self.base == "season":
            said_BH = past_BT[:, -self.season :][:, ahead_H % self.season]
        else:
            said_BH = _grown(past_BT, self.season, ahead_H)
        return said_BH.repeat_interleave(self.quantiles, dim=1)


def _grown(past_BT: Tensor, season: int, ahead_H: Tensor) -> Tensor:
    """Return ``B x H``."""
    count = past_BT.shape[1] // season
    seasons = past_BT[:, -count * season :].unflatten(1, (count, season))
    levels = seasons.mean(dim=2)
    growth = levels.diff(dim=1)
    growth = torch.cat([growth, growth[:, -1:]], dim=1)
    inside = (torch.arange(season, device=past_BT.device) - (season - 1) / 2) / season
    pattern = (seasons - levels.unsqueeze(2) - growth.unsqueeze(2) * inside).mean(dim=1)
    along_H = ((season - 1) / 2 + DAMPED * (ahead_H + 1)) / season
    said_BH: Tensor = levels[:, -1:] + growth[:, -1:] * along_H + pattern[:, ahead_H % season]
    return said_BH
