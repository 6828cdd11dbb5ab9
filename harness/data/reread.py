"""New values of a column, read as the training data's were: text as people write it, or typed.

Each value is read by itself, so that a row comes to the same whatever rows are beside it.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
from pandas.api.types import is_datetime64_any_dtype, is_timedelta64_dtype

from harness.data.columns import ColumnReading
from harness.data.dates import DateError, day_first, read_dates
from harness.data.numbers import Odd, read_known
from harness.data.texts import as_text, equal_numbers_alike, is_text, row_of, with_missing
from harness.errors import DataError


class Unlike(DataError):
    """A value that cannot be read like those of training; ``row`` is its position in the table, from 0."""

    def __init__(self, what: str, row: int, fix: str) -> None:
        super().__init__(f"{what}, in {row_of(row)}; {fix}")
        self.row = row
        self.what, self.fix = what, fix

    def at(self, place: Callable[[int], str]) -> DataError:
        """Return it with the place of the row as ``place`` names it."""
        return DataError(f"{self.what}, in {place(self.row)}; {self.fix}")


def reread(column: pd.Series, how: ColumnReading) -> np.ndarray:
    """Return float64 numbers, datetime64 or an object array of text; what was read in this way before stays as it is.

    Raises :class:`Unlike` for a value that cannot be read like the training data, and :class:`DataError`.
    """
    if not is_text(column):
        return _typed(with_missing(column, how.missing), how)
    if how.role == "numbers":
        found = read_known(with_missing(column, how.missing), how.decimal, how.unit)
        if isinstance(found, Odd):
            raise Unlike(f"column {column.name!r} was numeric in training, and {found.what}", found.row, found.fix)
        return found
    codes, different = pd.factorize(column)  # each text is looked at once
    texts = with_missing(pd.Series(different, name=column.name, dtype=object), how.missing)
    try:
        values = _categories(texts, how) if how.role == "categories" else _dates(texts, how)
    except Unlike as error:
        raise Unlike(error.what, int(np.argmax(codes == error.row)), error.fix) from None
    missing = np.array([None if how.role == "categories" else "NaT"], values.dtype)
    spread: np.ndarray = np.append(values, missing)[codes]
    return spread


def _typed(column: pd.Series, how: ColumnReading) -> np.ndarray:
    if how.role == "numbers":
        return _numbers(column)
    return _categories(column, how) if how.role == "categories" else _dates(column, how)


def _categories(column: pd.Series, how: ColumnReading) -> np.ndarray:
    return equal_numbers_alike(as_text(column)) if how.whole else as_text(column)


def _dates(column: pd.Series, how: ColumnReading) -> np.ndarray:
    try:
        if how.form is None and how.day_first is None and day_first(column) is not None:
            raise DateError("training had no dates in which the order of day and month shows; write 2024-12-31")
        return read_dates(column, how.form, how.day_first).to_numpy("datetime64[us]")
    except DateError as error:
        what = f"column {column.name!r} held dates in training"
        if error.row is None:
            raise DataError(f"{what}: {error}") from None
        said, _, fix = str(error).rpartition("; ")
        raise Unlike(f"{what}: {said}", error.row, fix) from None


def _numbers(column: pd.Series) -> np.ndarray:
    if is_datetime64_any_dtype(column.dtype) or is_timedelta64_dtype(column.dtype):
        raise DataError(f"column {column.name!r} was numeric in training, and holds {column.dtype}; give numbers")
    values = pd.to_numeric(column, errors="coerce").to_numpy(np.float64, na_value=np.nan)
    wrong = np.isinf(values) | (np.isnan(values) & column.notna().to_numpy())
    if wrong.any():
        row = int(np.argmax(wrong))
        value = column.iloc[row]
        if np.isinf(values[row]):
            raise Unlike(f"column {column.name!r} holds an infinite value", row, "correct it or remove the row")
        raise Unlike(f"column {column.name!r} was numeric in training, and holds {value!r}", row, "correct it")
    return values
