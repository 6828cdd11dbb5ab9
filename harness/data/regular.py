"""Times at equal distances: which distance that is, the steps that are missing, and the times that come next."""

from __future__ import annotations

import warnings
from collections import Counter
from typing import Any

import numpy as np
import pandas as pd

from harness.errors import DataError

_STRETCHES = (12, 5, 3)
"""Times in a row that a frequency is read from: of business days it takes a weekend, and gaps leave few in a row."""
_STARTS = 200
"""Stretches that are looked at, about."""
_TOLERANCE = 1e-6
"""Of the distance of two numbers, by which they may be off."""


def distance_of(times: np.ndarray) -> tuple[str, float]:
    """Return the frequency of ascending times as pandas calls it, or the distance of two numbers with "".

    It is the most common one of stretches of times in a row. Raises :class:`DataError` where there is none.
    """
    if times.dtype == np.float64:
        steps = Counter(np.diff(times).round(9).tolist())
        if not steps:
            raise DataError("holds a single time; a distance takes two")
        return "", float(steps.most_common(1)[0][0])
    index = pd.DatetimeIndex(times)
    for length in _STRETCHES:
        starts = range(0, max(0, len(index) - length + 1), max(1, len(index) // _STARTS))
        found = Counter(name for start in starts if (name := _frequency(index[start : start + length])))
        if found:
            return found.most_common(1)[0][0], 0.0
    raise DataError("holds times that follow each other at no regular distance")


def places_of(times: np.ndarray, frequency: str, step: float) -> tuple[np.ndarray, np.ndarray]:
    """Return all times from the first to the last of ascending ones, and the place of each of these among them.

    Raises :class:`OffGrid` for a time between two places.
    """
    if not frequency:
        places = (times - times[0]) / step
        off = np.abs(places - places.round()) > _TOLERANCE * np.maximum(1.0, places)
        if off.any():
            raise OffGrid(int(np.argmax(off)))
        whole = places.round().astype(np.int64)
        return times[0] + step * np.arange(whole[-1] + 1), whole
    every = _range(times[0], times[-1], frequency)
    whole = np.searchsorted(every, times)
    off = (whole == len(every)) | (every[np.minimum(whole, len(every) - 1)] != times)
    if off.any():
        raise OffGrid(int(np.argmax(off)))
    return every, whole


class OffGrid(ValueError):
    """A time that lies at no place; ``place`` is its number."""

    def __init__(self, place: int) -> None:
        super().__init__(f"time {place} lies between two steps")
        self.place = place


def next_times(last: np.datetime64 | float, count: int, frequency: str, step: float) -> np.ndarray:
    """Return the times that follow a last one.

    >>> next_times(np.datetime64("1960-12-01", "us"), 2, "MS", 0.0).astype("datetime64[D]").astype(str).tolist()
    ['1961-01-01', '1961-02-01']
    """
    if not frequency:
        return np.asarray(float(last) + step * np.arange(1, count + 1))
    following = pd.date_range(pd.Timestamp(last), periods=count + 1, freq=frequency)
    return following[1:].to_numpy("datetime64[us]")


def as_texts(times: np.ndarray) -> list[str]:
    """Return times as text: dates without a clock time where none has one.

    >>> as_texts(np.array(["1960-12-01", "1961-01-01"], "datetime64[us]")), as_texts(np.array([1700.0, 1700.5]))
    (['1960-12-01', '1961-01-01'], ['1700', '1700.5'])
    """
    if times.dtype == np.float64:
        return [f"{value:.12g}" for value in times]
    days = times.astype("datetime64[D]")
    return [str(each) for each in (days if (days == times).all() else times.astype("datetime64[s]"))]


def _frequency(index: pd.DatetimeIndex) -> str:
    """Return what pandas calls the distance of times in a row, "" where they have none."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # pandas 3 tells of an offset in place of its name
        found: Any = pd.infer_freq(index)
    return str(getattr(found, "freqstr", found or ""))


def _range(first: np.datetime64, last: np.datetime64, frequency: str) -> np.ndarray:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of dates that are no multiple of what they are kept in
        return pd.date_range(first, last, freq=frequency).to_numpy("datetime64[us]")
