"""How values are written: one form for every number, the same in Markdown, HTML and on the terminal."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from harness.spec import COST

NOT_MEASURED = "\N{EN DASH}"


def number(value: float | None) -> str:
    """Write a measured number with four significant digits, whole numbers in full, NaN and None as a dash."""
    if value is None or math.isnan(value):
        return NOT_MEASURED
    if math.isinf(value):
        return "∞" if value > 0 else "-∞"
    size = abs(value)
    if float(value).is_integer() and size < 1e15:
        return f"{int(value):,}"
    if size >= 1e15 or size < 1e-3:
        return f"{value:.2e}"
    return f"{value:,.0f}" if size >= 1000 else f"{value:#.4g}".removesuffix(".")


def score(value: float | None) -> str:
    """Write a quality metric with four decimals, so that a column of them lines up."""
    if value is None or not math.isfinite(value) or abs(value) >= 1000:
        return number(value)
    return f"{value:.4f}" if abs(value) >= 1e-3 or value == 0 else f"{value:.2e}"


def goal(metric: str, value: float | None) -> str:
    """Write the value of an objective: a quality metric, or a measured cost."""
    return score(value) if metric not in COST else number(value)


def whole(value: float | None) -> str:
    """Write a count or an identifying number: no decimals."""
    return NOT_MEASURED if value is None or math.isnan(value) else f"{value:,.0f}"


def percent(share: float) -> str:
    """Write a share of 1 as a percentage."""
    return NOT_MEASURED if math.isnan(share) else f"{100 * share:.1f} %"


def duration(seconds: float | None) -> str:
    """Write seconds in the unit that a reader would choose."""
    if seconds is None or not math.isfinite(seconds):
        return NOT_MEASURED
    if seconds < 10:
        return f"{seconds:.2f} s"
    if seconds < 120:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 120:
        return f"{minutes} min {rest:02d} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours:,} h {minutes:02d} min"


def setting(value: Any, digits: int = 6) -> str:
    """Write a parameter or fact of any type, a fraction with so many significant digits."""
    if value is None:
        return NOT_MEASURED
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.{digits}g}"
    if isinstance(value, Sequence) and not isinstance(value, str):
        return ", ".join(setting(item, digits) for item in value) or NOT_MEASURED
    return str(value) or NOT_MEASURED


def plural(count: int, noun: str) -> str:
    """Return ``1 trial`` or ``2 trials``."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def clipped(text: str, limit: int) -> str:
    """Return ``text`` on one line, cut to at most ``limit`` characters."""
    line = " ".join(text.split())
    return line if len(line) <= limit else line[: limit - 1].rstrip() + "…"


def flattened(value: Any, path: str = "") -> Iterator[tuple[str, str]]:
    """Yield ``(dotted.path, text)`` for every leaf of nested mappings and lists; a list of scalars is one leaf."""
    if isinstance(value, Mapping):
        items = [(str(key), item) for key, item in value.items()]
    elif isinstance(value, list) and any(isinstance(item, Mapping | list) for item in value):
        items = [(str(position), item) for position, item in enumerate(value)]
    else:
        yield path, setting(value)
        return
    if not items:
        yield path, NOT_MEASURED
    for key, item in items:
        yield from flattened(item, f"{path}.{key}" if path else key)


def short_names(paths: Sequence[str]) -> dict[str, str]:
    """Return for each dotted path its last two keys, or all of it where these would not tell it from another."""
    ends = {path: ".".join(path.split(".")[-2:]) for path in paths}
    seen = Counter(ends.values())
    return {path: end if seen[end] == 1 else path for path, end in ends.items()}
