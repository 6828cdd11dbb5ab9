"""The role of each column of a table: numbers, dates, categories, or nothing that can be learnt from."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal, NamedTuple

import numpy as np
import pandas as pd
from pandas.api.types import (
    infer_dtype,
    is_bool_dtype,
    is_complex_dtype,
    is_integer_dtype,
    is_numeric_dtype,
)

from harness.data.dates import DateError, day_first, integers_look_like_dates, looks_like_dates, read_dates
from harness.data.numbers import Hints, Numbers, Style, Unclear, read_numbers, usual_mark
from harness.data.texts import as_text, equal_numbers_alike, is_text, label_remarks
from harness.errors import DataError

_TIMES = {"datetime64", "datetime", "date", "timedelta64", "timedelta", "time", "period"}
_DATES = {"datetime64", "datetime", "date"}
_NUMBERS = {"decimal", "integer", "floating"}
EXACT = 2**53
"""Up to here float64 holds every whole number."""
NEARLY_ALL = 0.5
"""A text column with at least this share of different texts is nearly an identifier."""
_FEW = 20
"""Categories up to this number are no identifier, however few rows there are."""

Place = Callable[[int], str]
"""Says where a row stands in the file, such as ``line 17``, from its position in the table."""


@dataclass(frozen=True)
class ColumnReading:
    """How a column was read, so that new values of it are read alike, be they text or typed."""

    role: Literal["numbers", "dates", "categories"]
    missing: Sequence[str] = ()
    """Texts that stand for a missing value."""
    decimal: str = "."
    """The decimal mark of numbers in text."""
    unit: str = ""
    """The currency or unit that stood at the numbers."""
    form: str | None = None
    """The format of dates, where one was given."""
    day_first: bool | None = None
    """Whether the day stands before the month in dates that are all numbers; None: typed, or not seen."""
    whole: bool = False
    """Whether the categories are numbers, of which 2.0 is 2."""

    def as_dict(self) -> dict[str, Any]:
        """Return what differs from the defaults."""
        usual = asdict(ColumnReading(self.role))
        return {"role": self.role} | {name: value for name, value in asdict(self).items() if value != usual[name]}


class Cleaned(NamedTuple):
    """The columns of a table that are learnt from."""

    frame: pd.DataFrame
    notes: tuple[str, ...]
    reading: dict[str, dict[str, Any]]
    """A :class:`ColumnReading` of each, JSON-able."""


@dataclass(frozen=True)
class Reading:
    """What reading a column of a table depends on beside its values."""

    where: str
    """The file, for messages."""
    place: Place
    style: Style = field(default_factory=Style)
    hints: Hints = frozenset()
    """What the columns of the file tell of its decimal marks."""
    categorical: Collection[str] = ()
    dates: Mapping[str, str | None] = field(default_factory=dict)
    missing: Callable[[str], Sequence[str]] = lambda _: ()
    """What stands for a missing value in a column."""

    def at(self, column: pd.Series, row: int) -> str:
        """Return the place of the value at a position of a column, whose index has the positions in the table."""
        return self.place(int(column.index[row]))

    def unclear(self, found: Unclear, column: pd.Series) -> str:
        """Return what is unclear of a column of numbers, where, and what to do."""
        return found.message(lambda row: self.at(column, row))


def holds_dates(column: pd.Series) -> bool:
    """Tell whether a column holds dates, in whatever form."""
    if is_text(column):
        return bool(looks_like_dates(column))
    if is_integer_dtype(column.dtype):
        return integers_look_like_dates(column.dropna().to_numpy(np.int64, na_value=0))
    return infer_dtype(column, skipna=True) in _DATES


def clean_columns(frame: pd.DataFrame, reading: Reading) -> Cleaned:
    """Return the columns to learn from, with notes: numbers as float64, dates as datetime64, categories as text.

    ``frame`` keeps the positions of its rows in its index, for messages. Raises :class:`DataError` for what could only
    be read by guessing: dates that were not asked for, columns of numbers with text among them, infinite values, whole
    numbers that float64 cannot tell apart, and values of other kinds.
    """
    kept: dict[str, np.ndarray] = {}
    notes: list[str] = []
    readings: dict[str, dict[str, Any]] = {}
    for name in frame.columns:
        label = f"{reading.where}: column {name!r}"
        values, how, remarks = read_column(frame[name], label, reading)
        reason = _why_dropped(values, asked_for=name in reading.categorical)
        if reason:
            notes.append(f"{label} {reason}: dropped")
            continue
        notes += [f"{label} {what}" for what in (*remarks, *_remarks(frame[name], values))]
        kept[name] = values
        readings[name] = replace(how, missing=tuple(reading.missing(name))).as_dict()
    if not kept:
        raise DataError(f"{reading.where}: no column is left to learn from; {'; '.join(notes) or 'add columns'}")
    return Cleaned(pd.DataFrame(kept, index=frame.index), tuple(notes), readings)


_Read = tuple[np.ndarray, ColumnReading, tuple[str, ...]]
"""A column's values as float64, datetime64 or an object array of text; how they were read; and what to tell of that."""


def read_column(column: pd.Series, label: str, reading: Reading) -> _Read:
    """Return the values of a column with how they were read. Raises :class:`DataError` for what cannot be learnt."""
    name = str(column.name)
    if name in reading.dates:
        form = reading.dates[name]
        values = dates_of(column, label, reading, form)
        return values, ColumnReading("dates", form=form, day_first=None if form else day_first(column)), ()
    if name in reading.categorical:
        return categories_of(column), ColumnReading("categories", whole=_are_numbers(column)), ()
    dtype = infer_dtype(column, skipna=True)
    if dtype in _TIMES or (is_integer_dtype(column.dtype) and holds_dates(column)):
        raise _is_time(label, f"typed as {dtype}" if dtype in _TIMES else "as whole numbers: 20240314")
    if is_bool_dtype(column.dtype) or dtype in ("boolean", "categorical"):
        return as_text(column), ColumnReading("categories"), ()
    if is_text(column):
        return _from_text(column, label, reading)
    if dtype in _NUMBERS or (is_numeric_dtype(column.dtype) and not is_complex_dtype(column.dtype)):
        return numbers_of(column, label, reading), ColumnReading("numbers"), ()
    raise DataError(f"{label} holds {dtype} values, neither numbers nor text; put it under `drop`")


def _from_text(column: pd.Series, label: str, reading: Reading) -> _Read:
    found = read_numbers(column, reading.style, reading.hints)
    if isinstance(found, Numbers):
        if found.integers and integers_look_like_dates(found.values[~np.isnan(found.values)]):
            raise _is_time(label, "as whole numbers: 20240314")
        values = _finite(column, found.values, label, reading)
        remarks = (f"is read as numbers: {found.remark}",) if found.remark else ()
        decimal = found.decimal or usual_mark(reading.style, reading.hints)
        return values, ColumnReading("numbers", decimal=decimal, unit=found.unit), remarks
    times = looks_like_dates(column)
    if times:
        raise _is_time(label, times)
    if isinstance(found, Unclear):
        raise DataError(f"{label} {reading.unclear(found, column)}")
    return as_text(column), ColumnReading("categories"), ()


def numbers_of(column: pd.Series, label: str, reading: Reading) -> np.ndarray:
    """Return a column of numbers as float64; :class:`DataError` where that cannot hold them."""
    refuse_inexact(column, label, reading, fix="put it under `categorical` or `drop`")
    return _finite(column, column.to_numpy(np.float64, na_value=np.nan), label, reading)


def refuse_inexact(column: pd.Series, label: str, reading: Reading, *, fix: str) -> None:
    """Raise :class:`DataError` for whole numbers that float64 would merge with their neighbours."""
    present = column.dropna()
    if not is_integer_dtype(column.dtype) and infer_dtype(present) not in ("integer", "decimal"):
        return
    floats = present.to_numpy(np.float64)
    for row in np.flatnonzero(np.abs(floats) > EXACT):
        value = present.iloc[row]
        if value == value.__class__(int(value)) and int(value) != int(floats[row]):
            raise DataError(
                f"{label} holds {value} in {reading.at(present, int(row))}: whole numbers beyond 2^53 cannot be told"
                f" apart as numbers; {fix}"
            )


def categories_of(column: pd.Series) -> np.ndarray:
    """Return a column as text, in which numbers that are equal are one category however they were written."""
    return equal_numbers_alike(as_text(column)) if _are_numbers(column) else as_text(column)


def _are_numbers(column: pd.Series) -> bool:
    """Tell whether all values are numbers, typed or as text."""
    if not is_text(column):
        return is_numeric_dtype(column.dtype) and not is_bool_dtype(column.dtype)
    return isinstance(read_numbers(pd.Series(as_text(column.dropna()), dtype=object)), Numbers)


def dates_of(column: pd.Series, label: str, reading: Reading, form: str | None) -> np.ndarray:
    """Return a column of dates as datetime64, NaT where missing; :class:`DataError` for what is none."""
    try:
        return read_dates(column, form).to_numpy("datetime64[us]")
    except DateError as error:
        place = f" in {reading.at(column, error.row)}" if error.row is not None else ""
        raise DataError(f"{label}{place}: {error}") from None


def in_order(column: pd.Series, label: str, reading: Reading) -> np.ndarray:
    """Return float64 numbers in the order of a column of numbers or dates. Raises :class:`DataError`."""
    if column.isna().any():
        place = reading.at(column, int(np.flatnonzero(column.isna())[0]))
        raise DataError(f"{label} has no value in {place}; fill it in or remove the row")
    name = str(column.name)
    if name in reading.dates or holds_dates(column):
        return dates_of(column, label, reading, reading.dates.get(name)).astype(np.int64).astype(np.float64)
    values = read_column(column, label, reading)[0]
    if values.dtype != np.float64:
        raise DataError(f"{label} holds text; rows are put in order by numbers or dates")
    return values


def _finite(column: pd.Series, values: np.ndarray, label: str, reading: Reading) -> np.ndarray:
    infinite = np.flatnonzero(np.isinf(values))
    if len(infinite):
        place = reading.at(column, int(infinite[0]))
        raise DataError(f"{label} holds an infinite value in {place}; correct it or remove the row")
    return values


def _is_time(label: str, what: str) -> DataError:
    name = label.rpartition("column ")[2]
    use = "" if what == "durations" else f" put it under `dates` (`dates: [{name}]`) to learn from the calendar, or"
    return DataError(f"{label} holds dates or times ({what}), which are not read as they are;{use} put it under `drop`")


def _why_dropped(values: np.ndarray, *, asked_for: bool) -> str:
    """Return what makes a column useless, or "". A missing value says nothing in a number, something in a category."""
    column = pd.Series(values)
    distinct = column.nunique(dropna=True)
    if distinct == 0:
        return "is empty"
    if column.nunique(dropna=values.dtype != object) == 1:
        return "is the same in every row"
    if values.dtype == object and not asked_for and distinct == len(values):
        return "holds a different text in every row"
    return ""


def _remarks(column: pd.Series, values: np.ndarray) -> Iterable[str]:
    """Yield what a user should know of a column that is learnt from."""
    if values.dtype == np.float64:
        whole = not np.isnan(values).any() and bool((values % 1 == 0).all())
        if whole and len(np.unique(values)) == len(values):
            yield "holds a different integer in every row; if it is an identifier, put it under `drop`"
    if values.dtype == object:
        distinct = len({text for text in values if text is not None})
        if distinct > _FEW and distinct >= NEARLY_ALL * len(values):
            yield (
                f"holds {distinct:,} different texts in {len(values):,} rows: nearly an identifier, so that most values"
                " of new rows are unknown; put it under `drop` unless it carries over"
            )
        if not is_bool_dtype(column.dtype):
            yield from label_remarks(values, "categories")
