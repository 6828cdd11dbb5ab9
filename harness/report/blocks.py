"""What a report is made of, whatever it is written in: sections of sentences, tables, lists and code."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar


@dataclass(frozen=True, kw_only=True)
class Table:
    """Cells that are already text; every row has one cell a column."""

    kind: ClassVar[str] = "table"
    caption: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    numeric: frozenset[str] = frozenset()
    """Columns to align on the right."""
    folded: bool = False
    """Long and rarely read: HTML shows it on demand."""
    headed: bool = True
    """Whether the columns' names say more than the cells do."""
    marked: int = 0
    """So many of the first rows stand out."""


@dataclass(frozen=True)
class Points:
    """A list of short texts."""

    kind: ClassVar[str] = "points"
    items: tuple[str, ...]
    caption: str = ""


@dataclass(frozen=True)
class Code:
    """Text to be shown as it is."""

    kind: ClassVar[str] = "code"
    language: str
    text: str


Block = Table | Points | Code


@dataclass(frozen=True, kw_only=True)
class Section:
    """One chapter; ``anchor`` is its name in links and what HTML hangs its charts on."""

    anchor: str
    title: str
    text: tuple[str, ...] = ()
    blocks: tuple[Block, ...] = ()


@dataclass(frozen=True)
class Card:
    """One headline figure."""

    label: str
    value: str
    detail: str


@dataclass(frozen=True)
class Alert:
    """A reason to doubt what the report says, by its code."""

    code: str
    text: str


@dataclass(frozen=True, kw_only=True)
class Content:
    """A whole report without its charts."""

    title: str
    subtitle: str
    verdict: tuple[str, ...]
    cards: tuple[Card, ...]
    sections: tuple[Section, ...]
    alerts: tuple[Alert, ...] = ()


def facts(caption: str, pairs: list[tuple[str, str]], *, folded: bool = False) -> Table:
    """Return a table of names and what they are."""
    return Table(caption=caption, columns=("what", "value"), rows=tuple(pairs), folded=folded, headed=False)
