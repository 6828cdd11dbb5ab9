"""Series in some figures of each channel: level, spread, shape, and how they go on from step to step.

Shape legend: N series, T steps of the longest, C channels.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

_QUANTILES = {"minimum": 0.0, "10 % quantile": 0.1, "median": 0.5, "90 % quantile": 0.9, "maximum": 1.0}
_LAGS = (1, 2, 4, 8)
_BANDS = (0.0, 1 / 32, 1 / 16, 1 / 8, 1 / 4, 0.5)
"""Ends of the bands of the spectrum, in cycles a step."""
_AT_ONCE = 256
"""Series that are in memory in float64 together."""


def summaries(values_NTC: np.ndarray, lengths_N: np.ndarray, channels: Sequence[str]) -> tuple[Floats, list[str]]:
    """Return the figures of series, ``N x (C * figures)``, and what each is called.

    They are mean, standard deviation, quantiles, trend (the correlation with time), autocorrelations, and how the
    variance is shared among bands of the spectrum. What is behind the end of a series does not count.
    """
    chunks, named = [], dict[str, Floats]()
    for first in range(0, len(values_NTC), _AT_ONCE):
        some = slice(first, first + _AT_ONCE)
        named = dict(_figures(values_NTC[some].astype(np.float64), lengths_N[some]))
        chunks.append(np.stack(list(named.values()), axis=2).reshape(len(lengths_N[some]), -1))
    return np.concatenate(chunks), [f"{figure}{channel}" for channel in of_channels(channels) for figure in named]


def of_channels(channels: Sequence[str]) -> list[str]:
    """Return what is put behind a figure to say which channel it is of; nothing where there is only one.

    >>> of_channels(["x"]), of_channels(["x", "y"])
    ([''], [" of channel 'x'", " of channel 'y'"])
    """
    return [""] if len(channels) == 1 else [f" of channel {name!r}" for name in channels]


def _figures(values_NTC: Floats, lengths_N: np.ndarray) -> Iterator[tuple[str, Floats]]:
    """Yield the name of each figure and what it is of each series and channel, ``N x C``."""
    steps = np.arange(values_NTC.shape[1])
    there_NT1 = (steps < lengths_N[:, None])[:, :, None]
    count_N1 = np.maximum(1, lengths_N)[:, None]
    mean_NC = np.where(there_NT1, values_NTC, 0.0).sum(axis=1) / count_N1
    centred_NTC = np.where(there_NT1, values_NTC - mean_NC[:, None], 0.0)
    power_NC = np.square(centred_NTC).sum(axis=1)
    yield "mean", mean_NC
    yield "standard deviation", np.sqrt(power_NC / count_N1)
    sorted_NTC = np.sort(np.where(there_NT1, values_NTC, np.inf), axis=1)
    for name, share in _QUANTILES.items():
        place_N11 = np.rint(share * (count_N1 - 1)).astype(np.int64)[:, :, None]
        yield name, np.take_along_axis(sorted_NTC, place_N11, axis=1)[:, 0]
    unit_NC = np.where(power_NC > 0.0, power_NC, 1.0)
    time_NT = np.where(there_NT1[:, :, 0], steps - (count_N1 - 1) / 2, 0.0)
    length_N1 = np.sqrt(np.maximum(1e-300, np.square(time_NT).sum(axis=1, keepdims=True)))
    yield "trend", np.einsum("nt,ntc->nc", time_NT, centred_NTC) / (length_N1 * np.sqrt(unit_NC))
    for lag in _LAGS:
        yield f"autocorrelation at {lag}", (centred_NTC[:, lag:] * centred_NTC[:, :-lag]).sum(axis=1) / unit_NC
    spectrum_NKC = np.square(np.abs(np.fft.rfft(centred_NTC, axis=1)))
    whole_NC = spectrum_NKC[:, 1:].sum(axis=1)
    cycles = np.fft.rfftfreq(len(steps))
    for low, high in pairwise(_BANDS):
        band_NC = spectrum_NKC[:, (cycles > low) & (cycles <= high)].sum(axis=1)
        yield f"share of {low:.3g} to {high:.3g} cycles a step", band_NC / np.where(whole_NC > 0.0, whole_NC, 1.0)
