"""Stretches of series: what precedes a moment, to look back on, and what follows, to be predicted.

Shape legend: S steps of all series one after another, N samples, C columns, W steps looked back on, H steps ahead.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

SEASONS = {"h": 24, "D": 7, "B": 5, "W": 52, "M": 12, "Q": 4}
"""Steps of a season by how a frequency is called in pandas, but for where it is anchored."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """What the columns of a file of series mean, and how they are cut into samples; JSON-able."""

    time: str
    target: str
    group: str | None
    past: tuple[str, ...]
    """Columns whose past is looked back on."""
    known: tuple[str, ...]
    """Columns that are known ahead."""
    frequency: str
    """What pandas calls the distance of two steps; "" where times are numbers."""
    step: float
    """The distance of two numbers; 0 for dates."""
    window: int
    horizon: int
    season: int
    log: bool
    quantiles: tuple[float, ...]

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns of :class:`Windows`' values."""
        return (self.target, *self.past, *self.known)

    @property
    def places(self) -> tuple[int, ...]:
        """The column that each channel of a model is of: first all columns, then what is ahead of the known ones."""
        count = len(self.columns)
        return (*range(count), *range(count - len(self.known), count))

    @property
    def channels(self) -> int:
        """How many channels a model sees."""
        return len(self.places)

    def as_dict(self) -> dict[str, Any]:
        """Return it as plain data."""
        return asdict(self)


@dataclass(frozen=True, eq=False)
class Windows:
    """Samples of series, each known by the step that is predicted first."""

    layout: Layout
    values: np.ndarray
    """float64 S x C; the target is NaN in steps that are only known ahead."""
    times: np.ndarray
    """datetime64 or float64, of each step."""
    series: np.ndarray
    """int64 (S,): which of ``names`` a step belongs to."""
    names: tuple[str, ...]
    firsts: np.ndarray
    """int64 (N,): the step that is predicted first; of new samples it may be the step behind the last one."""

    def __len__(self) -> int:
        return len(self.firsts)

    def take(self, rows: np.ndarray) -> Windows:
        """Return some samples of the same series."""
        return replace(self, firsts=self.firsts[rows])

    def series_of(self, row: int) -> str:
        """Return the name of a sample's series."""
        return self.names[int(self.series[self.firsts[row] - 1])]

    def history(self, row: int) -> np.ndarray:
        """Return all values of a sample's series before the first step that is predicted."""
        end = self.firsts[row]
        start = int(np.searchsorted(self.series, self.series[end - 1]))
        past: np.ndarray = self.values[start:end, 0]
        return past

    def past(self, column: int) -> np.ndarray:
        """Return what is looked back on of a column, ``N x W``."""
        return self._cut(column, self.firsts - self.layout.window, self.layout.window)

    def ahead(self, column: int) -> np.ndarray:
        """Return what is ahead of a column, ``N x H``."""
        return self._cut(column, self.firsts, self.layout.horizon)

    def lead(self, column: int) -> np.ndarray:
        """Return of a column that is known ahead the window that ends with the horizon, ``N x W``."""
        return self._cut(column, self.firsts + self.layout.horizon - self.layout.window, self.layout.window)

    def _cut(self, column: int, starts_N: np.ndarray, length: int) -> np.ndarray:
        if not len(starts_N):
            return np.empty((0, length))
        cut: np.ndarray = sliding_window_view(self.values[:, column], length)[starts_N]
        return cut


def season_of(frequency: str) -> int:
    """Return the steps of a season of a frequency as pandas calls it; 1 where it has none.

    >>> [season_of(each) for each in ("MS", "QE-DEC", "h", "W-SUN", "YS-JAN", "2D")]
    [12, 4, 24, 52, 1, 1]
    """
    name = frequency.partition("-")[0]
    return SEASONS.get(name, SEASONS.get(name.removesuffix("S").removesuffix("E"), 1) if len(name) == 2 else 1)


Part = Literal[0, 1, 2, 3, 4]
"""Of a sample: training, validation, test, overlapping with validation, overlapping with test."""


def rolling_origins(windows: Windows, rows: np.ndarray, count: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return the samples that each of so many folds trains on, and those that it validates on, of ``rows``.

    The last fold validates on the last horizon of each series, the one before it on the horizon before that, and so on;
    a fold trains on all samples that end before its horizon (Tashman 2000, doi:10.1016/S0169-2070(00)00065-0). As
    scikit-learn's ``TimeSeriesSplit`` deals the steps of one series, with its ``test_size`` the horizon.
    """
    series, horizon = windows.series[windows.firsts[rows] - 1], windows.layout.horizon
    last = np.zeros(len(windows.names), np.int64)
    np.maximum.at(last, series, windows.firsts[rows])
    behind = last[series] - windows.firsts[rows]
    backs = [horizon * fold for fold in reversed(range(count))]
    return [(rows[behind >= back + horizon], rows[behind == back]) for back in backs]


def parts_of(steps: int, firsts: np.ndarray, horizon: int, *, test: int, validation: int) -> np.ndarray:
    """Return the part of each sample of a series by the step that it predicts first, int8.

    The last ``test`` steps are the test part and are predicted once each, the ``validation`` steps before them by every
    sample whose values all lie there, and those of training end before that.
    """
    cut_test = steps - test
    cut_validation = cut_test - validation
    ends = firsts + horizon
    parts = np.full(len(firsts), 4, np.int8)
    parts[ends <= cut_test] = 3
    parts[(firsts >= cut_validation) & (ends <= cut_test)] = 1
    parts[ends <= cut_validation] = 0
    parts[(firsts >= cut_test) & ((firsts - cut_test) % horizon == 0)] = 2
    return parts
