"""Series cut into samples: how far back and ahead, which part each is in, and what its errors are divided by."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from harness.data.regular import as_texts
from harness.data.sources.names import one_form
from harness.data.sources.regular_table import One, SeriesTable
from harness.data.sources.source import Source
from harness.data.windows import Layout, Windows, parts_of, season_of
from harness.errors import DataError
from harness.records import TaskKind
from harness.spec.task import ForecastTask

FEWEST = 10
"""Training samples."""
_SHORTEST = 12
"""Steps that are looked back on where neither season nor horizon asks for more, if the series has them."""


@dataclass(frozen=True, slots=True)
class _Cut:
    """How the steps of a series are shared out."""

    horizon: int
    season: int
    test: int
    """Steps of the test part."""
    share: float
    """Of the steps, for validation."""

    def validation(self, steps: int) -> int:
        """Return the steps of validation: enough that each step of a season is predicted first once."""
        return max(round(self.share * steps), self.horizon + min(self.horizon, self.season) - 1)

    def left(self, steps: int) -> int:
        """Return the steps of training."""
        return steps - self.test - self.validation(steps)


def source_of(task: ForecastTask, name: str, fingerprint: str, table: SeriesTable) -> Source:
    """Return the samples of a task's series. Raises :class:`DataError` where these are too short."""
    every = [_without_ahead(one, table) for one in table.series()]
    assert table.distance is not None
    season = season_of(table.distance[0]) if task.season == "auto" else task.season
    test = task.origins * task.horizon if task.split.test > 0.0 else 0
    cut = _Cut(task.horizon, season, test, task.split.validation)
    layout = _layout(task, table, cut, max(len(one.times) for one in every))
    long = [one for one in every if cut.left(len(one.times)) >= layout.window + layout.horizon]
    if not long:
        raise _too_short(table.where, every, layout, cut)
    if left_out := len(every) - len(long):
        table.notes.append(f"{table.where}: {left_out} of {len(every)} series are too short: left out")
    windows = windows_of(layout, long, [np.arange(layout.window, len(o.times) - layout.horizon + 1) for o in long])
    parts = np.concatenate([_parts(one, layout, cut) for one in long])
    if (count := int((parts == 0).sum())) < FEWEST:
        raise DataError(
            f"{table.where}: {count} samples are left to train on, with {layout.window} steps looked back on and"
            f" {layout.horizon} ahead; it takes {FEWEST}: lower `window`, `horizon` or `split.validation`"
        )
    if layout.log:
        _refuse_log(long, table)
    return Source(
        name=name,
        inputs=windows,
        targets=_targets(windows, [_naive_error(one, cut, table.where) for one in long]),
        value_names=(*map(str, range(1, layout.horizon + 1)), "naive"),
        target=layout.target,
        fingerprint=fingerprint,
        parts=parts,
        in_time=True,
        notes=(*table.notes, _told(layout, long, parts, table.where)),
        problem=TaskKind.QUANTILE_FORECASTING if layout.quantiles else TaskKind.FORECASTING,
    )


def windows_of(layout: Layout, series: Sequence[One], firsts: Sequence[np.ndarray]) -> Windows:
    """Return samples of series by the steps of each that are predicted first."""
    lengths = [len(one.times) for one in series]
    starts = np.cumsum([0, *lengths])
    return Windows(
        layout=layout,
        values=np.concatenate([one.values for one in series]),
        times=np.concatenate([one.times for one in series]),
        series=np.repeat(np.arange(len(series)), lengths),
        names=tuple(one.name for one in series),
        firsts=np.concatenate([start + each for start, each in zip(starts, firsts, strict=False)]),
    )


def _without_ahead(one: One, table: SeriesTable) -> One:
    """Return a series without the steps that have no value yet."""
    if not one.ahead:
        return one
    called = f"series {one.name!r} has" if one.name else "the series has"
    table.notes.append(f"{table.where}: {called} no value in the last {one.ahead} steps: not learnt from")
    return replace_end(one, len(one.times) - one.ahead)


def replace_end(one: One, steps: int) -> One:
    """Return the first steps of a series."""
    return One(one.name, one.times[:steps], one.values[:steps], 0)


def _layout(task: ForecastTask, table: SeriesTable, cut: _Cut, longest: int) -> Layout:
    assert table.distance is not None
    names = list(table.columns)
    known = [name for name in names if name in table.known]
    frequency, step = table.distance
    if task.window == "auto":
        least = task.horizon if known else 2
        most = max(least, (cut.left(longest) - task.horizon) // 2)
        window = min(max(2 * cut.season, task.horizon, _SHORTEST), most)
    else:
        window = task.window
    return Layout(
        time=one_form(task.time),
        target=names[0],
        group=None if task.group is None else one_form(task.group),
        past=tuple(name for name in names[1:] if name not in known),
        known=tuple(known),
        frequency=frequency,
        step=step,
        window=window,
        horizon=task.horizon,
        season=cut.season,
        log=task.transform == "log",
        quantiles=task.quantiles,
    )


def _parts(one: One, layout: Layout, cut: _Cut) -> np.ndarray:
    steps = len(one.times)
    firsts = np.arange(layout.window, steps - layout.horizon + 1)
    return parts_of(steps, firsts, layout.horizon, test=cut.test, validation=cut.validation(steps))


def _too_short(where: str, series: Sequence[One], layout: Layout, cut: _Cut) -> DataError:
    longest = max(series, key=lambda one: len(one.times))
    steps, validation = len(longest.times), cut.validation(len(longest.times))
    called = "the longest series has" if len(series) > 1 else "the series has"
    return DataError(
        f"{where}: {called} {steps} steps, and a horizon of {layout.horizon} takes"
        f" {layout.window + layout.horizon + validation + cut.test}: {layout.window} looked back on and"
        f" {layout.horizon} ahead to train on, {validation} for validation, {cut.test} for test;"
        " lower `horizon`, `origins` or `window`"
    )


def _refuse_log(series: Sequence[One], table: SeriesTable) -> None:
    for one in series:
        wrong = one.values[:, 0] <= 0.0
        if wrong.any():
            place = int(np.argmax(wrong))
            (time,) = as_texts(one.times[place : place + 1])
            raise DataError(
                f"{table.where}: transform: log takes values above 0, and at {time} it is {one.values[place, 0]:g};"
                " leave `transform` out"
            )


def _naive_error(one: One, cut: _Cut, where: str) -> float:
    """Return the mean absolute error of the seasonal naive forecast before the test part; the naive one's where 0."""
    values = one.values[: len(one.times) - cut.test, 0]
    for season in (cut.season, 1):
        if season < len(values) and (error := float(np.abs(values[season:] - values[:-season]).mean())) > 0.0:
            return error
    called = f"series {one.name!r}" if one.name else "the series"
    raise DataError(f"{where}: {called} has one value in every step before its test part; there is nothing to learn")


def _targets(windows: Windows, errors: Sequence[float]) -> np.ndarray:
    series = windows.series[windows.firsts]
    return np.column_stack([windows.ahead(0), np.array(errors)[series]])


def _told(layout: Layout, series: Sequence[One], parts: np.ndarray, where: str) -> str:
    """Return how the series were cut."""
    steps = sum(len(one.times) for one in series)
    counts = [int((parts == part).sum()) for part in (0, 1, 2)]
    distance = f"frequency {layout.frequency}" if layout.frequency else f"distance {layout.step:g}"
    return (
        f"{where}: {steps:,} steps ({distance}, season {layout.season}): {layout.window} are looked back on,"
        f" {layout.horizon} are predicted; {counts[0]:,} training, {counts[1]:,} validation, {counts[2]:,} test samples"
    )
