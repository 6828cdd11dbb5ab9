"""Which mark stands before the decimals of a column, and which between its thousands."""

from __future__ import annotations

import re
from dataclasses import dataclass

import pandas as pd

from harness.data.numbers.column import Column, Unclear
from harness.data.numbers.numeral import Kind

Hints = frozenset[str]
"""The decimal marks, "." or ",", that columns of the file prove: the union of :func:`decimal_evidence` over them."""

INSTEAD = "put it under `categorical` or `drop`"
_OTHER = {".": ",", ",": "."}
_PROOF: dict[str, Kind] = {".": "dot", ",": "comma"}
CONTRARY: dict[str, Kind] = {mark: _PROOF[other] for mark, other in _OTHER.items()}
"""The kind of a number that is written with the other decimal mark."""
_EITHER: dict[str, Kind] = {".": "either_dot", ",": "either_comma"}
_EXPONENT = "(?:[eE][+-]?[0-9]+)?"
_PLAIN = {
    ".": re.compile(rf"(?:[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+){_EXPONENT}\n)++"),
    ",": re.compile(rf"(?:[+-]?(?:[0-9]+(?:,[0-9]+)?|,[0-9]+){_EXPONENT}\n)++"),
}
_PROVEN = {
    ".": re.compile(r"^(?![+-]?[1-9][0-9]{0,2}\.[0-9]{3}$)[^.\n]*\.", re.MULTILINE),
    ",": re.compile(r"^(?![+-]?[1-9][0-9]{0,2},[0-9]{3}$)[^,\n]*,", re.MULTILINE),
}


@dataclass(frozen=True, slots=True)
class Style:
    """What the user says about the marks in numbers; "" leaves it to the values.

    ``decimal`` is "." or ","; ``thousands`` is ".", ",", " " for any blank or "'" for any apostrophe.
    """

    decimal: str = ""
    thousands: str = ""

    @property
    def given(self) -> str:
        """The decimal mark that this says or implies, or ""."""
        return self.decimal or _OTHER.get(self.thousands, "")


def decimal_evidence(texts: pd.Series) -> Hints:
    """Return the decimal mark that a column of numbers proves, as a set of one, or of none.

    >>> decimal_evidence(pd.Series(["1,5", "2"])) | decimal_evidence(pd.Series(["1.234", "2.345"]))
    frozenset({','})
    """
    column = Column(texts)
    plain = plain_mark(column)
    if plain is not None:
        return Hints(plain)
    if any(pattern.fullmatch(column.lines) for pattern in _PLAIN.values()) or not column.is_mostly_numbers:
        return Hints()
    kinds = {numeral.kind for numeral in column.numerals.values()}
    proven = [mark for mark, kind in _PROOF.items() if kind in kinds]
    return Hints(proven if len(proven) == 1 else ())


def plain_mark(column: Column) -> str | None:
    """Return the decimal mark of a column of plain numbers: "" for whole numbers, None for any other column.

    At a glance: a column of which some marks may be decimal and others not, or that is open, is any other.
    """
    for mark, plain in _PLAIN.items():
        if plain.fullmatch(column.lines):
            if mark not in column.lines:
                return ""
            if _PROVEN[mark].search(column.lines):
                return mark
    return None


def decimal_mark(column: Column, style: Style, hints: Hints) -> str | Unclear:
    """Return the decimal mark: as the user says, else as the values prove, else as other columns have it."""
    if style.given:
        return _fitting(column, style)
    seen = {kind: index for index, numeral in reversed(column.numerals.items()) for kind in (numeral.kind,)}
    for dot, comma in (("dot", "comma"), ("either_dot", "either_comma")):
        if (dot in seen and comma in seen) and not (dot == "either_dot" and ("dot" in seen or "comma" in seen)):
            return column.unclear("holds {}, of which one has a decimal comma", [seen[dot], seen[comma]], _correct())
    for mark in _OTHER:
        if _PROOF[mark] in seen:
            return mark
    for mark in _OTHER:
        if _EITHER[mark] in seen:
            blanks = "grouped" in seen or style.thousands != ""
            return mark if blanks else _settled(column, mark, seen[_EITHER[mark]], hints)
    return usual_mark(style, hints)


def usual_mark(style: Style, hints: Hints) -> str:
    """Return the decimal mark of numbers that show none: as the user says, else as other columns have it."""
    return style.given or (next(iter(hints)) if len(hints) == 1 else ".")


def mixed_thousands(column: Column, decimal: str, style: Style) -> Unclear | None:
    """Say which numbers differ in the mark between their thousands, from each other or from what the user says."""
    first: dict[str, int] = {}
    for index, numeral in column.numerals.items():
        first.setdefault(numeral.thousands(decimal), index)
    first.pop("", None)
    wrong = [index for mark, index in first.items() if style.thousands and mark != style.thousands]
    if wrong:
        return column.unclear(f'holds {{}}, which does not fit `thousands: "{style.thousands}"`', wrong[:1], _correct())
    if len(first) > 1:
        return column.unclear("holds {}, with different marks between thousands", [*first.values()][:2], _correct())
    return None


def _fitting(column: Column, style: Style) -> str | Unclear:
    contrary = CONTRARY[style.given]
    wrong = column.first(lambda numeral: numeral.kind == contrary)
    if wrong is None:
        return style.given
    key = f'decimal: "{style.decimal}"' if style.decimal else f'thousands: "{style.thousands}"'
    return column.unclear(f"holds {{}}, which does not fit `{key}`", [wrong], _correct())


def _settled(column: Column, mark: str, example: int, hints: Hints) -> str | Unclear:
    """Return the decimal mark of a column whose only marks, all like ``mark``, stand before three digits each."""
    if len(hints) == 1:
        return next(iter(hints))
    if mark == "." and (hints or not _look_rounded(column)):
        return mark
    if mark == "," and not hints and _short_wholes(column):
        return "."
    what = {".": "point", ",": "comma"}[mark]
    fix = f'say `decimal: "{mark}"` or `thousands: "{mark}"`'
    return column.unclear(f"holds {{}}, whose {what} may mark decimals or thousands", [example], fix)


def _short_wholes(column: Column) -> bool:
    """Return whether some numbers have no mark, and need none between thousands: 950 beside 1,200."""
    wholes = [numeral.digits for numeral in column.numerals.values() if numeral.kind == "whole"]
    return bool(wholes) and all(len(digits) <= 3 for digits in wholes)


def _look_rounded(column: Column) -> bool:
    """Return whether points may mark thousands: 950 beside 1.200, which as decimals would be 950.000 or 1.2."""
    zeros = column.first(lambda numeral: numeral.kind == "either_dot" and numeral.digits.endswith("0"))
    return zeros is not None and _short_wholes(column)


def _correct() -> str:
    return f"write all values alike, or {INSTEAD}"
