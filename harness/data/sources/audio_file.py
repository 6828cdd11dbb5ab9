"""Recordings as files: WAV by scipy, FLAC and Ogg by the library soundfile."""

from __future__ import annotations

import math
import struct
import warnings
from pathlib import Path

import numpy as np

from harness.data.sources.class_folders import Content, readable
from harness.errors import DataError, first_line
from harness.extras import load_extra

AUDIO_FILES = Content("recordings", frozenset({".wav", ".flac", ".ogg"}))


HIGHEST_RATE = 768_000
"""Samples a second of any recording."""
_DAMAGED = (ValueError, OSError, EOFError, struct.error, ArithmeticError, MemoryError, TypeError, UnboundLocalError)
"""What scipy raises for bytes that are no WAV file; the last of them where there are no samples at all."""


def read_wave(path: Path, rate: int) -> np.ndarray:
    """Return a recording as float32 of one channel, the mean of several, at ``rate`` samples a second.

    Raises :class:`DataError` for a file that is damaged, empty or silent by its format.
    """
    found, values_LC = _read(path)
    if not 100 <= found <= HIGHEST_RATE:
        raise DataError(f"{readable(path)}: says it has {found:,} samples a second; save it again or remove it")
    if not len(values_LC):
        raise DataError(f"{readable(path)}: holds no sound; remove it")
    if not np.isfinite(values_LC).all():
        raise DataError(f"{readable(path)}: holds NaN or infinite values; correct or remove it")
    wave = values_LC.mean(axis=1)
    if found != rate:
        from scipy.signal import resample_poly

        common = math.gcd(found, rate)
        wave = resample_poly(wave, rate // common, found // common)
    return np.asarray(wave, np.float32)


def _read(path: Path) -> tuple[int, np.ndarray]:
    """Return samples a second and float64 values (L, C) from -1 to 1."""
    if path.suffix.lower() == ".wav":
        from scipy.io import wavfile

        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", wavfile.WavFileWarning)  # of chunks that hold no sound
                rate, values = wavfile.read(path)
        except _DAMAGED as error:
            raise _damaged(path, error) from None
        return int(rate), _scaled(values if values.ndim == 2 else values[:, None])
    soundfile = load_extra("soundfile", extra="audio", use="a recording as FLAC or Ogg")
    try:
        values, rate = soundfile.read(path, dtype="float64", always_2d=True)
    except (soundfile.LibsndfileError, OSError, ValueError) as error:
        raise _damaged(path, error) from None
    return int(rate), values


def _scaled(values: np.ndarray) -> np.ndarray:
    """Return integers over the range of their format; scipy has 24 bits as the upper ones of 32."""
    if values.dtype.kind == "f":
        return values.astype(np.float64)
    if values.dtype == np.uint8:
        return (values.astype(np.float64) - 128.0) / 128.0
    return values.astype(np.float64) / -float(np.iinfo(values.dtype).min)


def _damaged(path: Path, error: Exception) -> DataError:
    return DataError(
        f"{readable(path)}: is no recording that can be read ({first_line(error)}); save it again or remove it"
    )
