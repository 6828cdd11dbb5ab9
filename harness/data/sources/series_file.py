"""CSV files of time series: a row for each series, or a row for each of its steps."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from harness.data.files import existing_file
from harness.data.reread import Unlike
from harness.data.sources.csv_file import find_layout, read_csv_file
from harness.data.sources.names import one_form
from harness.data.sources.series_source import RawSeries, series_source
from harness.data.sources.series_table import Found, SeriesLayout, layout_of, named_once, one_of_each, series_of_frame
from harness.data.sources.source import Source, read_source
from harness.data.sources.tables import is_nameless
from harness.data.texts import as_text, with_missing
from harness.digest import sha256_of_file
from harness.errors import DataError, did_you_mean
from harness.spec.series import SeriesTask


@read_source.register
def read_series(task: SeriesTask) -> Source:
    """Read the series of a task, and of its test file; :class:`DataError` when they cannot be used."""
    layout = _layout(task)
    raw = _read(task, task.series, layout)
    test = None if task.test is None else _read(task, task.test.series, layout)
    source = series_source(raw, test, target=task.target, kind=task.kind)
    return replace(source, problem=task.kind, reading=layout, separator=task.separator)


def read_series_file(path: Path, separator: str, layout: SeriesLayout) -> tuple[Found, Callable[[int], str]]:
    """Return the series of a file laid out as known, and where each stands in it. Raises :class:`DataError`."""
    frame, place, _ = _frame(path, separator)
    with _located(path, place):
        found = series_of_frame(frame, layout, place)
    return found, _place_of(found, place)


def _frame(path: Path, separator: str) -> tuple[pd.DataFrame, Callable[[int], str], tuple[str, ...]]:
    frame, layout, notes = read_csv_file(existing_file(path), separator)

    def place(row: int) -> str:
        return f"line {layout.line_of(row)}"

    with _located(path, place):
        frame = named_once(frame)
    if frame.empty:
        raise DataError(f"{path}: holds no rows; add some below the header")
    return frame, place, notes


@contextmanager
def _located(path: Path, place: Callable[[int], str]) -> Iterator[None]:
    """Say in which file, and in which line, something is wrong."""
    try:
        yield
    except Unlike as error:
        raise DataError(f"{path}: {error.at(place)}") from None
    except DataError as error:
        raise DataError(f"{path}: {error}") from None


def _layout(task: SeriesTask) -> SeriesLayout:
    """Return how the file holds series, as the task says."""
    where, header = str(task.series), find_layout(existing_file(task.series), task.separator)[0].header
    columns = [one_form(name) for name in header]
    named = [task.target, *(name for name in (task.id, task.time, task.split.group) if name), *task.drop]
    others = [one_form(name) for name in named]
    for name, form in zip(named, others, strict=True):
        if form not in columns:
            raise DataError(f"{where}: {name!r} is not a column{did_you_mean(name, columns)}")
    names = [name for name in columns if not is_nameless(name)]
    layout: SeriesLayout = {"columns": layout_of(names, task.columns, others, where), "decimal": task.decimal}
    if task.id:
        layout["id"] = one_form(task.id)
    if task.time:
        layout["time"] = one_form(task.time)
    if task.missing:
        layout["missing"] = list(task.missing)
    return layout


def _read(task: SeriesTask, path: Path, layout: SeriesLayout) -> RawSeries:
    frame, place, notes = _frame(path, task.separator)
    with _located(path, place):
        found = series_of_frame(frame, layout, place)
        targets = _column(task, task.target, frame, found, place)
        group = None if task.split.group is None else _column(task, task.split.group, frame, found, place)
    return RawSeries(
        name=path.stem,
        where=str(path),
        series=found.series,
        targets=targets,
        place=_place_of(found, place),
        fingerprint=sha256_of_file(path),
        notes=(*notes, *(f"{path}: {note}" for note in found.notes)),
        labels=found.names,
        groups=None if group is None else as_text(group),
    )


def _column(task: SeriesTask, name: str, frame: pd.DataFrame, found: Found, place: Callable[[int], str]) -> pd.Series:
    """Return the value of a column for each series."""
    name = one_form(name)
    if name not in frame.columns:
        raise DataError(f"{name!r} is not a column{did_you_mean(name, frame.columns)}")
    return one_of_each(frame.assign(**{name: with_missing(frame[name], task.missing)}), found, name, place)


def _place_of(found: Found, place: Callable[[int], str]) -> Callable[[int], str]:
    """Return what says where a series stands: its name, or the line of its only row."""
    names = found.names
    return place if names is None else lambda series: f"series {np.asarray(names)[series]!r}"
