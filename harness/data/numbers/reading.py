"""From a column of text to numbers, or to what is unclear about them."""

from __future__ import annotations

import json
import re
import reprlib
from dataclasses import dataclass

import numpy as np
import pandas as pd

from harness.data.numbers.column import FEW, Column, Unclear
from harness.data.numbers.marks import INSTEAD, Hints, Style, decimal_mark, mixed_thousands, plain_mark
from harness.data.numbers.numeral import is_censored, normalise

_EXACT = 2**53
"""Beyond this, float64 does not hold every whole number."""
_CODE = re.compile(r"^[ \t\u00a0]*0[0-9]+[ \t\u00a0]*$", re.MULTILINE)
_NAMES = {" ": "blanks", "'": "apostrophes", ".": "'.'", ",": "','"}
_RATES = {"%": "percent signs", "‰": "per mille signs"}
_MISSING = frozenset(
    (
        *("", "?", "-", "--", "---", "\u2014", ".", "..", "...", "na", "n/a", "n.a.", "#n/a", "#na", "<na>", "none"),
        *("null", "(null)", "#null!", "nil", "nan", "-nan", "missing", "unknown", "\\n", "#value!", "#div/0!", "#ref!"),
        *("not available", "not applicable", "no data"),
    )
)
"""What often stands for a missing value, in lower case."""


@dataclass(frozen=True, slots=True, eq=False)
class Numbers:
    """A column of numbers: float64, NaN where missing, infinite where it says so.

    ``integers``: every value was written without a decimal mark or exponent. ``remark``: what was done besides reading
    plain numbers, such as ``thousands separated by '.', decimal commas``, or "". ``decimal``: the decimal mark, or ""
    where none showed. ``unit``: the currency or unit that stood at them.
    """

    values: np.ndarray
    integers: bool
    remark: str = ""
    decimal: str = ""
    unit: str = ""


def looks_missing(texts: pd.Series) -> dict[str, int]:
    """Return the words for missing values among the texts, such as ``?`` and ``N/A``, with how often each occurs.

    >>> looks_missing(pd.Series(["1", "?", "?", None]))
    {'?': 2}
    """
    column = Column(texts)
    counts = zip(column.texts, column.counts.tolist(), strict=True)
    return {text: count for text, count in counts if _stands_for_missing(text)}


def read_numbers(texts: pd.Series, style: Style | None = None, hints: Hints = frozenset()) -> Numbers | Unclear | None:
    """Read a column of text; None when it holds no numbers but categories.

    No word is a missing value: that is for the caller to settle before (:func:`looks_missing`). The cost is that of the
    different texts: about 0.1 s for 100,000 plain numbers, and 2 s for as many with currencies, units or thousands.

    >>> read_numbers(pd.Series(["1.234,50 €", "2 €"])).remark
    "thousands separated by '.', decimal commas, the currency sign € left out"
    """
    column, style = Column(texts), style or Style()
    if not column.texts or _CODE.search(column.lines):
        return None
    plain = _read_plain(column, style)
    if plain is not None or not column.is_mostly_numbers:
        return plain
    problem = _odd(column) or _mixed_units(column)
    if problem is not None:
        return problem
    decimal = decimal_mark(column, style, hints)
    if isinstance(decimal, Unclear):
        return decimal
    return mixed_thousands(column, decimal, style) or _inexact(column, decimal) or _convert(column, decimal)


def _read_plain(column: Column, style: Style) -> Numbers | None:
    """Read at once what needs no closer look, of which the user has not said anything else."""
    mark = plain_mark(column)
    if mark is None or (mark and (style.given not in ("", mark) or style.thousands == mark)):
        return None
    values = np.array([float(line) for line in column.lines.replace(",", ".").splitlines()])
    if (np.abs(values) >= _EXACT).any():
        return None
    integers = not mark and "e" not in column.lines.lower()
    return Numbers(column.spread(values), integers, "decimal commas" if mark == "," else "", mark)


def _odd(column: Column) -> Unclear | None:
    """Say which texts among the numbers are none."""
    if not column.odd:
        return None
    odd = sorted(column.odd, key=lambda index: -int(column.counts[index]))
    shown = [column.texts[index] for index in odd[:FEW]]
    others = f" and {len(odd) - FEW} more" if len(odd) > FEW else ""
    count = int(column.counts[odd].sum())
    texts = [column.texts[index] for index in odd]
    if all(map(_stands_for_missing, texts)):
        words = json.dumps(texts, ensure_ascii=False)
        fix = f"if {'it stands' if len(odd) == 1 else 'they stand'} for a missing value, say `missing: {words}`"
    else:
        single = len(odd) == 1 and not is_censored(texts[0])
        fix = f"{'correct it' if single else 'write numbers instead'}, or put the column under `categorical` or `drop`"
    listed = ", ".join(map(reprlib.repr, shown)) + others
    return column.unclear(f"holds numbers but for {listed} ({count} time{'s' * (count > 1)})", [min(odd)], fix)


def _mixed_units(column: Column) -> Unclear | None:
    """Say which numbers are in different currencies or units, or some in a unit and some in none."""
    currencies: dict[str, int] = {}
    units: dict[str, int] = {}
    for index, numeral in column.numerals.items():
        if numeral.currency:
            currencies.setdefault(numeral.currency, index)
        units.setdefault(numeral.unit, index)
    for what, first in (("currency", currencies), ("unit", units)):
        if len(first) > 1:
            why = f"holds {{}}, which are not in one {what}"
            return column.unclear(why, [*first.values()][:2], f"convert all values to one {what}, or {INSTEAD}")
    return None


def _inexact(column: Column, decimal: str) -> Unclear | None:
    """Say which whole number is none that float64 can hold."""
    for index, numeral in column.numerals.items():
        digits = numeral.plain(decimal)
        if len(digits) > 15 and numeral.is_whole(decimal) and int(digits) != int(float(digits)):
            why = "holds whole numbers beyond 2^53 such as {}, which cannot be told apart as numbers"
            return column.unclear(why, [index], INSTEAD)
    return None


def _convert(column: Column, decimal: str) -> Numbers:
    values = np.full(len(column.texts), np.nan)
    for index, numeral in column.numerals.items():
        values[index] = float(numeral.plain(decimal))
    for index, value in column.infinite.items():
        values[index] = value
    whole = not column.infinite and all(numeral.is_whole(decimal) for numeral in column.numerals.values())
    currency = next((numeral.currency for numeral in column.numerals.values() if numeral.currency), "")
    unit = next((numeral.unit for numeral in column.numerals.values()), "")
    return Numbers(column.spread(values), whole, _told(column, decimal, currency, unit), decimal, currency + unit)


def _told(column: Column, decimal: str, currency: str, unit: str) -> str:
    numerals = column.numerals.values()
    thousands = next(filter(None, (numeral.thousands(decimal) for numeral in numerals)), "")
    told = {
        f"thousands separated by {_NAMES.get(thousands)}": thousands,
        "decimal commas": decimal == "," and any("," in numeral.digits for numeral in numerals),
        f"the currency sign {currency} left out": currency,
        f"{_RATES.get(unit, f'the unit {unit!r}')} left out": unit,
        "accounting negatives": any(numeral.accounting for numeral in numerals),
    }
    return ", ".join(phrase for phrase, happened in told.items() if happened)


def _stands_for_missing(text: str) -> bool:
    return len(text) < 20 and normalise(text).casefold() in _MISSING
