"""What lets a network that looks at windows of a series follow it to levels that it was never trained on.

Shape legend: B batch, T steps, C channels, O outputs.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from harness.problems.outputs import prediction

_LEAST = 1e-4
"""Deviation that a window counts as having at least, in standard units: a flat one has none to divide by."""


class Reversible(nn.Module):
    """Puts the first channel of each window on its own mean and deviation, and what is predicted of it back.

    Reversible instance normalisation (Kim et al., 2022, Reversible instance normalization for accurate time-series
    forecasting against distribution shift), without learned factors. The other channels stay as they are: what is known
    ahead, such as holidays, has no level that would drift.
    """

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, x_BTC: Tensor, *others: Tensor) -> Tensor:
        """Return ``B x O`` in the units of the first channel."""
        target_BT1 = x_BTC[:, :, :1]
        mean_B11 = target_BT1.mean(dim=1, keepdim=True)
        scale_B11 = target_BT1.std(dim=1, keepdim=True, correction=0).clamp_min(_LEAST)
        seen_BTC = torch.cat([(target_BT1 - mean_B11) / scale_B11, x_BTC[:, :, 1:]], dim=2)
        outputs_BO = prediction(self.model(seen_BTC, *others))
        return outputs_BO * scale_B11[:, 0] + mean_B11[:, 0]
