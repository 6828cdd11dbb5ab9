"""Further numbers of a column whose decimal mark and unit are known: each is read by itself, whatever is beside it."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from harness.data.numbers.column import INFINITE
from harness.data.numbers.marks import CONTRARY
from harness.data.numbers.numeral import normalise, take_apart

_EXACT = 2**53
"""Up to here float64 holds every whole number."""
_AN_INFINITE = ", an infinite value"


class Odd(NamedTuple):
    """The first value that is no such number."""

    row: int
    what: str
    """What the column holds, as ``holds 'dear'``."""
    fix: str


def read_known(texts: pd.Series, decimal: str, unit: str) -> np.ndarray | Odd:
    """Return float64 numbers, NaN where a text is missing; ``unit`` may stand at them or be left out.

    >>> read_known(pd.Series(["1,5", "2 kg", None]), ",", "kg")
    array([1.5, 2. , nan])
    """
    plain = _read_plain(texts, decimal)
    return _read_each(texts, decimal, unit) if plain is None else plain


def _read_plain(texts: pd.Series, decimal: str) -> np.ndarray | None:
    """Read at once what Arrow reads as :class:`float` does; None where any value needs a closer look."""
    try:
        column: Any = pa.array(texts, pa.string(), from_pandas=True)
        if decimal == ",":
            if pc.any(pc.match_substring(column, ".")).as_py():
                return None
            column = pc.replace_substring(column, ",", ".")
        values: np.ndarray = column.cast(pa.float64()).to_numpy(zero_copy_only=False)
    except (pa.ArrowInvalid, pa.ArrowTypeError):
        return None
    within = np.abs(values) < _EXACT  # neither NaN nor infinite, and no whole number that float64 would round
    return values if int(within.sum()) == len(column) - column.null_count else None


def _read_each(texts: pd.Series, decimal: str, unit: str) -> np.ndarray | Odd:
    codes, uniques = pd.factorize(texts)
    values = np.full(len(uniques) + 1, np.nan)  # the last one is what code -1 stands for
    odd: dict[int, tuple[str, str]] = {}
    for number, text in enumerate(uniques):
        value = _read_one(str(text), decimal, unit)
        if isinstance(value, tuple):
            odd[number] = value
        else:
            values[number] = value
    if odd:
        row = int(np.argmax(np.isin(codes, list(odd))))
        return Odd(row, *odd[int(codes[row])])
    spread: np.ndarray = values[codes]
    return spread


def _read_one(text: str, decimal: str, unit: str) -> float | tuple[str, str]:
    """Return a number, or what is odd about the text and what to do."""
    numeral = take_apart(text)
    if numeral is None:
        infinite = normalise(text).casefold().removeprefix("-").removeprefix("+") in INFINITE
        return f"holds {text!r}{_AN_INFINITE if infinite else ''}", "correct it"
    if numeral.kind == CONTRARY[decimal]:
        return f"holds {text!r}, which does not fit its decimal mark {decimal!r}", "write it as in training"
    found = numeral.currency + numeral.unit
    if found not in ("", unit):
        return f"holds {text!r}, in {found!r} and not {f'in {unit!r}' if unit else 'without a unit'}", "convert it"
    digits = numeral.plain(decimal)
    if numeral.is_whole(decimal) and len(digits) > 15 and int(digits) != int(float(digits)):
        return f"holds {text!r}, beyond 2^53, up to which whole numbers can be told apart", "correct it"
    value = float(digits)
    return value if math.isfinite(value) else (f"holds {text!r}{_AN_INFINITE}", "correct it")
