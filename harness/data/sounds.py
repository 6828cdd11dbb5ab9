"""Sounds as they were read, and the spectrograms that are made of them.

Shape legend: N sounds, L samples, M mel bands, F frames, K frequencies.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from harness.spec.audio import AudioTask

if TYPE_CHECKING:
    from torch import Tensor

_WINDOW_S, _HOP_S = 0.025, 0.010
"""Of a frame, and from one to the next, as is usual for speech."""
_FLOOR = 1e-6
"""Power below which all is silence; full scale has some hundreds."""
_AT_ONCE = 256
"""Sounds whose spectra are in memory together."""


@dataclass(frozen=True, eq=False)
class Sounds:
    """Sounds of one channel, float32 from -1 to 1, at ``rate`` samples a second; each as long as it is."""

    waves: Sequence[np.ndarray]
    how: AudioTask

    def __len__(self) -> int:
        return len(self.waves)

    def only(self, rows: np.ndarray) -> Sounds:
        """Return some of them."""
        return replace(self, waves=[self.waves[row] for row in rows])


def frames_of(samples: int, rate: int) -> int:
    """Return how many frames the spectrogram of so many samples has."""
    return samples // round(_HOP_S * rate) + 1


def log_mel(waves: Sequence[np.ndarray], *, rate: int, samples: int, mels: int) -> np.ndarray:
    """Return float32 ``x_N1MF``: natural logarithms of the power in each mel band, low bands first.

    Waves are cut to their first ``samples``, or padded with silence. Frames of 25 ms under a Hann window, every 10 ms.
    """
    import torch  # here, as the readers of data are loaded where nothing is computed

    mel, x_NL = Mel(rate, mels), laid_out(waves, samples)
    bands_MK, window = mel.bands(), mel.window()
    found = np.empty((len(waves), 1, mels, frames_of(samples, rate)), np.float32)
    for first in range(0, len(waves), _AT_ONCE):
        some_NL = torch.from_numpy(x_NL[first : first + _AT_ONCE])
        found[first : first + _AT_ONCE, 0] = mel.log(some_NL, bands_MK, window)
    return found


def laid_out(waves: Sequence[np.ndarray], samples: int) -> np.ndarray:
    """Return float32 ``x_NL``: the first ``samples`` of each wave, silence behind its end."""
    x_NL = np.zeros((len(waves), samples), np.float32)
    for row, wave in enumerate(waves):
        x_NL[row, : len(wave)] = wave[:samples]
    return x_NL


@dataclass(frozen=True, slots=True)
class Mel:
    """Log-mel spectrograms of sounds of one rate, on whatever device these are."""

    rate: int
    mels: int

    @property
    def _hop(self) -> int:
        return round(_HOP_S * self.rate)

    @property
    def _size(self) -> int:
        return int(2 ** (round(_WINDOW_S * self.rate) - 1).bit_length())

    def bands(self) -> Tensor:
        """Return the weight (M, K) of each frequency in each band."""
        import torch

        return torch.from_numpy(mel_bands(self.rate, self._size, self.mels))

    def window(self) -> Tensor:
        """Return the window of a frame."""
        import torch

        return torch.hann_window(round(_WINDOW_S * self.rate)).clone()  # else a view of a longer one

    def log(self, x_NL: Tensor, bands_MK: Tensor, window: Tensor) -> Tensor:
        """Return ``x_NMF`` of sounds that lie beside the bands and the window on one device."""
        import torch

        spectra_NKF = torch.stft(
            x_NL,
            self._size,
            hop_length=self._hop,
            win_length=len(window),
            window=window,
            pad_mode="constant",
            return_complex=True,
        )
        return (bands_MK @ spectra_NKF.abs().square()).clamp_min(_FLOOR).log()


def mel_bands(rate: int, size: int, mels: int) -> np.ndarray:
    """Return float32 (M, K): triangles of height 1 over the frequencies of a transform of ``size`` samples.

    Their corners are equally far apart on the mel scale ``2595 log10(1 + f / 700)`` (O'Shaughnessy 1987, as in HTK),
    from 0 to half of the rate.
    """
    frequencies_K = np.linspace(0.0, rate / 2, size // 2 + 1)
    top = 2595.0 * np.log10(1.0 + rate / 2 / 700.0)
    corners = 700.0 * (10.0 ** (np.linspace(0.0, top, mels + 2) / 2595.0) - 1.0)
    low, centre, high = (corners[start : start + mels, None] for start in range(3))
    rising, falling = (frequencies_K - low) / (centre - low), (high - frequencies_K) / (high - centre)
    return np.maximum(0.0, np.minimum(rising, falling)).astype(np.float32)
