"""Dates and times written as people write them: what a column holds, its dates, and the calendar numbers of a date.

Shapes are found by pattern and bounded (months up to 12, days up to 31), so that versions and telephone numbers seldom
look like dates. What the order of day and month is must show in the column, or be said.
"""

from __future__ import annotations

import re
import reprlib
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import datetime
from typing import Any

import numpy as np
import pandas as pd
from dateutil.parser import parse, parserinfo
from pandas.api.types import is_datetime64_any_dtype, is_integer_dtype

_YEAR = r"(?:1[5-9]|2[0-2])\d\d"
_MONTH = r"(?:0?[1-9]|1[0-2])"
_DAY = r"(?:0?[1-9]|[12]\d|3[01])"
_WORD = r"[^\W\d_]{3,10}\.?"
_NAME = r"(?i:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]*\.?"
_CLOCK = r"(?:[01]?\d|2[0-4]):[0-5]\d(?::[0-5]\d(?:[.,]\d+)?)?(?:\s?[AaPp]\.?[Mm]\.?)?"
_ZONE = r"(?:\s?(?:Z|UTC|GMT|[+-]\d\d:?(?:\d\d)?))?"
_TIME = rf"(?:[T\s,]\s?{_CLOCK}{_ZONE})?"
_PLAIN = re.compile(
    rf"{_YEAR}-(?:0[1-9]|1[0-2])-(?:0[1-9]|[12]\d|3[01])(?:[T ](?:[01]\d|2[0-3]):[0-5]\d(?::[0-5]\d)?)?"
)
_NONE = np.datetime64("NaT", "us")
_MIDNIGHT = datetime(2000, 1, 1)
"""What a clock time alone, or a month without a day, is filled up with."""

_SHAPES: Mapping[str, re.Pattern[str]] = {
    name: re.compile(pattern)
    for name, pattern in {
        "ISO dates": rf"{_YEAR}([-/.]){_MONTH}\1{_DAY}{_TIME}",
        "dates": rf"\d{{1,2}}([-/.])\d{{1,2}}\1(?:{_YEAR}|\d\d){_TIME}",
        "dates with the month in words": (
            rf"(?:{_WORD},?\s)?(?:{_DAY}(?:st|nd|rd|th)?\.?[\s-]{_WORD},?[\s-](?:{_YEAR}|\d\d)"
            rf"|{_WORD}\s{_DAY}(?:st|nd|rd|th)?,?\s{_YEAR}|{_NAME}[\s-]{_YEAR}){_TIME}"
        ),
        "ISO weeks": rf"{_YEAR}-?W[0-5]\d(?:-?[1-7])?",
        "months": rf"{_YEAR}[-/.]{_MONTH}|{_MONTH}[/.]{_YEAR}",
        "quarters": rf"{_YEAR}[-\s/]?Q[1-4]|Q[1-4][-\s/]?{_YEAR}",
        "clock times": _CLOCK,
        "durations": (
            r"-?\d+ days?(?: \+?\d\d:\d\d:\d\d(?:\.\d+)?)?|-?P(?=.)(?:\d+[YMWD])*(?:T(?:\d+(?:\.\d+)?[HMS])+)?"
        ),
    }.items()
}
_MOSTLY = 0.5
_LEAST = 3
"""Different whole numbers that must all be dates before they are taken for some."""
_DAYS = 366
_CYCLES: Mapping[str, tuple[Callable[[pd.Series], pd.Series], float]] = {
    "month": (lambda dates: dates.dt.month - 1, 12),
    "day": (lambda dates: dates.dt.day - 1, 31),
    "weekday": (lambda dates: dates.dt.day_of_week, 7),
    "day_of_year": (lambda dates: dates.dt.day_of_year - 1, _DAYS),
    "hour": (lambda dates: dates.dt.hour + dates.dt.minute / 60 + dates.dt.second / 3600, 24),
}
"""What goes round in a date: where in the cycle it is, from 0, and how long that is."""


class _Names(parserinfo):
    """English names; years of two digits as POSIX has them, 1969 to 2068, and not around the present."""

    def convertyear(self, year: int, century_specified: bool = False) -> int:
        """Return the year that two digits mean."""
        return year if century_specified or year > 99 else year + (2000 if year < 69 else 1900)


_NAMES = {day_first: _Names(dayfirst=day_first) for day_first in (False, True)}


class DateError(ValueError):
    """A value is no date, or could be two; ``row`` is its position in the column, None for all of it."""

    def __init__(self, message: str, row: int | None = None) -> None:
        super().__init__(message)
        self.row = row


def looks_like_dates(texts: pd.Series) -> str:
    """Return what kind of dates or times most of the texts are, such as ``clock times``; "" when most are none.

    >>> looks_like_dates(pd.Series(["2024-03-14", "2024-03-15", "?"]))
    'ISO dates'
    """
    counts = texts.value_counts(dropna=True)
    found = dict.fromkeys(_SHAPES, 0)
    for text, count in zip(counts.index, counts, strict=True):
        if shape := _shape(str(text)):
            found[shape] += int(count)
    kind = max(found, key=found.__getitem__)
    return kind if sum(found.values()) >= max(1.0, _MOSTLY * counts.sum()) else ""


def integers_look_like_dates(values: np.ndarray) -> bool:
    """Tell whether whole numbers are all dates in the form 20240314."""
    different = np.unique(values)
    if len(different) < _LEAST or different[0] < 1900_01_01 or different[-1] > 2100_12_31:
        return False
    dates = pd.to_datetime(pd.Series(different.astype(np.int64).astype(str)), format="%Y%m%d", errors="coerce")
    return bool(dates.notna().all())


def read_dates(column: pd.Series, form: str | None, day_before_month: bool | None = None) -> pd.Series:
    """Return a column of dates as datetime64[us], NaT where missing; times with a zone in UTC, clock times on one day.

    ``form`` is a format of ``strptime``; ``day_before_month`` is what :func:`day_first` found of the column whose
    further values these are. Raises :class:`DateError` for a value that is no date, and where day and month
    cannot be told apart.
    """
    if is_datetime64_any_dtype(column.dtype):
        return _naive(column)
    if is_integer_dtype(column.dtype):
        column = pd.Series(column.astype("Int64").astype("string"), dtype=object)
    present = column.dropna()
    uniques = {value: str(value).strip() for value in present.unique()}
    if form is None and (plain := _plain(uniques.values())) is not None:
        at_once = dict(zip(uniques, plain, strict=True))
        return pd.Series([at_once.get(value, _NONE) for value in column], index=column.index, dtype="datetime64[us]")
    read = _by_format(form) if form is not None else _reader(list(uniques.values()), day_before_month)
    known: dict[object, pd.Timestamp] = {}
    for value, text in uniques.items():
        try:
            known[value] = read(text)
        except (ValueError, OverflowError):
            row = next(row for row, other in enumerate(column) if other == value)
            asked = f" in the form {form!r}" if form is not None else " that can be read"
            raise DateError(
                f"{reprlib.repr(text)} is not a date{asked}; correct it or put it under `missing`", row
            ) from None
    return pd.Series([known.get(value, pd.NaT) for value in column], index=column.index, dtype="datetime64[us]")


def day_first(column: pd.Series) -> bool | None:
    """Return whether the day stands before the month in a column that :func:`read_dates` reads; None: it has none."""
    texts = [] if is_datetime64_any_dtype(column.dtype) else [str(value).strip() for value in column.dropna().unique()]
    numbers = [text for text in texts if _shape(text) == "dates"]
    return _day_first(numbers) if numbers else None


def calendar(dates: pd.Series, first: datetime) -> pd.DataFrame:
    """Return float64 columns: the year, sine and cosine of what goes round in it, and the days since ``first``."""
    columns: dict[str, pd.Series] = {"year": dates.dt.year}
    for name, (place, length) in _CYCLES.items():
        angle = 2 * np.pi * place(dates) / length
        columns |= {f"{name}_sin": np.sin(angle), f"{name}_cos": np.cos(angle)}
    columns["days"] = (dates - pd.Timestamp(first)).dt.total_seconds() / 86_400
    return pd.DataFrame(columns, index=dates.index).astype(np.float64)


def calendars(frame: pd.DataFrame, dates: Sequence[Mapping[str, Any]]) -> dict[str, np.ndarray]:
    """Return the calendar numbers of every column of dates, as ``day: year``."""
    found: dict[str, np.ndarray] = {}
    for fitted in dates:
        numbers = calendar(frame[fitted["column"]], datetime.fromisoformat(fitted["first"]))
        found |= {f"{fitted['column']}: {name}": numbers[name].to_numpy(np.float64) for name in numbers.columns}
    return found


def _shape(text: str) -> str:
    text = text.strip()
    for name, pattern in _SHAPES.items():
        if pattern.fullmatch(text) and (name != "dates" or _has_month(text)):
            return name
    return ""


def _has_month(text: str) -> bool:
    """Tell whether two numbers can be a day and a month in some order."""
    first, second = (int(number) for number in re.findall(r"\d+", text)[:2])
    return 1 <= min(first, second) <= 12 and 1 <= max(first, second) <= 31


def _naive(dates: pd.Series) -> pd.Series:
    if getattr(dates.dtype, "tz", None) is not None:
        dates = dates.dt.tz_convert("UTC").dt.tz_localize(None)
    return dates.astype("datetime64[us]")


def _plain(texts: Collection[str]) -> np.ndarray | None:
    """Read ISO dates without a zone at once, which is many times as fast; None where any is anything else."""
    try:
        return np.array([*texts], "datetime64[us]") if texts and all(map(_PLAIN.fullmatch, texts)) else None
    except ValueError:  # such as February 30
        return None


def _by_format(form: str) -> Callable[[str], pd.Timestamp]:
    return lambda text: _utc(datetime.strptime(text, form))


def _reader(texts: list[str], day_before_month: bool | None) -> Callable[[str], pd.Timestamp]:
    """Return what reads each text of a column, in which day and month have one order."""
    if day_before_month is None:
        day_before_month = _day_first([text for text in texts if _shape(text) == "dates"])

    def read(text: str) -> pd.Timestamp:
        numbers = [int(digits) for digits in re.findall(r"\d+", text)]
        match _shape(text):
            case "ISO weeks":
                compact = text.replace("-", "")
                return pd.Timestamp(
                    datetime.fromisocalendar(int(compact[:4]), int(compact[5:7]), int(compact[7:] or 1))
                )
            case "quarters":
                return pd.Timestamp(year=max(numbers), month=3 * min(numbers) - 2, day=1)
            case "months":
                return pd.Timestamp(year=max(numbers), month=min(numbers), day=1)
            case "durations":
                raise ValueError("a duration")
            case "":
                return _utc(datetime.strptime(text, "%Y%m%d"))
            case "dates":
                if numbers[1 if day_before_month else 0] > 12:  # the parser would swap them without a word
                    raise ValueError("day and month in the other order")
                return _utc(parse(text, _NAMES[bool(day_before_month)], default=_MIDNIGHT))
            case _:
                return _utc(parse(text, _NAMES[False], default=_MIDNIGHT))

    return read


def _day_first(texts: list[str]) -> bool:
    """Return whether the day stands before the month. Raises :class:`DateError` where that does not show."""
    pairs = [[int(digits) for digits in re.findall(r"\d+", text)[:2]] for text in texts]
    day_first = next((text for text, (first, _) in zip(texts, pairs, strict=True) if first > 12), "")
    month_first = next((text for text, (_, second) in zip(texts, pairs, strict=True) if second > 12), "")
    if day_first and month_first:
        raise DateError(f"{day_first!r} has the day first and {month_first!r} the month; write all of them alike")
    if day_first or month_first:
        return bool(day_first)
    if all("." in text.split()[0] for text in texts):
        return True
    raise DateError(
        f'{texts[0]!r} may have the day first or the month; say which, such as `dates: {{COLUMN: "%d/%m/%Y"}}`'
    )


def _utc(moment: datetime) -> pd.Timestamp:
    """Return a moment without a zone, in UTC where it had one."""
    stamp = pd.Timestamp(moment)
    return stamp if stamp.tz is None else stamp.tz_convert("UTC").tz_localize(None)
