"""Time series: one array, NaN behind the end of each. Shape legend: N series, T steps, C channels."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from harness.data.series import Series, filled
from harness.exporting.forms.form import RawForm, RawInput

_MADE = 16


class SeriesForm(RawForm[Series]):
    """``N x T x C`` of the steps of training; what is missing within a series is filled in before."""

    def inputs(self, fitted: Mapping[str, Any]) -> tuple[RawInput, ...]:
        """Return the only one."""
        facts = {"channels": fitted["channels"], "shorter": fitted["masked"]}
        return (RawInput("series", "series", "float64", (fitted["steps"], len(fitted["channels"])), facts=facts),)

    def prepared(self, fitted: Mapping[str, Any]) -> nn.Module:
        """Return what standardises each channel and, where lengths differ, finds the end of each series."""
        return PreparedSeries(fitted)

    def arrays(self, fitted: Mapping[str, Any], raw: Series) -> dict[str, np.ndarray]:
        """Return series that are cut, or filled up behind their end, to the steps of training."""
        steps = fitted["steps"]
        values = filled(raw)[:, :steps]
        x_NTC = np.full((len(raw), steps, len(fitted["channels"])), np.nan)
        x_NTC[:, : values.shape[1]] = values
        return {"series": x_NTC}

    def made_up(self, fitted: Mapping[str, Any]) -> Series:
        """Return noise, of several lengths where training had these."""
        rng, steps = np.random.default_rng(0), fitted["steps"]
        noise_NTC = rng.normal(size=(_MADE, steps, len(fitted["channels"])))
        lengths = np.full(_MADE, steps)
        if fitted["masked"]:
            lengths[1:] = rng.integers(1, steps + 1, _MADE - 1)
        values = np.array(fitted["mean"]) + np.array(fitted["std"]) * noise_NTC
        values[np.arange(steps) >= lengths[:, None]] = np.nan
        return Series(values, lengths, tuple(fitted["channels"]))


class PreparedSeries(nn.Module):
    """Takes ``N x T x C`` as float64."""

    mean: Tensor
    std: Tensor
    step: Tensor

    def __init__(self, fitted: Mapping[str, Any]) -> None:
        super().__init__()
        self.masked = fitted["masked"]
        for name in ("mean", "std"):
            self.register_buffer(name, torch.tensor(fitted[name], dtype=torch.float64))
        self.register_buffer("step", torch.arange(1, fitted["steps"] + 1))

    def forward(self, x_NTC: Tensor) -> tuple[Tensor, ...]:
        """Return float32 series and, where lengths differ, which steps are there."""
        standard_NTC = (x_NTC - self.mean) / self.std
        if not self.masked:
            return (standard_NTC.float(),)
        known_NT = ~x_NTC.isnan().all(dim=2)
        mask_NT = self.step <= (known_NT * self.step).amax(dim=1, keepdim=True)
        return torch.where(mask_NT.unsqueeze(2), standard_NTC, 0.0).float(), mask_NT
