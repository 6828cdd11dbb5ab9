"""Results go to stdout, progress and messages to stderr; colours only on a terminal that wants them."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from harness.cli.streams import ESCAPED
from harness.text import plain, readable

if TYPE_CHECKING:
    from rich.console import Console

MISSING = "-"
PIPE_WIDTH = 400


def out() -> Console:
    """Return a console on stdout; rich itself honours NO_COLOR and plain pipes."""
    from rich.console import Console

    return Console(soft_wrap=True, highlight=False)


def err() -> Console:
    """Return a console on stderr."""
    from rich.console import Console

    return Console(stderr=True, soft_wrap=True, highlight=False)


def print_json(value: Any) -> None:
    """Print one JSON document on stdout, NaN as null; in JSON's own escapes what stdout has no letters for."""
    text = json.dumps(plain(value), indent=2, ensure_ascii=False, allow_nan=False)
    if fitting(text) != text:
        text = json.dumps(plain(value), indent=2, ensure_ascii=True, allow_nan=False)
    print(text)


def print_table(
    rows: Sequence[Mapping[str, Any]],
    *,
    title: str = "",
    columns: Iterable[str] | None = None,
    widest: int = PIPE_WIDTH,
) -> None:
    """Print rows under the names of their keys; numbers to the right.

    On a terminal they fit its width. Elsewhere there is no edge to fold at, and they are up to ``widest`` cells wide.
    """
    from rich.console import Console

    from harness.cli.table import print_rows

    names = list(columns if columns is not None else (rows[0] if rows else ()))
    if title:
        print("\n".join(fitting(line) for line in title.splitlines()))
    if not names:
        return
    numeric = frozenset(number for number, name in enumerate(names) if any(_is_number(row.get(name)) for row in rows))
    texts = [[fitting(cell(row.get(name))) for name in names] for row in rows]
    console = Console(highlight=False)
    if not console.is_terminal:
        console = Console(highlight=False, width=widest)
    print_rows(
        [fitting(printable(name)) for name in names], texts, numeric=numeric, width=console.width, console=console
    )


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def cell(value: Any) -> str:
    """Return how a value is shown: floats to four digits, thousands apart, what is missing as a dash.

    Texts may be those of a run that somebody else made: nothing in them is obeyed by a terminal.
    """
    if value is None or (isinstance(value, float) and value != value):
        return MISSING
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 10_000 else f"{value:.4g}"
    return printable(str(value))


def fitting(text: str) -> str:
    """Return text with escapes for the letters that stdout cannot take, so that columns stay in line."""
    encoding = sys.stdout.encoding or "utf-8"
    return text.encode(encoding, ESCAPED).decode(encoding)


def printable(text: str) -> str:
    """Return text that may come from anyone in one line, with nothing in it that a terminal would obey.

    Bytes of a file's name that are no text are shown as escapes.
    """
    return "".join(letter if letter.isprintable() else " " for letter in readable(text))
