"""Rows as a table that fits a width: words are kept whole and figures are never cut.

Where even the longest words do not fit side by side, each row becomes a block of lines, one for each column.
"""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

from rich import box
from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

GAP = 2
"""Cells between two columns, as rich draws them."""
EDGES = 2
WORD = 24
"""Cells up to which a word is kept whole; paths and other long ones are folded."""
FIGURE = 16
"""Cells up to which a text stays on one line as a figure does."""


def print_rows(
    names: Sequence[str], rows: Sequence[Sequence[str]], *, numeric: frozenset[int], width: int, console: Console
) -> None:
    """Print rows of texts under ``names``, at most ``width`` cells wide; the columns in ``numeric`` to the right."""
    widths = column_widths(names, rows, width - EDGES - GAP * (len(names) - 1))
    if widths is None:
        console.print(Text(f"\n{_blocks(names, rows, width)}\n"), soft_wrap=True)
        return
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
    for column, (name, cells) in enumerate(zip(names, widths, strict=True)):
        table.add_column(Text(name), justify="right" if column in numeric else "left", width=cells, overflow="fold")
    for row in rows:
        table.add_row(*map(Text, row))
    console.print(table)


def column_widths(names: Sequence[str], rows: Sequence[Sequence[str]], room: int) -> list[int] | None:
    """Return the cells of each column, all together at most ``room``; None where the words do not fit.

    A column has at least its longest word, and what is left goes to the columns that want more, by how much they want.
    """
    columns = [[name, *texts] for name, *texts in zip(names, *rows, strict=True)]
    wanted = [max(_lines(text) for text in texts) for texts in columns]
    if sum(wanted) <= room:
        return wanted
    least = [
        min(most, max(_kept(text, heading=row == 0) for row, text in enumerate(texts)))
        for most, texts in zip(wanted, columns, strict=True)
    ]
    spare = room - sum(least)
    if spare < 0:
        return None
    lacking = [most - few for most, few in zip(wanted, least, strict=True)]
    return [few + spare * lack // sum(lacking) for few, lack in zip(least, lacking, strict=True)]


def _lines(text: str) -> int:
    return max(map(cell_len, text.splitlines()), default=0)


def _kept(text: str, *, heading: bool) -> int:
    """Return the cells that a text needs at least: all of a figure, the longest word of anything else."""
    if not heading and (length := _lines(text)) <= FIGURE:
        return length
    return min(WORD, max(map(cell_len, text.split()), default=0))


def _blocks(names: Sequence[str], rows: Sequence[Sequence[str]], width: int) -> str:
    """Return each row as lines of a name and its text, with an empty line between rows."""
    margin = max(map(cell_len, names), default=0) + 2
    room = max(width - margin, WORD)
    blocks = []
    for row in rows:
        lines = []
        for name, text in zip(names, row, strict=True):
            folded = [line for part in text.splitlines() for line in textwrap.wrap(part, room)] or [""]
            lines += [
                f"{label}{' ' * (margin - cell_len(label))}{line}".rstrip()
                for label, line in zip([name, *[""] * (len(folded) - 1)], folded, strict=True)
            ]
        blocks.append("\n".join(lines))
    return "\n\n".join(blocks)
