"""Sounds: their samples at the rate of training. Shape legend: N sounds, L samples, M mel bands, F frames."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from torch import Tensor, nn

from harness.data.sounds import Mel, Sounds, laid_out
from harness.exporting.forms.form import RawForm, RawInput
from harness.exporting.forms.image import Standardised

_MADE = 8


class AudioForm(RawForm[Sounds | Sequence[np.ndarray]]):
    """``N x L`` from -1 to 1, silence behind the end."""

    def inputs(self, fitted: Mapping[str, Any]) -> tuple[RawInput, ...]:
        """Return the only one."""
        return (RawInput("wave", "wave", "float32", (fitted["samples"],), facts={"rate": fitted["rate"]}),)

    def prepared(self, fitted: Mapping[str, Any]) -> nn.Module:
        """Return what makes standardised log-mel spectrograms."""
        return PreparedSounds(fitted)

    def arrays(self, fitted: Mapping[str, Any], raw: Sounds | Sequence[np.ndarray]) -> dict[str, np.ndarray]:
        """Return waves that are cut, or filled up with silence, to the samples that are heard."""
        return {"wave": laid_out(raw.waves if isinstance(raw, Sounds) else raw, fitted["samples"])}

    def made_up(self, fitted: Mapping[str, Any]) -> Sequence[np.ndarray]:
        """Return noise of several lengths, from loud to hardly heard, and silence."""
        rng, samples = np.random.default_rng(0), fitted["samples"]
        lengths = rng.integers(1, 2 * samples + 1, _MADE)
        noise = [rng.normal(size=length) * 0.3 / 4.0**place for place, length in enumerate(lengths)]
        return [np.zeros(samples, np.float32), *(wave.clip(-1.0, 1.0).astype(np.float32) for wave in noise)]


class PreparedSounds(nn.Module):
    """Takes ``N x L`` as float32."""

    bands: Tensor
    window: Tensor

    def __init__(self, fitted: Mapping[str, Any]) -> None:
        super().__init__()
        self._mel = mel = Mel(fitted["rate"], fitted["mels"])
        self.register_buffer("bands", mel.bands())
        self.register_buffer("window", mel.window())
        self.standardised = Standardised([fitted["mean"]], [fitted["std"]])

    def forward(self, x_NL: Tensor) -> tuple[Tensor, ...]:
        """Return their standardised spectrograms ``N x 1 x M x F``."""
        standard: tuple[Tensor, ...] = self.standardised(self._mel.log(x_NL, self.bands, self.window).unsqueeze(1))
        return standard
