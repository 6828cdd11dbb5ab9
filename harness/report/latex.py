"""report.tex: the content as a LaTeX document with booktabs, from which a paper may take its tables.

Texts of a run are escaped letter by letter, so that none of them is a command. Letters of other scripts stay as they
are: lualatex and xelatex print them where the font has them, pdflatex knows the Latin ones.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from harness.report.blocks import Block, Code, Content, Points, Section, Table
from harness.report.markdown import one_line

_COMMANDS = {
    **{letter: f"\\{letter}" for letter in "{}$&#%_"},
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': r"\textquotedbl{}",
    "'": r"\textquotesingle{}",
    "`": r"\textasciigrave{}",
    "√": r"\textsurd{}",
    "∞": r"\ensuremath{\infty}",
}
_ACTIVE = re.compile(rf"[{re.escape(''.join(_COMMANDS))}]|(?<=-)-|(?<=,),|^[\[*]")
"""Letters that LaTeX acts on: some always, hyphens and commas after their like, and what an end of a row would take."""

_HEAD = r"""\documentclass{article}
\usepackage{iftex}
\ifPDFTeX\usepackage[T1]{fontenc}\else\usepackage{fontspec}\fi
\usepackage{textcomp}
\usepackage[a4paper,landscape,margin=15mm]{geometry}
\usepackage{array,booktabs,longtable}
\setlength{\parindent}{0pt}
\setlength{\parskip}{0.5em}
"""
_NARROW, _MANY = 32, 8
"""Letters up to which a column of texts is not broken, and columns above which a table is set smaller."""


def escaped(text: str) -> str:
    """Return ``text`` on one line as LaTeX that prints it as it is."""
    return _ACTIVE.sub(lambda found: _COMMANDS.get(found[0], f"{{{found[0]}}}"), one_line(text))


def render_latex(content: Content) -> str:
    """Return the text of ``report.tex``."""
    lines = [_HEAD, r"\begin{document}", rf"\section*{{{escaped(content.title)}}}", escaped(content.subtitle), ""]
    for sentence in content.verdict:
        lines += [rf"\textbf{{{escaped(sentence)}}}", ""]
    for alert in content.alerts:
        lines += [rf"\textbf{{Warning, {escaped(alert.code)}:}} {escaped(alert.text)}", ""]
    for section in content.sections:
        lines += _section(section)
    return "\n".join([*lines, r"\end{document}", ""])


def _section(section: Section) -> Iterator[str]:
    yield rf"\subsection*{{{escaped(section.title)}}}"
    for text in section.text:
        yield from (escaped(text), "")
    for caption, block in section.captioned:
        if caption:
            yield rf"\subsubsection*{{{escaped(caption)}}}"
        yield from _block(block)
        yield ""


def _block(block: Block) -> Iterator[str]:
    match block:
        case Table():
            yield from _table(block)
        case Points():
            yield from (r"\begin{itemize}", *(rf"\item {escaped(item)}" for item in block.items), r"\end{itemize}")
        case Code():
            yield r"\begin{flushleft}\ttfamily\small"
            yield from (rf"\mbox{{}}{_spaced(line)}\\" for line in block.text.rstrip().split("\n"))
            yield r"\end{flushleft}"


def _spaced(line: str) -> str:
    """Return a line of code with all of its spaces."""
    return r"\ ".join(escaped(word) for word in line.expandtabs(4).split(" "))


def _table(table: Table) -> Iterator[str]:
    """Yield a table that may run over pages; long texts are broken into lines."""
    size = r"\scriptsize" if len(table.columns) > _MANY else r"\small"
    kinds = "".join(_kind(table, place) for place in range(len(table.columns)))
    yield rf"{{{size}\begin{{longtable}}{{@{{}}{kinds}@{{}}}}"
    yield r"\toprule"
    if table.headed:
        yield rf"{_row(table.columns)}\midrule\endhead"
    for place, cells in enumerate(table.rows):
        yield _row(cells, strong=place < table.marked)
    yield r"\bottomrule"
    yield r"\end{longtable}}"


def _kind(table: Table, place: int) -> str:
    """Return what LaTeX calls a column: numbers to the right, long texts in a box of their share of the width."""
    name = table.columns[place]
    if name in table.numeric:
        return "r"
    if max((len(row[place]) for row in table.rows), default=0) <= _NARROW:
        return "l"
    return rf">{{\raggedright\arraybackslash}}p{{{0.8 / min(len(table.columns), _MANY):.2f}\linewidth}}"


def _row(cells: tuple[str, ...], *, strong: bool = False) -> str:
    written = [rf"\textbf{{{escaped(cell)}}}" if strong and cell else escaped(cell) for cell in cells]
    return rf"{' & '.join(written)} \\"
