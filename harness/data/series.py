"""Time series as they were read: some channels step by step, of one length or of several.

Shape legend: N series, T steps of the longest, C channels.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from harness.data.reread import Unlike
from harness.errors import DataError

_LARGEST = float(np.finfo(np.float32).max)


@dataclass(frozen=True, eq=False)
class Series:
    """Several time series of the same channels.

    >>> series = packed([np.zeros((3, 2)), np.ones((5, 2))], ("left", "right"))
    >>> len(series), series.lengths.tolist(), series.values.shape
    (2, [3, 5], (2, 5, 2))
    """

    values: np.ndarray
    """float32 or float64 (N, T, C): NaN where a value is missing, and behind the end of a series."""
    lengths: np.ndarray
    """int64 (N,): steps of each series."""
    channels: tuple[str, ...]
    """What the channels are called."""

    def __len__(self) -> int:
        return len(self.values)

    def __getitem__(self, rows: np.ndarray | slice) -> Series:
        return Series(self.values[rows], self.lengths[rows], self.channels)

    @property
    def there(self) -> np.ndarray:
        """Return booleans (N, T): true at the steps that a series has."""
        there: np.ndarray = np.arange(self.values.shape[1]) < self.lengths[:, None]
        return there

    @property
    def missing(self) -> np.ndarray:
        """Return booleans (N, T, C): true where a step lacks a value."""
        missing: np.ndarray = np.isnan(self.values) & self.there[:, :, None]
        return missing


def packed(parts: Sequence[np.ndarray], channels: tuple[str, ...]) -> Series:
    """Return series from an array (steps, C) for each."""
    lengths = np.array([len(part) for part in parts], np.int64)
    values = np.full((len(parts), lengths.max(initial=0), len(channels)), np.nan)
    for place, part in enumerate(parts):
        values[place, : len(part)] = part
    return Series(values, lengths, channels)


def joined(first: Series, second: Series) -> Series:
    """Return the series of both, which have the same channels."""
    parts = [each.values[row, :length] for each in (first, second) for row, length in enumerate(each.lengths)]
    return packed(parts, first.channels)


def of_array(array: np.ndarray, where: str, lengths: np.ndarray | None = None) -> Series:
    """Return series from numbers N x T, or N x T x C.

    Without ``lengths`` a series ends at the last step that has a value, as in the UCR archive, where NaN fills shorter
    ones up. Raises :class:`DataError` for other shapes.
    """
    values = array[:, :, None] if array.ndim == 2 else array
    if values.ndim != 3 or values.dtype.kind not in "biuf" or 0 in values.shape[1:]:
        shape = " x ".join(map(str, array.shape)) or "a single value"
        raise DataError(f"{where} is {shape} of {array.dtype}; expected series: N x steps, or N x steps x channels")
    single = np.promote_types(values.dtype, np.float32) == np.float32
    values = values.astype(np.float32 if single else np.float64, copy=lengths is not None)
    names = tuple(map(str, range(values.shape[2])))
    if lengths is None:
        return Series(values, _ends(values), names)
    fits = lengths.shape == (len(values),) and lengths.dtype.kind in "iu"
    if not fits or ((lengths < 0) | (lengths > values.shape[1])).any():
        raise DataError(f"{where}: 'lengths' must hold a whole number from 0 to {values.shape[1]} for each series")
    series = Series(values, lengths.astype(np.int64), names)
    values[~series.there] = np.nan
    return series


def _ends(values_NTC: np.ndarray) -> np.ndarray:
    """Return the number of steps up to the last that has a value."""
    steps = values_NTC.shape[1]
    known_NT = ~np.isnan(values_NTC).all(axis=2)
    ends: np.ndarray = np.where(known_NT.any(axis=1), steps - known_NT[:, ::-1].argmax(axis=1), 0).astype(np.int64)
    return ends


def check_series(series: Series) -> None:
    """Raise :class:`Unlike` for the first series without steps, with a channel of no value, or one too large."""
    if (empty := series.lengths == 0).any():
        raise Unlike("holds a series without steps", int(np.argmax(empty)), "remove it or give it values")
    large_NC = (np.abs(series.values) > _LARGEST).any(axis=1)
    if large_NC.any():
        row, channel = np.argwhere(large_NC)[0].tolist()
        name = series.channels[channel]
        raise Unlike(f"channel {name!r} holds a value that is infinite or beyond float32 (3e38)", row, "correct it")
    empty_NC = np.isnan(series.values).all(axis=1)
    if empty_NC.any():
        row, channel = np.argwhere(empty_NC)[0].tolist()
        raise Unlike(
            f"channel {series.channels[channel]!r} has no value at any step", row, "remove the series or the channel"
        )


def checked(series: Series, where: str, place: Callable[[int], str]) -> Series:
    """Return series that can be learnt from. Raises :class:`DataError` with the place of one that cannot."""
    if not len(series):
        raise DataError(f"{where}: holds no series; add some")
    try:
        check_series(series)
    except Unlike as error:
        raise DataError(f"{where}: {error.at(place)}") from None
    return series


def filled(series: Series) -> np.ndarray:
    """Return the values, missing ones interpolated along the steps; at the ends they are those of the nearest step."""
    missing_NTC = series.missing
    if not missing_NTC.any():
        return series.values
    values = series.values.copy()
    for row, channel in np.argwhere(missing_NTC.any(axis=1)).tolist():
        column_T = values[row, : series.lengths[row], channel]
        missing_T = np.isnan(column_T)
        steps = np.arange(len(column_T))
        column_T[missing_T] = np.interp(steps[missing_T], steps[~missing_T], column_T[~missing_T])
    return values


def remarks(series: Series, where: str) -> Iterator[str]:
    """Yield what a user should know of how series are taken."""
    low, high = int(series.lengths.min()), int(series.lengths.max())
    if low < high:
        yield (
            f"{where}: series have {low:,} to {high:,} steps; they are padded to the longest in training, and a longer"
            " one is cut at its end"
        )
    if missing := int(series.missing.sum()):
        yield f"{where}: {missing:,} missing values are filled in by linear interpolation along the series"
