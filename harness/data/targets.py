"""From a column of targets to class codes or values, and the rule that tells which."""

from __future__ import annotations

import reprlib
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from pandas.api.types import infer_dtype, is_bool_dtype, is_float_dtype, is_integer_dtype, is_numeric_dtype

from harness.data.columns import Reading, categories_of, refuse_inexact
from harness.data.dates import looks_like_dates
from harness.data.numbers import Numbers, Unclear, read_numbers
from harness.data.texts import as_text, is_text, label_remarks
from harness.errors import DataError
from harness.problems import problems

MOST_INTEGER_CLASSES = 20
"""A target with more distinct integers than this is read as values unless the task says otherwise."""
_SHOWN = 10
_TIMES = {"datetime64", "datetime", "date", "timedelta64", "timedelta", "time", "period"}

_FLAGS = {"1": 1.0, "0": 0.0, "true": 1.0, "false": 0.0, "yes": 1.0, "no": 0.0, "t": 1.0, "f": 0.0, "y": 1.0, "n": 0.0}
"""What says whether a label is true of a row, in any case of letters."""


class Encoded(NamedTuple):
    """Targets as :class:`~harness.data.sources.source.Source` has them."""

    targets: np.ndarray
    class_names: tuple[str, ...] = ()
    """Empty of numbers."""
    notes: tuple[str, ...] = ()


def encode_targets(column: pd.Series, kind: str, where: str, reading: Reading, order: Sequence[str] = ()) -> Encoded:
    """Return targets, class names (empty of numbers) and notes for a target column without missing values.

    ``kind`` is the name of the problem, which is of classes or of numbers.

    ``kind: auto`` reads text and booleans as classes, floats and decimals as values, and integers as classes when there
    are at most ``MOST_INTEGER_CLASSES`` distinct ones; text that is all numbers counts as numbers, but for codes with
    leading zeros. Classes are sorted: numbers by value, text by code point; or they are in the ``order`` that is given.
    """
    _refuse_times(column, where)
    classes = _of_classes(kind)
    numbers, how = _as_numbers(column, classes, where, reading)
    if classes or (classes is None and _are_classes(numbers)):
        codes, names = _encode_classes(column, numbers, where)
        if kind != "auto" and problems[kind].ordered:
            codes, names = _in_order(codes, names, order, numbers is not None, where)
        return Encoded(codes, names, tuple(_class_notes(column, numbers, names, classes, where)))
    if numbers is None:
        bad = reprlib.repr(as_text(column)[0])
        raise DataError(f"{where} holds {bad}, which is not a number; correct it or say `kind: classification`")
    values = _encode_values(numbers, where, reading)
    return Encoded(values, notes=(f"{where} is read as values{how}{_value_hint(numbers, classes)}",))


def encode_several(values_NV: np.ndarray, kind: str, where: str, reading: Reading) -> Encoded:
    """Return several numbers to predict of each sample as float64 (N, V)."""
    if _of_classes(kind):
        raise DataError(f"{where} holds {values_NV.shape[1]} numbers per sample, which are no classes; give one each")
    columns = [pd.Series(values_N, name=str(place)) for place, values_N in enumerate(values_NV.T)]
    return _side_by_side(columns, kind, where, reading)


def encode_columns(
    columns: Sequence[pd.Series], kind: str, where: str, reading: Reading, order: Sequence[str] = ()
) -> Encoded:
    """Return the targets of one column, or of several the values or labels as float64 (N, V)."""
    flags = kind != "auto" and problems[kind].flags
    if len(columns) == 1 and flags:
        raise DataError(f"{where} is one column, and `kind: {kind}` takes several; name them all, or leave out `kind`")
    if len(columns) == 1:
        return encode_targets(columns[0], kind, where, reading, order)
    if _of_classes(kind):
        raise DataError(f"{where} are {len(columns)} columns, of which one can be classes; say `kind: multilabel`")
    if flags:
        return _side_by_side(columns, kind, where, reading)
    numbers = [encode_targets(column, "regression", f"{where}: {column.name!r}", reading) for column in columns]
    notes = f"{where} are read as {len(columns)} values"
    return Encoded(np.column_stack([each.targets for each in numbers]), notes=(notes,))


def _side_by_side(columns: Sequence[pd.Series], kind: str, where: str, reading: Reading) -> Encoded:
    if kind != "auto" and problems[kind].flags:
        labels = np.column_stack([_encode_flags(column, where) for column in columns])
        return Encoded(labels, notes=(f"{where}: {len(columns)} labels, {labels.mean():.3g} of them true",))
    numbers = [_encode_values(column, f"{where}[:, {column.name}]", reading) for column in columns]
    return Encoded(np.column_stack(numbers), notes=(f"{where} is read as {len(columns)} values per sample",))


def _encode_flags(column: pd.Series, where: str) -> np.ndarray:
    """Return 0 and 1 as float64."""
    codes, different = pd.factorize(column)
    texts = [str(text).strip().lower() for text in as_text(pd.Series(different))]
    if odd := [text for text in texts if text not in _FLAGS]:
        raise DataError(
            f"{where}: label {column.name!r} holds {odd[0]!r}; a label is 0 or 1, true or false, yes or no in each row"
        )
    flags: np.ndarray = np.array([_FLAGS[text] for text in texts])[codes]
    if (flags == flags[0]).all():
        raise DataError(f"{where}: label {column.name!r} is {flags[0]:g} in every row; leave it out")
    return flags


def _of_classes(kind: str) -> bool | None:
    """Tell whether a problem's targets are classes; None: that is for the targets to say."""
    return None if kind == "auto" else problems[kind].classes


def _refuse_times(column: pd.Series, where: str) -> None:
    times = looks_like_dates(column) if is_text(column) else ""
    if not times and infer_dtype(column, skipna=True) in _TIMES:
        times = "dates, times or durations"
    if times:
        raise DataError(f"{where} holds {times}, which cannot be predicted; turn them into numbers, such as days")


def _as_numbers(column: pd.Series, classes: bool | None, where: str, reading: Reading) -> tuple[pd.Series | None, str]:
    """Return the column as numbers with how they were read, or None where it holds classes."""
    dtype = infer_dtype(column)
    if is_text(column):
        return _text_as_numbers(column, classes, where, reading)
    if is_bool_dtype(column.dtype) or dtype in ("categorical", "boolean"):
        return (column.astype(np.float64) if classes is False and dtype == "boolean" else None), ""
    if dtype == "decimal":
        whole = all(value.as_tuple().exponent == 0 for value in column)
        return pd.Series([int(value) if whole else float(value) for value in column], index=column.index), ""
    return column, ""


def _text_as_numbers(
    column: pd.Series, classes: bool | None, where: str, reading: Reading
) -> tuple[pd.Series | None, str]:
    found = read_numbers(column, reading.style, reading.hints)
    if isinstance(found, Unclear) and not classes:
        if classes is None and column.nunique() <= MOST_INTEGER_CLASSES:
            return None, ""
        raise DataError(f"{where} {reading.unclear(found, column)}; or say `kind: classification`")
    if not isinstance(found, Numbers) or (found.remark and classes):
        return None, ""
    if found.integers and not found.remark:
        return pd.Series([int(text) for text in column], index=column.index), ""
    return pd.Series(found.values, index=column.index), f": {found.remark}" if found.remark else ""


def _are_classes(numbers: pd.Series | None) -> bool:
    return numbers is None or (is_integer_dtype(numbers.dtype) and numbers.nunique() <= MOST_INTEGER_CLASSES)


def _value_hint(numbers: pd.Series, classes: bool | None) -> str:
    """Return what to say when the values may be meant as classes."""
    if classes is not None or not bool((numbers % 1 == 0).all()):
        return ""
    distinct = numbers.nunique()
    if is_float_dtype(numbers.dtype) and distinct > MOST_INTEGER_CLASSES:
        return ""
    what = "whole numbers as floats" if is_float_dtype(numbers.dtype) else "integers"
    return f", since it holds {distinct} distinct {what}; if they are classes, say `kind: classification`"


def _class_notes(
    column: pd.Series, numbers: pd.Series | None, names: tuple[str, ...], classes: bool | None, where: str
) -> Iterable[str]:
    shown = ", ".join(map(reprlib.repr, names[:_SHOWN])) + (", ..." if len(names) > _SHOWN else "")
    counts = classes is None and numbers is not None and len(names) > 2
    hint = (
        "; if they are counts or amounts, say `kind: regression`, if they are grades, `kind: ordinal`" if counts else ""
    )
    yield f"{where} is read as {len(names)} classes: {shown}{hint}"
    if is_text(column):
        for remark in label_remarks(column, "classes"):
            yield f"{where} {remark}"
        if numbers is not None and column.nunique() > len(names):
            yield f"{where} has equal numbers that are written differently: each is one class"


def _encode_classes(column: pd.Series, numbers: pd.Series | None, where: str) -> tuple[np.ndarray, tuple[str, ...]]:
    if numbers is not None and is_numeric_dtype(numbers.dtype):
        labels = numbers
    else:
        labels = pd.Series(categories_of(column), dtype=object)
    codes, classes = pd.factorize(labels, sort=True)
    if len(classes) < 2:
        raise DataError(f"{where} holds only one class, {reprlib.repr(as_text(column)[0])}; there is nothing to learn")
    return codes.astype(np.int64), tuple(str(name) for name in as_text(pd.Series(classes)))


def _in_order(
    codes: np.ndarray, names: tuple[str, ...], order: Sequence[str], numbers: bool, where: str
) -> tuple[np.ndarray, tuple[str, ...]]:
    """Return codes in the order of the classes, which is that of numbers where no other is given."""
    if len(names) < 3:
        raise DataError(f"{where} holds {len(names)} classes, and `kind: ordinal` takes three or more; leave it out")
    if not order and not numbers:
        shown = ", ".join(names[:_SHOWN])
        raise DataError(
            f"{where} holds text, whose order is not known: list the classes from low to high under"
            f" `classes:`, in another order than [{shown}] where that is not it"
        )
    if not order:
        return codes, names
    if odd := sorted(set(names) ^ set(order)):
        what = "is not under `classes`" if odd[0] in names else "is under `classes`, and in no row"
        raise DataError(f"{where}: {odd[0]!r} {what}; list each class once, from low to high")
    place = np.array([list(order).index(name) for name in names])
    return place[codes].astype(np.int64), tuple(order)


def _encode_values(numbers: pd.Series, where: str, reading: Reading) -> np.ndarray:
    """Return the values as float64: what is trained on is centred and scaled in it before it becomes float32."""
    refuse_inexact(numbers, where, reading, fix="subtract an offset")
    values = numbers.to_numpy(np.float64)
    if not np.isfinite(values).all():
        raise DataError(f"{where} holds infinite values; correct or remove them")
    if len(values) and (values == values[0]).all():
        raise DataError(f"{where} is {values[0]:g} in every row; there is nothing to learn")
    with np.errstate(over="ignore"):
        spread = np.ptp(values)
    if not np.isfinite(spread) or spread > np.finfo(np.float32).max:
        raise DataError(f"{where} holds values that lie further apart than float32 can tell (3e38); rescale them")
    return values
