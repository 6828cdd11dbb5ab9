"""The calendar numbers of a date in integer arithmetic that torch and ONNX share, from microseconds since 1970.

The same numbers as :func:`harness.data.dates.calendar`, of the proleptic Gregorian calendar. Days become years, months
and days by the algorithm of Hinnant (2013, "chrono-compatible low-level date algorithms", ``civil_from_days``), which
counts years from March so that the leap day is the last one. Shape legend: N samples, D dates.
"""

from __future__ import annotations

import torch
from torch import Tensor

_DAY_US = 86_400_000_000
_ERA_DAYS = 146_097
"""Of 400 years, after which the calendar repeats."""
_TO_MARCH_0000 = 719_468
"""Days from the first of March of the year 0 to 1970."""
_TO_1970 = 719_162
"""Days from the first of January of the year 1."""


def calendar(moments_ND: Tensor, first_D: Tensor) -> dict[str, Tensor]:
    """Return float64 ``N x D`` of int64 microseconds since 1970; ``days`` are since ``first_D``, alike in microseconds.

    Missing ones must be replaced before and put back after.
    """
    days = _whole(moments_ND, _DAY_US)
    year, month, day = _civil(days)
    seconds = _whole(moments_ND - days * _DAY_US, 1_000_000)
    minute = torch.remainder(_whole(seconds, 60), 60)
    hours = _whole(seconds, 3600).double() + minute.double() / 60 + torch.remainder(seconds, 60).double() / 3600
    return {
        "year": year.double(),
        **_circle("month", month - 1, 12),
        **_circle("day", day - 1, 31),
        **_circle("weekday", torch.remainder(days + 3, 7), 7),  # 1970 began on a Thursday
        **_circle("day_of_year", days - _days_before(year), 366),
        **_circle("hour", hours, 24),
        "days": (moments_ND - first_D).double() / _DAY_US,
    }


def _whole(numbers: Tensor, by: int) -> Tensor:
    """Return ``numbers // by``, rounded down, of int64 numbers.

    Not by floor division, which ONNX has for numbers above zero alone. The multiple that is left without the remainder
    is divided in float64, exactly so as long as the quotient has at most 53 bits: a multiple of a day in microseconds
    has 13 zeros at its end.
    """
    return ((numbers - torch.remainder(numbers, by)).double() / by).long()


def _civil(days: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return year, month and day of the month, from days since 1970."""
    since = days + _TO_MARCH_0000
    era = _whole(since, _ERA_DAYS)
    of_era = since - era * _ERA_DAYS
    leaps = _whole(of_era, 1460) - _whole(of_era, 36_524) + _whole(of_era, 146_096)
    years = _whole(of_era - leaps, 365)
    of_year = of_era - (365 * years + _whole(years, 4) - _whole(years, 100))
    from_march = _whole(5 * of_year + 2, 153)
    day = of_year - _whole(153 * from_march + 2, 5) + 1
    month = torch.remainder(from_march + 2, 12) + 1
    return years + era * 400 + (month <= 2).long(), month, day


def _days_before(year: Tensor) -> Tensor:
    """Return the days from 1970 to the first of January of a year."""
    past = year - 1
    return 365 * past + _whole(past, 4) - _whole(past, 100) + _whole(past, 400) - _TO_1970


def _circle(name: str, place: Tensor, length: int) -> dict[str, Tensor]:
    angle = 2 * torch.pi * place.double() / length
    return {f"{name}_sin": torch.sin(angle), f"{name}_cos": torch.cos(angle)}
