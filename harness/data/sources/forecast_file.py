"""Series in a CSV or Parquet file, as samples to forecast."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from harness.data.columns import ColumnReading, Reading, holds_dates, read_column
from harness.data.files import existing_file
from harness.data.numbers import decimal_evidence
from harness.data.reread import reread
from harness.data.sources.csv_file import csv_table
from harness.data.sources.forecast_samples import source_of
from harness.data.sources.names import one_form
from harness.data.sources.parquet_file import is_parquet, parquet_table
from harness.data.sources.regular_table import SeriesTable
from harness.data.sources.source import Source, read_source
from harness.data.sources.tables import RawTable, check_duplicates
from harness.data.texts import as_text, is_text, with_missing
from harness.data.windows import Layout
from harness.errors import DataError, did_you_mean
from harness.spec.task import ForecastTask


@read_source.register
def read_forecast(task: ForecastTask) -> Source:
    """Read the series of a task and cut them into samples; :class:`DataError` where they cannot be used."""
    raw = series_file(task.forecast, task.separator)
    names = {"time": (task.time,), "target": (task.target,), "past": task.past, "known": task.known}
    frame = _named(raw, {**names, **({} if task.group is None else {"group": (task.group,)})})
    numbers = [one_form(name) for name in (task.target, *task.past, *task.known)]
    for name in frame.columns:
        frame[name] = with_missing(frame[name], task.missing)
    time, group = one_form(task.time), None if task.group is None else one_form(task.group)
    typed, readings = _typed(task, raw, frame, [time, *numbers])
    table = SeriesTable(
        where=raw.where,
        place=raw.place,
        times=typed.pop(time),
        groups=None if group is None else as_text(frame[group]),
        columns=typed,
        known=[one_form(name) for name in task.known],
        notes=[*raw.notes, *_unused(raw, frame)],
    )
    source = source_of(task, raw.name, raw.fingerprint, table)
    return replace(source, separator=task.separator, reading=readings)


def series_file(path: Path, separator: str) -> RawTable:
    """Return the rows of a CSV or Parquet file. Raises :class:`DataError`."""
    path = existing_file(path)
    raw = parquet_table(path) if is_parquet(path) else csv_table(path, separator)
    if raw.frame.empty:
        raise DataError(f"{raw.where}: holds no rows; add some below the header")
    return raw


def series_again(raw: RawTable, layout: Layout, readings: Mapping[str, Any]) -> SeriesTable:
    """Return the series of a file that is to be read as training's was. Raises :class:`DataError`."""
    names = {"time": (layout.time,), "target": (layout.target,), "past": layout.past, "known": layout.known}
    frame = _named(raw, {**names, **({} if layout.group is None else {"group": (layout.group,)})})
    typed = {name: reread(frame[name], ColumnReading(**readings[name])) for name in (layout.time, *layout.columns)}
    return SeriesTable(
        where=raw.where,
        place=raw.place,
        times=typed.pop(layout.time),
        groups=None if layout.group is None else as_text(frame[layout.group]),
        columns=typed,
        known=layout.known,
        distance=(layout.frequency, layout.step),
    )


def _named(raw: RawTable, wanted: Mapping[str, tuple[str, ...]]) -> pd.DataFrame:
    """Return the columns that are named by their keys. Raises :class:`DataError` where there is none of a name."""
    names = [one_form(name) for name in raw.frame.columns]
    check_duplicates(names, raw.where)
    frame = raw.frame.set_axis(names, axis="columns")
    for key, columns in wanted.items():
        for name in columns:
            if one_form(name) not in names:
                raise DataError(f"{raw.where}: {key} {name!r} is not a column{did_you_mean(name, names)}")
    return frame[[one_form(name) for columns in wanted.values() for name in columns]].copy()


def _unused(raw: RawTable, frame: pd.DataFrame) -> Iterator[str]:
    others = [name for name in map(one_form, raw.frame.columns) if name not in frame.columns]
    if others:
        listed = ", ".join(map(repr, others))
        yield f"{raw.where}: not learnt from: {listed}; name columns under `past`, or `known` if known ahead"


def _typed(
    task: ForecastTask, raw: RawTable, frame: pd.DataFrame, names: list[str]
) -> tuple[dict[str, np.ndarray], dict[str, dict[str, Any]]]:
    """Return the values of columns, the first of which has the times, and how they were read."""
    time, *numbers = names
    dated = task.format is not None or holds_dates(frame[time].dropna())
    reading = Reading(
        where=raw.where,
        place=raw.place,
        hints=frozenset().union(*(decimal_evidence(frame[name]) for name in numbers if is_text(frame[name]))),
        dates={time: task.format} if dated else {},
        missing=lambda _: task.missing,
    )
    typed, readings = {}, {}
    for name in names:
        label = f"{raw.where}: column {name!r}"
        values, how, _ = read_column(frame[name], label, reading)
        if how.role not in ("numbers", "dates"):
            use = "as times, which are dates or numbers" if name == time else "as numbers"
            raise DataError(f"{label} holds text and cannot be read {use}; correct it or leave it out")
        typed[name] = values
        readings[name] = replace(how, missing=task.missing).as_dict()
    return typed, readings
