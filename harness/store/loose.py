"""Reading plain data that may hold anything, as the JSON of a folder that comes from elsewhere does."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import Any

from harness.records import NAN


def at(value: Any, *path: str | int) -> Any:
    """Return what stands at a path of keys and positions; None where nothing does."""
    for key in path:
        if isinstance(value, Mapping):
            value = value.get(key)
        elif isinstance(value, list) and isinstance(key, int) and key < len(value):
            value = value[key]
        else:
            return None
    return value


def text(value: Any) -> str:
    """Return a text; what is none is empty."""
    return value if isinstance(value, str) else ""


def number(value: Any) -> float:
    """Return a number; what is none, or too large to be one, is NaN."""
    with suppress(OverflowError):
        return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else NAN
    return NAN


def moment(value: Any) -> float:
    """Return seconds since 1970 that a calendar has; what is none is NaN."""
    return seconds if 0.0 <= (seconds := number(value)) < 1.0e11 else NAN


def total(counts: Iterable[Any]) -> int | None:
    """Return the sum of counts; None where one of them is no number."""
    found = sum(map(number, counts))
    return int(found) if math.isfinite(found) else None
