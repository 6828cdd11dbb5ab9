"""New values of a column, read as the training data's were: text as people write it, or typed."""

from __future__ import annotations

import numpy as np
import pandas as pd

from harness.data.columns import ColumnReading
from harness.data.dates import DateError, read_dates
from harness.data.numbers import Style, Unclear, read_numbers
from harness.data.texts import as_text, equal_numbers_alike, is_text, row_of, with_missing
from harness.errors import DataError


def reread(column: pd.Series, how: ColumnReading) -> np.ndarray:
    """Return float64 numbers, datetime64 or an object array of text; what was read in this way before stays as it is.

    Raises :class:`DataError` for what cannot be read like the training data.
    """
    column = with_missing(column, how.missing)
    if how.role == "categories":
        return equal_numbers_alike(as_text(column)) if how.whole else as_text(column)
    if how.role == "dates":
        return _dates(column, how)
    return _from_text(column, how) if is_text(column) else _typed(column)


def _dates(column: pd.Series, how: ColumnReading) -> np.ndarray:
    try:
        return read_dates(column, how.form, how.day_first).to_numpy("datetime64[us]")
    except DateError as error:
        place = f" in {row_of(error.row)}" if error.row is not None else ""
        raise DataError(f"column {column.name!r} held dates in training{place}: {error}") from None


def _from_text(column: pd.Series, how: ColumnReading) -> np.ndarray:
    if column.isna().all():
        return np.full(len(column), np.nan)
    found = read_numbers(column, Style(how.decimal))
    if isinstance(found, Unclear):
        raise DataError(
            f"column {column.name!r} was numeric in training, and {found.why}, first in {row_of(found.row)}"
        )
    if found is None:
        text = column.dropna().iloc[0]
        raise DataError(f"column {column.name!r} was numeric in training, and holds {text!r}; correct it")
    if found.unit not in ("", how.unit):
        trained = f"in {how.unit!r}" if how.unit else "without a unit"
        raise DataError(f"column {column.name!r} was {trained} in training, and is in {found.unit!r} now; convert it")
    return _finite(column, found.values)


def _typed(column: pd.Series) -> np.ndarray:
    try:
        values = pd.to_numeric(column).to_numpy(np.float64, na_value=np.nan)
    except (ValueError, TypeError) as error:
        raise DataError(f"column {column.name!r} was numeric in training: {error}; correct it") from None
    return _finite(column, values)


def _finite(column: pd.Series, values: np.ndarray) -> np.ndarray:
    if np.isinf(values).any():
        raise DataError(f"column {column.name!r} holds an infinite value; correct it or remove the row")
    return values
