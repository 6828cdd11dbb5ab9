"""Stretches of series that a forecast looks back on. Shape legend: N samples, W steps, C channels, H steps ahead."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from harness.data.modalities.forecasts import channels_of, layout_of
from harness.data.windows import Windows
from harness.exporting.forms.form import RawForm, RawInput

_MADE = 16


class ForecastForm(RawForm[Windows]):
    """``N x W x C``: the target, columns of which the past is known, and of those known ahead past and future.

    What is ahead comes as the W steps that end with the last one that is predicted.
    """

    def inputs(self, fitted: Mapping[str, Any]) -> tuple[RawInput, ...]:
        """Return the only one."""
        layout = layout_of(fitted)
        channels = [*layout.columns, *(f"{name} ahead" for name in layout.known)]
        facts = {"channels": channels, "horizon": layout.horizon}
        return (RawInput("window", "window", "float64", (layout.window, layout.channels), facts=facts),)

    def prepared(self, fitted: Mapping[str, Any]) -> nn.Module:
        """Return what standardises each channel, after the logarithm where it is learnt."""
        return PreparedWindows(fitted)

    def arrays(self, fitted: Mapping[str, Any], raw: Windows) -> dict[str, np.ndarray]:
        """Return the windows in their own units."""
        (window,) = self.inputs(fitted)
        x_NWC = np.empty((len(raw), *window.shape))
        for channel, (_, values_NW) in enumerate(channels_of(raw)):
            x_NWC[:, :, channel] = values_NW
        return {window.name: x_NWC}

    def made_up(self, fitted: Mapping[str, Any]) -> Windows:
        """Return stretches of noise."""
        layout = layout_of(fitted)
        steps = layout.window + layout.horizon + _MADE
        noise_SC = np.random.default_rng(0).normal(size=(steps, len(layout.columns)))
        values_SC = np.array(fitted["mean"]) + np.array(fitted["scale"]) * noise_SC
        if layout.log:
            values_SC[:, 0] = np.exp(values_SC[:, 0])
        places = np.arange(steps)
        firsts = layout.window + np.arange(_MADE)
        return Windows(layout, values_SC, places.astype(np.float64), np.zeros_like(places), ("",), firsts)


class PreparedWindows(nn.Module):
    """Takes ``N x W x C`` as float64."""

    mean: Tensor
    scale: Tensor

    def __init__(self, fitted: Mapping[str, Any]) -> None:
        super().__init__()
        layout = layout_of(fitted)
        self.log = layout.log
        for name in ("mean", "scale"):
            values = [fitted[name][column] for column in layout.places]
            self.register_buffer(name, torch.tensor(values, dtype=torch.float64))

    def forward(self, x_NWC: Tensor) -> tuple[Tensor, ...]:
        """Return float32 windows."""
        if self.log:
            x_NWC = torch.cat([x_NWC[:, :, :1].log(), x_NWC[:, :, 1:]], dim=2)
        return (((x_NWC - self.mean) / self.scale).float(),)
