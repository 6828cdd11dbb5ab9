"""The role of each column of a table: numbers, categories, or nothing that can be learnt from."""

from __future__ import annotations

import reprlib
from collections.abc import Callable, Collection

import numpy as np
import pandas as pd
from pandas.api.types import (
    infer_dtype,
    is_bool_dtype,
    is_complex_dtype,
    is_integer_dtype,
    is_numeric_dtype,
    is_object_dtype,
    is_string_dtype,
)

from harness.errors import DataError

_TIMES = {"datetime64", "datetime", "date", "timedelta64", "timedelta", "time", "period"}
_TEXTS = {"string", "empty", "decimal", "integer", "floating", "mixed-integer-float"}
_MOSTLY = 0.5
"""A text column with at least this share of numbers is a column of numbers with mistakes in it, not of categories."""

Place = Callable[[int], str]
"""Says where a row stands in the file, such as ``line 17``, from its position in the table."""


def as_text(column: pd.Series) -> np.ndarray:
    """Return the values as an object array of text, None where missing.

    Whole floats lose their ``.0``: an integer column that became float because of a missing value keeps its categories.
    """
    texts = np.empty(len(column), dtype=object)
    missing = column.isna().to_numpy()
    for row, value in enumerate(column.tolist()):
        if not missing[row]:
            texts[row] = str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)
    return texts


def clean_columns(
    frame: pd.DataFrame, *, categorical: Collection[str], where: str, place: Place
) -> tuple[pd.DataFrame, tuple[str, ...]]:
    """Return the columns to learn from, numbers as float64 and categories as text, with notes on what was left out.

    ``frame`` keeps the positions of its rows in its index, for messages. Raises :class:`DataError` for times, infinite
    values, columns of numbers with text among them, and values that are neither numbers nor text.
    """
    kept: dict[str, np.ndarray] = {}
    notes: list[str] = []
    for name in frame.columns:
        column = frame[name]
        label = f"{where}: column {name!r}"
        values = as_text(column) if name in categorical else _values(column, label, place)
        reason = _why_dropped(values, asked_for=name in categorical)
        if reason:
            notes.append(f"{label} {reason}: dropped")
            continue
        if is_integer_dtype(column.dtype) and values.dtype != object and column.is_unique:
            notes.append(f"{label} holds a different integer in every row; if it is an identifier, put it under `drop`")
        kept[name] = values
    if not kept:
        raise DataError(f"{where}: no column is left to learn from; {'; '.join(notes) or 'add columns'}")
    return pd.DataFrame(kept, index=frame.index), tuple(notes)


def _values(column: pd.Series, label: str, place: Place) -> np.ndarray:
    """Return float64 values for a column of numbers, an object array of text for one of categories."""
    held = infer_dtype(column, skipna=True)
    if held in _TIMES:
        raise _times(label)
    if is_bool_dtype(column.dtype) or held in ("boolean", "categorical"):
        return as_text(column)
    if is_numeric_dtype(column.dtype) and not is_complex_dtype(column.dtype):
        return _finite(column, label, place)
    if held in _TEXTS and (is_object_dtype(column.dtype) or is_string_dtype(column.dtype)):
        return _from_text(column, label, place)
    raise DataError(f"{label} holds {held} values, neither numbers nor text; put it under `drop`")


def _from_text(column: pd.Series, label: str, place: Place) -> np.ndarray:
    present = column.dropna()
    numbers = pd.to_numeric(present, errors="coerce")
    share = float(numbers.notna().mean()) if len(present) else 0.0
    if share == 1.0:
        return _finite(pd.to_numeric(column), label, place)
    if share >= _MOSTLY:
        first = present[numbers.isna()].index[0]
        raise DataError(
            f"{label} holds numbers but for {reprlib.repr(column[first])} in {place(int(first))}; correct it,"
            " or put the column under `categorical` or `drop`"
        )
    if len(present) and pd.to_datetime(present.astype(str), format="ISO8601", errors="coerce", utc=True).notna().all():
        raise _times(label)
    return as_text(column)


def _finite(column: pd.Series, label: str, place: Place) -> np.ndarray:
    values = column.to_numpy(np.float64, na_value=np.nan)
    infinite = np.flatnonzero(np.isinf(values))
    if len(infinite):
        row = int(column.index[infinite[0]])
        raise DataError(f"{label} holds an infinite value in {place(row)}; correct it or remove the row")
    return values


def _times(label: str) -> DataError:
    return DataError(f"{label} holds dates or times, which are not read; put it under `drop`")


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
