"""Time series in tables: a row for each series (wide), or a row for each of its steps (long).

Shape legend: R rows, N series, T steps, C channels.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple

import numpy as np
import pandas as pd
from typing_extensions import TypedDict

from harness.data.columns import ColumnReading, Reading, in_order
from harness.data.numbers import Odd, read_known
from harness.data.reread import Unlike, reread
from harness.data.series import Series, of_array
from harness.data.sources.names import one_form
from harness.data.sources.tables import check_duplicates
from harness.data.texts import as_text, is_text, row_of, with_missing
from harness.errors import DataError, did_you_mean

_GAP = 1.5
"""Times the usual distance in time of two steps from which on steps are told to be missing between them."""


class SeriesLayout(TypedDict, total=False):
    """How a table holds series; with ``id`` it is long, and ``columns`` are channels, else steps in their order."""

    columns: list[str]
    id: str
    time: str
    missing: list[str]
    decimal: Literal[".", ","]


class Found(NamedTuple):
    """The series of a table."""

    series: Series
    codes: np.ndarray
    """int64 (R,): the series that a row belongs to."""
    names: np.ndarray | None
    """Text (N,): what the series are called, where there are several rows of each."""
    notes: tuple[str, ...]


def series_of_frame(frame: pd.DataFrame, layout: SeriesLayout, place: Callable[[int], str] = row_of) -> Found:
    """Return the series of a table whose values are typed or text.

    Raises :class:`Unlike` for what a row holds, and :class:`DataError` where columns are missing.
    """
    frame = named_once(frame)
    needed = [*layout["columns"], *(layout[key] for key in ("id", "time") if key in layout)]
    if missing := next((name for name in needed if name not in frame.columns), None):
        raise DataError(f"column {missing!r} is missing{did_you_mean(missing, frame.columns)}")
    values_RC = np.column_stack([_numbers(frame[name], layout) for name in layout["columns"]])
    if "id" in layout:
        return _long(frame, values_RC, layout, place)
    series = of_array(values_RC, "the table")
    return Found(Series(series.values, series.lengths, ("value",)), np.arange(len(frame)), None, ())


def named_once(frame: pd.DataFrame) -> pd.DataFrame:
    """Return a table whose columns have names in one form and whose rows are numbered. Raises :class:`DataError`."""
    names = [one_form(name) for name in frame.columns]
    check_duplicates(names, "the table")
    return frame.set_axis(names, axis="columns").reset_index(drop=True)


def one_of_each(frame: pd.DataFrame, found: Found, column: str, place: Callable[[int], str]) -> pd.Series:
    """Return the value that a column has in all rows of a series, for each of the series, None where it has none.

    Raises :class:`DataError` where two rows of a series differ in it.
    """
    present = frame[column].notna().to_numpy()
    rows, codes = np.flatnonzero(present), found.codes[present]
    _, first = np.unique(codes, return_index=True)
    place_of = np.full(len(found.series), -1)
    place_of[codes[first]] = rows[first]
    values = frame[column].to_numpy()
    differs = values[rows] != values[place_of[codes]]
    if differs.any():
        row = int(rows[np.argmax(differs)])
        other = int(place_of[found.codes[row]])
        name = found.names[found.codes[row]] if found.names is not None else ""
        raise DataError(
            f"series {name!r} has two values of {column!r}, {values[other]!r} in {place(other)} and {values[row]!r} in"
            f" {place(row)}; give all of its rows the same"
        )
    return pd.Series([values[row] if row >= 0 else None for row in place_of], name=column).infer_objects()


def _numbers(column: pd.Series, layout: SeriesLayout) -> np.ndarray:
    words = tuple(layout.get("missing", ()))
    if not is_text(column):
        return reread(column, ColumnReading("numbers", missing=words))
    found = read_known(with_missing(column, words), layout.get("decimal", "."), "")
    if isinstance(found, Odd):
        raise Unlike(f"column {column.name!r} {found.what}", found.row, found.fix)
    return found


def _long(frame: pd.DataFrame, values_RC: np.ndarray, layout: SeriesLayout, place: Callable[[int], str]) -> Found:
    identity = with_missing(frame[layout["id"]], layout.get("missing", ()))
    if identity.isna().any():
        row = int(np.argmax(identity.isna()))
        raise Unlike(f"column {layout['id']!r} is empty", row, "say which series the row belongs to, or remove it")
    codes, names = pd.factorize(as_text(identity))
    time = _times(frame, layout, place)
    order = np.lexsort((time, codes))
    notes = tuple(_about_time(codes, time, order, layout, place)) if "time" in layout else ()
    lengths = np.bincount(codes)
    values_NTC = np.full((len(lengths), lengths.max(initial=0), values_RC.shape[1]), np.nan)
    steps = np.arange(len(order)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    values_NTC[codes[order], steps] = values_RC[order]
    return Found(Series(values_NTC, lengths, tuple(layout["columns"])), codes, np.asarray(names, dtype=object), notes)


def _times(frame: pd.DataFrame, layout: SeriesLayout, place: Callable[[int], str]) -> np.ndarray:
    """Return float64 numbers (R,) by which the rows of each series are in order."""
    if "time" not in layout:
        return np.arange(len(frame), dtype=np.float64)
    name = layout["time"]
    column = with_missing(frame[name], layout.get("missing", ()))
    return in_order(column, f"time {name!r}", Reading("", place))


def _about_time(
    codes: np.ndarray, time: np.ndarray, order: np.ndarray, layout: SeriesLayout, place: Callable[[int], str]
) -> Sequence[str]:
    """Return notes on rows that were not in order and on gaps; :class:`Unlike` for two rows of one time."""
    name, notes = layout["time"], []
    same = codes[order[1:]] == codes[order[:-1]]
    apart = (time[order[1:]] - time[order[:-1]])[same]
    later = order[1:][same]
    if (apart == 0).any():
        row, other = int(later[np.argmax(apart == 0)]), int(order[:-1][same][np.argmax(apart == 0)])
        raise Unlike(f"column {name!r} has the same time as {place(other)} in one series", row, "remove one of both")
    if moved := int((order[1:] < order[:-1])[same].sum()):
        notes.append(f"{moved:,} rows stand behind later ones of their series: each series is put in order of {name!r}")
    gaps = apart > _GAP * np.median(apart) if len(apart) else np.array([], bool)
    if gaps.any():
        first = place(int(later[np.argmax(gaps)]))
        notes.append(
            f"{int(gaps.sum()):,} gaps in {name!r}, the first before {first}: the steps are taken as if they followed"
            " each other; insert rows without values where steps are missing"
        )
    return notes


def layout_of(names: Sequence[str], chosen: str | Sequence[str], others: Sequence[str], where: str) -> list[str]:
    """Return the columns of values: those that are named, begin with a text, or are none of the others."""
    rest = [name for name in names if name not in others]
    if isinstance(chosen, str):
        rest = [name for name in rest if name.startswith(one_form(chosen))]
        if not rest:
            raise DataError(f"{where}: no column begins with {chosen!r}; correct `columns`{_known(names)}")
    elif chosen:
        rest = [one_form(name) for name in chosen]
    if not rest:
        raise DataError(f"{where}: no column is left for the values of the series; name them under `columns`")
    return rest


def _known(names: Sequence[str]) -> str:
    return f" (there are {', '.join(map(repr, names[:5]))}{', ...' if len(names) > 5 else ''})"
