"""CSV files as people save them: which character separates the values, where the header is, and every value as text."""

from __future__ import annotations

import csv
import re
import warnings
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

import pandas as pd

from harness.data.files import existing_file
from harness.data.sources.decoding import UTF_8, is_utf_8, open_text, text_errors
from harness.data.sources.source import Source, read_source
from harness.data.sources.tables import RawTable, read_table
from harness.digest import sha256_of_file
from harness.errors import DataError
from harness.spec.task import CsvTask

if TYPE_CHECKING:
    from _csv import Reader

SEPARATORS = {"\t": "tabs", ";": "semicolons", "|": "bars", ",": "commas"}
"""What may separate values, what is least likely to stand inside of a value first."""
_SAMPLE = 2**16
"""Characters that are looked at to find the separator."""
_CONSISTENT = 0.9
"""Share of the lines that must have the same number of values for a separator to be the one."""
_DIRECTIVE = re.compile(r'"?sep=(.)"?\s*')
"""The first line by which Excel says what separates the values."""
_PACKED = {
    b"\x1f\x8b": "packed with gzip; unpack it with `gunzip`",
    b"BZh": "packed with bzip2; unpack it with `bunzip2`",
    b"\xfd7zXZ": "packed with xz; unpack it with `unxz`",
    b"\x28\xb5\x2f\xfd": "packed with zstd; unpack it with `unzstd`",
    b"PK\x03\x04": "a zip archive or an Excel workbook; unpack it, or save the sheet as CSV",
    b"\xd0\xcf\x11\xe0": "an Excel workbook; save the sheet as CSV",
    b"PAR1": "a Parquet file; name it as `parquet:`",
}
_UTF_16 = (b"\xff\xfe", b"\xfe\xff")


@dataclass(frozen=True)
class Layout:
    """How the values of a file are laid out."""

    path: Path
    separator: str
    directive: bool
    """Whether the first line names the separator."""
    header: tuple[str, ...]
    encoding: str = UTF_8

    @property
    def options(self) -> dict[str, Any]:
        """What pandas reads the rows below the header with: every value as text."""
        return {
            "sep": self.separator,
            "header": None,
            "names": [str(number) for number in range(len(self.header))],
            "index_col": False,
            "dtype": str,
            "keep_default_na": False,
            "skipinitialspace": self.separator != "\t",
        }

    @contextmanager
    def below_header(self) -> Iterator[tuple[TextIO, int]]:
        """Open the file behind its header; with the number of lines that were passed."""
        with open_text(self.path, self.encoding) as file:
            lines = 0
            if self.directive:
                file.readline()
                lines = 1
            reader = _reader(file, self.separator)
            next(record for record in reader if record)
            yield file, lines + reader.line_num

    def line_of(self, row: int) -> int:
        """Return the number, from 1, of the line where data row ``row`` ends; a quoted value may span several."""
        with self.below_header() as (file, passed):
            reader = _reader(file, self.separator)
            lines = (reader.line_num for record in reader if record not in ([], [""]))
            return passed + next(islice(lines, row, None), row + 1)


@read_source.register
def read_csv(task: CsvTask) -> Source:
    """Read the table of a task, and its test file behind it; :class:`DataError` when it cannot be used."""
    first = csv_table(task.csv, task.separator, task.encoding)
    test = None if task.test is None else csv_table(task.test.csv, task.separator, task.encoding)
    return replace(read_table(task, first, test), separator=task.separator)


def csv_table(path: Path, separator: str, encoding: str = UTF_8) -> RawTable:
    """Return the rows of a file before any of it is understood. Raises :class:`DataError`."""
    frame, layout, notes = read_csv_file(existing_file(path), separator, encoding)
    return RawTable(
        layout.path.stem,
        str(layout.path),
        frame,
        lambda row: f"line {layout.line_of(row)}",
        sha256_of_file(layout.path),
        notes,
        encoding=encoding,
    )


def read_csv_file(path: Path, separator: str, encoding: str = UTF_8) -> tuple[pd.DataFrame, Layout, tuple[str, ...]]:
    """Return every value of the file as text (NaN where the field is empty), how it is laid out, and notes.

    The columns have the names of the header, in which blanks around a name do not count. ``separator`` "" is found.
    Raises :class:`DataError`.
    """
    layout, notes = find_layout(path, separator, encoding)
    with layout.below_header() as (file, _), _table_errors(layout):
        try:
            frame = pd.read_csv(file, **layout.options)
        except pd.errors.EmptyDataError:
            frame = pd.DataFrame(columns=layout.options["names"], dtype=str)
    frame.columns = pd.Index(layout.header)
    short = _short_lines(layout, frame)
    if short:
        note = f"{path}: {len(short)} lines have fewer values than the header (the first is line {short[0]}): missing"
        notes = (*notes, note)
    return frame, layout, notes


def read_chunks(layout: Layout, rows: int) -> Iterator[tuple[pd.DataFrame, int]]:
    """Yield so many rows of a file at a time, as :func:`read_csv_file` reads them, with the bytes read so far.

    A file without rows yields one table without any. Raises :class:`DataError`.
    """
    with layout.below_header() as (file, _):
        with _table_errors(layout):
            reader = pd.read_csv(file, chunksize=rows, **layout.options)
        while True:
            with _table_errors(layout):
                frame = next(reader, None)
            if frame is None:
                return
            frame.columns = pd.Index(layout.header)
            yield frame, file.buffer.tell()


def find_layout(path: Path, separator: str = "", encoding: str = UTF_8) -> tuple[Layout, tuple[str, ...]]:
    """Return how the values of a file are laid out, and notes. Raises :class:`DataError`."""
    refuse_other_formats(path, encoding)
    with text_errors(path, encoding):
        return _find_layout(path, separator, encoding)


@contextmanager
def _table_errors(layout: Layout) -> Iterator[None]:
    with text_errors(layout.path, layout.encoding), warnings.catch_warnings():
        warnings.simplefilter("error", pd.errors.ParserWarning)  # a row longer than the header would lose data
        try:
            yield
        except (pd.errors.ParserError, pd.errors.ParserWarning, csv.Error) as error:
            odd = _first_odd(layout, error)
            raise DataError(f"{layout.path}: is not a table with as many values in every line ({odd})") from None


def _reader(lines: TextIO | Sequence[str], separator: str) -> Reader:
    return csv.reader(lines, delimiter=separator, skipinitialspace=separator != "\t")


def refuse_other_formats(path: Path, encoding: str = UTF_8) -> None:
    """Raise :class:`DataError` for a file that begins as packed files and workbooks do."""
    with path.open("rb") as file:
        start = file.read(8)
    for mark, what in _PACKED.items():
        if start.startswith(mark):
            raise DataError(f"{path}: is {what}")
    if start.startswith(_UTF_16) and is_utf_8(encoding):
        raise DataError(f"{path}: is UTF-16 text; save it as UTF-8, or say `encoding: utf-16`")


def _find_layout(path: Path, separator: str, encoding: str) -> tuple[Layout, tuple[str, ...]]:
    with open_text(path, encoding) as file:
        sample = file.read(_SAMPLE)
        whole = not file.read(1)
    lines = sample.splitlines(keepends=True)
    if not whole and len(lines) > 1:
        lines.pop()  # it may be cut in two
    directive = _DIRECTIVE.fullmatch(lines[0]) if lines else None
    if directive:
        lines.pop(0)
    if not any(line.strip() for line in lines):
        raise DataError(f"{path}: is empty; expected a header line and rows below it")
    chosen = separator or (directive[1] if directive else "") or _find_separator(lines)
    records = [record for record in _records(lines, chosen) if record]
    _refuse_titles(path, records)
    note = () if chosen == "," or separator else (f"{path}: values are separated by {SEPARATORS.get(chosen, chosen)}",)
    header = tuple(name.strip() for name in records[0])
    return Layout(path, chosen, directive is not None, header, encoding), note


def _records(lines: Sequence[str], separator: str) -> list[list[str]]:
    try:
        return list(_reader(lines, separator))
    except csv.Error:
        return []


def _find_separator(lines: Sequence[str]) -> str:
    """Return the separator that cuts nearly every line into the same number of values, the header among them."""
    for separator in SEPARATORS:
        widths = [len(record) for record in _records(lines, separator) if record]
        while len(widths) > 1 and widths[0] == 1:
            widths.pop(0)  # titles above the header
        usual, count = Counter(widths).most_common(1)[0] if widths else (0, 0)
        if usual > 1 and widths[0] == usual and count >= _CONSISTENT * len(widths):
            return separator
    return ","


def _refuse_titles(path: Path, records: Sequence[Sequence[str]]) -> None:
    """Refuse lines above the header: they would become the names of the columns."""
    filled = [sum(bool(value.strip()) for value in record) for record in records]
    usual = Counter(filled[1:]).most_common(1)[0][0] if len(filled) > 2 else 0
    above = next((number for number, count in enumerate(filled) if count > 1), 0)
    if above and usual > 1:
        title = next(value for value in records[0] if value.strip()) if filled[0] else ""
        raise DataError(
            f"{path}: starts with {title!r} and has {usual} values in the lines below: a title above the header?"
            f" Remove the {above} lines above the header"
        )


def _short_lines(layout: Layout, frame: pd.DataFrame) -> list[int]:
    """Return the lines with fewer values than the header: pandas fills them up with empty ones."""
    if not len(layout.header) or not len(frame) or not (frame.iloc[:, -1] == "").any():
        return []
    with layout.below_header() as (file, passed):
        reader = _reader(file, layout.separator)
        lines = ((passed + reader.line_num, record) for record in reader if record not in ([], [""]))
        return [line for line, record in lines if len(record) < len(layout.header)]


def _first_odd(layout: Layout, error: Exception) -> str:
    """Return where the first line with more values than the header is, else what the parser says."""
    with layout.below_header() as (file, passed):
        reader = _reader(file, layout.separator)
        try:
            for record in reader:
                if len(record) > len(layout.header):
                    return f"line {passed + reader.line_num} has {len(record)}, the header {len(layout.header)}"
        except csv.Error:
            pass
    return str(error).strip()
