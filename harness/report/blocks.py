"""What a report is made of, whatever it is written in: sections of sentences, tables, lists and code."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple


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


Cell = str | float | None


@dataclass(frozen=True, kw_only=True)
class Sheet:
    """A table too long to be read from top to bottom, which HTML sorts, filters and shows by pages.

    Markdown, where nothing can be clicked, leaves it out. Cells of ``numeric`` columns are numbers, None where there is
    none; all others are text.
    """

    kind: ClassVar[str] = "sheet"
    caption: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    numeric: frozenset[str]
    choices: frozenset[str]
    """Columns of few different values, by which the rows can be chosen."""

    @property
    def data(self) -> dict[str, Any]:
        """What the page's script makes the table from."""
        names = {"columns": self.columns, "rows": self.rows}
        return names | {key: [name in getattr(self, key) for name in self.columns] for key in ("numeric", "choices")}


class Picture(NamedTuple):
    """A small picture and what is said below it."""

    png: str
    """In base64."""
    lines: tuple[str, ...]


@dataclass(frozen=True)
class Pictures:
    """Small pictures side by side; Markdown leaves them out."""

    kind: ClassVar[str] = "pictures"
    items: tuple[Picture, ...]
    caption: str


Block = Table | Points | Code | Sheet | Pictures


@dataclass(frozen=True, kw_only=True)
class Section:
    """One chapter; ``anchor`` is its name in links and what HTML hangs its charts on."""

    anchor: str
    title: str
    text: tuple[str, ...] = ()
    blocks: tuple[Block, ...] = ()

    @property
    def captioned(self) -> Iterator[tuple[str, Block]]:
        """The blocks, each below the caption that text needs: what stands alone has the title of its section."""
        for block in self.blocks:
            yield block.caption if isinstance(block, Table | Points) and len(self.blocks) > 1 else "", block


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
