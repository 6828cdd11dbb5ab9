"""One number as people write it: sign, currency, digits with their marks, unit."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Literal, NamedTuple, get_args

from harness.data.numbers.units import CODES, CURRENCY

Kind = Literal["whole", "grouped", "dot", "comma", "either_dot", "either_comma"]
_KINDS: dict[str, Kind] = {kind: kind for kind in get_args(Kind)}


class Numeral(NamedTuple):
    """The parts of a written number. ``kind`` is what its marks say about decimals.

    ``whole``: no marks; ``grouped``: groups of three digits between blanks or apostrophes; ``dot`` and ``comma``: this
    is the decimal mark of whoever wrote it (``1.5`` and ``1,234,567``; ``1,5`` and ``1.234.567``); ``either_dot`` and
    ``either_comma``: it may mark thousands just as well (``1.234``).
    """

    digits: str
    kind: Kind
    negative: bool = False
    accounting: bool = False
    currency: str = ""
    unit: str = ""

    def thousands(self, decimal: str) -> str:
        """Return the mark between groups of digits, or "", given the decimal mark."""
        return next((mark for mark in " '.," if mark != decimal and mark in self.digits), "")

    def plain(self, decimal: str) -> str:
        """Return the digits as ``float`` reads them, given the decimal mark."""
        digits = self.digits
        for mark in " '.,":
            if mark != decimal:
                digits = digits.replace(mark, "")
        return ("-" if self.negative else "") + digits.replace(",", ".")

    def is_whole(self, decimal: str) -> bool:
        """Return whether there is neither a decimal mark nor an exponent, given the decimal mark."""
        return self.plain(decimal).removeprefix("-").isdigit()


_EXPONENT = "(?:[eE][+-]?[0-9]+)?"


def _groups(mark: str, least: int = 1) -> str:
    return rf"[1-9][0-9]{{0,2}}(?:{mark}[0-9]{{3}}){{{least},}}"


_GROUPED = rf"(?:{_groups(' ')}|{_groups(chr(39))})"
_INDIAN = r"[1-9][0-9]?(?:,[0-9]{2})+,[0-9]{3}"
_CORE = "|".join(
    (
        rf"(?P<whole>[0-9]+{_EXPONENT})",
        rf"(?P<grouped>{_GROUPED})",
        r"(?P<either_dot>[1-9][0-9]{0,2}\.[0-9]{3})",
        r"(?P<either_comma>[1-9][0-9]{0,2},[0-9]{3})",
        rf"(?P<dot>(?:[0-9]+|{_GROUPED}|{_groups(',')}|{_INDIAN})\.[0-9]*{_EXPONENT}|\.[0-9]+{_EXPONENT}"
        rf"|{_groups(',', 2)}|{_INDIAN})",
        rf"(?P<comma>(?:[0-9]+|{_GROUPED}|{_groups('[.]')}),[0-9]+{_EXPONENT}|,[0-9]+{_EXPONENT}|{_groups('[.]', 2)})",
    )
)
_BARE = re.compile(rf"(?:-|\+)?(?:{_CORE})")
_MARKED = re.compile(_CORE)

_LETTER = r"[^\W\d_\u00b2\u00b3\u00b9\u00bc-\u00be\u2070-\u209c\u2150-\u218b\u2460-\u24ff\u3200-\u32ff]"
_UNIT = rf"(?:{_LETTER}|[%‰°\"″]|/(?={_LETTER}))(?:{_LETTER}|[ /°·^²³.%‰]|(?<={_LETTER})[23](?![0-9]))*"
_DRESSED = re.compile(
    rf"([^0-9.,]{{0,12}}(?:(?<=Rs|Fr|kr|Kr)[.] *)?)([0-9.,](?:[0-9.,' ]*[0-9.])?{_EXPONENT})([^0-9].{{0,40}})?"
)
_BEFORE = re.compile(rf"(\()?\ *([+-])?\ *({CURRENCY})?\ *(\()?([+-])?\ *")
_AFTER = re.compile(rf"(\))?\ *(?:({CURRENCY})\.?)?\ *({_UNIT})?\ *(\))?(-)?")
_LONGEST = 64
"""Longer texts are prose."""
_NO_UNITS = frozenset({"st", "nd", "rd", "th", "am", "pm", "a.m.", "p.m."})
"""Ordinals and clock times; neither is ``0xff`` a zero of some unit."""

_TRANSLATION = str.maketrans(
    {
        **dict.fromkeys("\u00a0\u2007\u2009\u202f", " "),
        **dict.fromkeys("\u2019\u2018\u02bc", "'"),
        **dict.fromkeys("\u2212\u2013", "-"),
    }
)
_CENSORED = re.compile(r"(?:[<>≤≥~≈±]|[<>]=)\s*[+-]?[0-9]")


def normalise(text: str) -> str:
    """Return ``text`` with one form each for minus signs, apostrophes and blanks, and none around it.

    >>> normalise(" \u22125\u00a0000 ")
    '-5 000'
    """
    return (text if text.isascii() else text.translate(_TRANSLATION)).strip()


def take_apart(text: str) -> Numeral | None:
    """Return the parts of a number, or None for a text that is none.

    >>> take_apart("($1,234.50)")
    Numeral(digits='1,234.50', kind='dot', negative=True, accounting=True, currency='$', unit='')
    >>> take_apart("1.2.3") is None
    True
    """
    text = normalise(text)
    if len(text) > _LONGEST:
        return None
    bare = _BARE.fullmatch(text)
    if bare:
        return Numeral(text.lstrip("+-"), _kind(bare), negative=text[0] == "-")
    dressed = _DRESSED.fullmatch(text)
    return _dressed(dressed[1], dressed[2], dressed[3] or "") if dressed else None


def _dressed(before: str, digits: str, after: str) -> Numeral | None:
    """Return the parts of a number with more around it than a sign in front."""
    marked, front, back = _MARKED.fullmatch(digits), _read_before(before), _read_after(after)
    if not marked or not front or not back or (digits == "0" and back.unit[:1] in ("x", "X")):
        return None
    single = front.brackets == back.brackets and front.brackets + len(front.signs + back.signs) <= 1
    if not single or (front.currency and back.currency):
        return None
    return Numeral(
        digits=digits,
        kind=_kind(marked),
        negative=bool(front.brackets) or front.signs + back.signs == "-",
        accounting=bool(front.brackets),
        currency=front.currency or back.currency,
        unit=back.unit,
    )


class _Around(NamedTuple):
    """What stands before or after the digits."""

    brackets: int
    signs: str
    currency: str
    unit: str = ""


@lru_cache(maxsize=4096)
def _read_before(text: str) -> _Around | None:
    match = _BEFORE.fullmatch(text.replace(".", ""))  # Rs.500
    if match is None:
        return None
    outer, sign, currency, inner, second = (part or "" for part in match.groups())
    return _Around(len(outer + inner), sign + second, _one_form(currency))


@lru_cache(maxsize=4096)
def _read_after(text: str) -> _Around | None:
    match = _AFTER.fullmatch(text)
    if match is None:
        return None
    inner, currency, unit, outer, sign = (part or "" for part in match.groups())
    unit = unit.strip()
    if unit.casefold() in _NO_UNITS:
        return None
    return _Around(len(inner + outer), sign, _one_form(currency), unit)


def _one_form(currency: str) -> str:
    return currency.upper() if currency.casefold() in CODES else currency


def _kind(match: re.Match[str]) -> Kind:
    return _KINDS[match.lastgroup or ""]


def is_censored(text: str) -> bool:
    """Return whether ``text`` gives a bound or an estimate instead of a number, such as ``<5``."""
    return _CENSORED.match(text.strip()) is not None
