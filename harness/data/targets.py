"""From a column of targets to class codes or values, and the rule that tells which."""

from __future__ import annotations

import reprlib

import numpy as np
import pandas as pd
from pandas.api.types import is_bool_dtype, is_float_dtype, is_numeric_dtype

from harness.data.columns import as_text
from harness.errors import DataError
from harness.spec.task import Kind

MOST_INTEGER_CLASSES = 20
"""A target with more distinct integers than this is read as values unless the task says otherwise."""


def encode_targets(column: pd.Series, kind: Kind, where: str) -> tuple[np.ndarray, tuple[str, ...], tuple[str, ...]]:
    """Return targets, class names (empty for regression) and notes for a target column without missing values.

    ``kind: auto`` reads text and booleans as classes, floats as values, and integers as classes when there are at most
    ``MOST_INTEGER_CLASSES`` distinct ones. Classes are sorted: numbers by value, text by code point.
    """
    if is_float_dtype(column.dtype) and not np.isfinite(column.to_numpy(np.float64)).all():
        raise DataError(f"{where} holds infinite values; correct or remove them")
    classes, notes = _decide(column, kind, where)
    if classes:
        return (*_encode_classes(column, where), notes)
    return _encode_values(column, where), (), notes


def _decide(column: pd.Series, kind: Kind, where: str) -> tuple[bool, tuple[str, ...]]:
    if kind != "auto":
        return kind == "classification", ()
    if is_bool_dtype(column.dtype) or not is_numeric_dtype(column.dtype):
        return True, ()
    distinct = column.nunique()
    if is_float_dtype(column.dtype):
        whole = distinct <= MOST_INTEGER_CLASSES and bool((column % 1 == 0).all())
        hint = f"{where} holds {distinct} distinct whole numbers as floats: read as values; "
        return False, (f"{hint}if they are classes, say `kind: classification`",) if whole else ()
    if distinct > MOST_INTEGER_CLASSES:
        hint = f"{where} holds {distinct} distinct integers: read as values; "
        return False, (f"{hint}if they are classes, say `kind: classification`",)
    return True, ()


def _encode_classes(column: pd.Series, where: str) -> tuple[np.ndarray, tuple[str, ...]]:
    if not is_numeric_dtype(column.dtype):
        column = pd.Series(as_text(column), dtype=object)
    codes, classes = pd.factorize(column, sort=True)
    if len(classes) < 2:
        raise DataError(f"{where} holds only one class, {reprlib.repr(as_text(column)[0])}; there is nothing to learn")
    return codes.astype(np.int64), tuple(str(name) for name in as_text(pd.Series(classes)))


def _encode_values(column: pd.Series, where: str) -> np.ndarray:
    if not is_numeric_dtype(column.dtype):
        numbers = pd.to_numeric(column, errors="coerce")
        bad = column[numbers.isna()]
        if len(bad):
            raise DataError(
                f"{where} holds {reprlib.repr(bad.iloc[0])}, which is not a number; correct it"
                " or say `kind: classification`"
            )
        column = numbers
    with np.errstate(over="ignore"):
        values = column.to_numpy(np.float64).astype(np.float32)
    if not np.isfinite(values).all():
        raise DataError(f"{where} holds values beyond the range of float32 (3e38); rescale them")
    if len(values) and (values == values[0]).all():
        raise DataError(f"{where} is {values[0]:g} in every row; there is nothing to learn")
    return values
