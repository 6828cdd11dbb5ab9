"""Results go to stdout, progress and messages to stderr; colours only on a terminal that wants them."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from harness.store.files import plain, readable

MISSING = "-"


def out() -> Console:
    """Return a console on stdout; rich itself honours NO_COLOR and plain pipes."""
    return Console(soft_wrap=True, highlight=False)


def err() -> Console:
    """Return a console on stderr."""
    return Console(stderr=True, soft_wrap=True, highlight=False)


def print_json(value: Any) -> None:
    """Print one JSON document on stdout, NaN as null; in JSON's own escapes what stdout has no letters for."""
    text = json.dumps(plain(value), indent=2, ensure_ascii=False, allow_nan=False)
    if fitting(text) != text:
        text = json.dumps(plain(value), indent=2, ensure_ascii=True, allow_nan=False)
    print(text)


def print_table(rows: Sequence[Mapping[str, Any]], *, title: str = "", columns: Iterable[str] | None = None) -> None:
    """Print rows under the names of their keys; numbers to the right."""
    names = list(columns if columns is not None else (rows[0] if rows else ()))
    table = Table(title=title or None, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    for name in names:
        numeric = any(isinstance(row.get(name), int | float) and not isinstance(row.get(name), bool) for row in rows)
        table.add_column(fitting(name), justify="right" if numeric else "left", overflow="fold")
    for row in rows:
        table.add_row(*(Text(fitting(cell(row.get(name)))) for name in names))
    console = Console(highlight=False)
    # A pipe has no edge to fold at.
    (console if console.is_terminal else Console(highlight=False, width=400)).print(table)


def cell(value: Any) -> str:
    """Return how a value is shown: floats to four digits, thousands apart, what is missing as a dash."""
    if value is None or (isinstance(value, float) and value != value):
        return MISSING
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 10_000 else f"{value:.4g}"
    return str(value)


def fitting(text: str) -> str:
    """Return text with escapes for the letters that stdout cannot take, so that columns stay in line."""
    encoding = sys.stdout.encoding or "utf-8"
    return text.encode(encoding, "backslashreplace").decode(encoding)


def printable(text: str) -> str:
    """Return text that may come from anyone in one line, with nothing in it that a terminal would obey.

    Bytes of a file's name that are no text are shown as escapes.
    """
    return "".join(letter if letter.isprintable() else " " for letter in readable(text))
