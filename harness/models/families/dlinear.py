"""``dlinear``: a series as its moving average and what is left, and a linear map of each (Zeng et al., 2023).

Zeng, Chen, Zhang and Xu, Are transformers effective for time series forecasting?, arXiv:2205.13504. The window's trend
is its moving average, its ends repeated beyond them; both maps see all steps and channels. Of one channel, and with the
mean as ``base``, this is the paper's model. Weights begin near 0, so that it begins about as its base.

Shape legend: B batch, T steps, C channels, O outputs.
"""

from __future__ import annotations

from typing import Annotated

import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from harness.models.family import FamilyConfig, family, takes
from harness.models.layers import Dropout, dropout, initialise
from harness.models.naive import Base, Naive
from harness.records import InputKind, TaskShape

_NEAR = 0.1
"""Of the usual deviation of drawn weights."""


class DLinearConfig(FamilyConfig):
    """Parameters of ``dlinear``."""

    kernel: Annotated[int, Field(strict=True, ge=1, le=1001)] = 25
    """Steps of the moving average, made odd; 1 leaves nothing beside it, which is a plain linear model."""
    base: Base = "growth"
    """Of a forecast, what both maps add to: the window's mean, its last season, or that with its growth."""
    dropout: Dropout = 0.0
    """Share of the steps set to zero in training, before both maps."""


class DLinear(nn.Module):
    """See the module's text; called with ``x_BTC``."""

    def __init__(self, config: DLinearConfig, shape: TaskShape) -> None:
        super().__init__()
        steps, channels = shape.inputs[0].sizes
        self.reach = config.kernel // 2
        self.base = Naive(config.base, shape)
        self.drop = dropout(config.dropout) or nn.Identity()
        self.trend = nn.Linear(steps * channels, shape.outputs)
        self.rest = nn.Linear(steps * channels, shape.outputs, bias=False)
        for layer in (self.trend, self.rest):
            initialise(layer, after=None, scale=_NEAR)

    def forward(self, x_BTC: Tensor) -> Tensor:
        """Return ``B x O``."""
        x_BCT = x_BTC.transpose(1, 2)
        ends = F.pad(x_BCT, (self.reach, self.reach), mode="replicate")
        trend_BCT = F.avg_pool1d(ends, 2 * self.reach + 1, stride=1)
        parts = (trend_BCT, x_BCT - trend_BCT)
        trend, rest = (self.drop(each.transpose(1, 2).flatten(1)) for each in parts)
        y_BO: Tensor = self.trend(trend) + self.rest(rest) + self.base(x_BTC[:, :, 0])
        return y_BO


@family(
    "dlinear",
    summary="linear maps of a series' moving average and of what is left, for forecasts",
    config=DLinearConfig,
    why_not=takes((InputKind.SERIES,)),
)
def build_dlinear(config: DLinearConfig, shape: TaskShape) -> nn.Module:
    """Return the network for this task, which must be one of series of one length."""
    return DLinear(config, shape)
