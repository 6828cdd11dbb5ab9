"""report.md: the content as CommonMark with GitHub's tables, sound whatever the names and reasons hold."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator

from harness.report.blocks import Block, Code, Content, Points, Section, Table

_SPECIAL = re.compile(r"([\\`*\[\]{}|~#!$])|(?<![^\W_])_|_(?![^\W_])")
_ENTITIES = {"&": "&amp;", "<": "&lt;", ">": "&gt;"}
_OPENS_A_BLOCK = re.compile(r"^(\d{1,9}(?=[.)](?:\s|$))|(?=[-+](?:[\s-]|$)))")
_BREAKS = ("Cc", "Zl", "Zp")


def one_line(text: str) -> str:
    """Return ``text`` on one line, without anything that is no letter of it."""
    return " ".join("".join(" " if unicodedata.category(char) in _BREAKS else char for char in text).split())


def escaped(text: str) -> str:
    """Return ``text`` on one line, as inline Markdown with nothing that Markdown or HTML would act on."""
    line = one_line(text)
    line = _SPECIAL.sub(lambda found: "\\" + found[0], line)
    line = "".join(_ENTITIES.get(char, char) for char in line)
    return _OPENS_A_BLOCK.sub(r"\1\\", line)


def render_markdown(content: Content) -> str:
    """Return the text of ``report.md``."""
    lines = [f"# {escaped(content.title)}", "", escaped(content.subtitle), ""]
    for sentence in content.verdict:
        lines += [f"**{escaped(sentence)}**", ""]
    for alert in content.alerts:
        lines += [f"> **Warning, {escaped(alert.code)}:** {escaped(alert.text)}", ""]
    for section in content.sections:
        lines += _section(section)
    return "\n".join(lines).rstrip() + "\n"


def _section(section: Section) -> Iterator[str]:
    yield from (f"## {escaped(section.title)}", "")
    for text in section.text:
        yield from (escaped(text), "")
    for caption, block in section.captioned:
        if caption:
            yield from (f"### {escaped(caption)}", "")
        yield from _block(block)
        yield ""


def _block(block: Block) -> Iterator[str]:
    match block:
        case Table():
            yield from _table(block)
        case Points():
            yield from (f"- {escaped(item)}" for item in block.items)
        case Code():
            yield from _fenced(block)


def _table(table: Table) -> Iterator[str]:
    yield _row(table.columns)
    yield _row(tuple("---:" if name in table.numeric else "---" for name in table.columns), plain=True)
    for place, cells in enumerate(table.rows):
        yield _row(cells, strong=place < table.marked)


def _row(cells: tuple[str, ...], *, plain: bool = False, strong: bool = False) -> str:
    written = [cell if plain else escaped(cell) for cell in cells]
    return f"| {' | '.join(f'**{cell}**' if strong and cell else cell for cell in written)} |"


def _fenced(code: Code) -> Iterator[str]:
    """Yield a fenced block whose fence is longer than any run of backticks within."""
    longest = max((len(run) for run in re.findall(r"`+", code.text)), default=0)
    fence = "`" * max(3, longest + 1)
    yield f"{fence}{code.language}"
    yield from code.text.rstrip().split("\n")
    yield fence
