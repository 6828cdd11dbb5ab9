"""Files of JSON lines: an object in each line, whose keys are the columns; every value as text, as those of CSV are."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from harness.data.files import existing_file
from harness.data.sources.decoding import open_text, text_errors
from harness.data.sources.source import Source, read_source
from harness.data.sources.tables import RawTable, read_table
from harness.digest import sha256_of_file
from harness.errors import DataError, first_line
from harness.spec.task import JsonlTask


class _Row(NamedTuple):
    values: Mapping[str, str | None]
    line: int
    """From 1."""
    read: int
    """Bytes of the file so far, about."""


@read_source.register
def read_jsonl(task: JsonlTask) -> Source:
    """Read the table of a task, and its test file behind it; :class:`DataError` when it cannot be used."""

    def read(path: Path) -> RawTable:
        path = existing_file(path)
        rows = list(_rows(path, task.encoding))
        frame = _frame([row.values for row in rows])
        return RawTable(
            path.stem,
            str(path),
            frame,
            lambda row: f"line {rows[row].line}",
            sha256_of_file(path),
            encoding=task.encoding,
        )

    return read_table(task, read(task.jsonl), None if task.test is None else read(task.test.jsonl))


def jsonl_keys(path: Path, encoding: str) -> list[str]:
    """Return the keys of the objects of a file, each once. Raises :class:`DataError`."""
    return list(dict.fromkeys(key for row in _rows(path, encoding) for key in row.values))


def read_jsonl_chunks(path: Path, encoding: str, count: int) -> Iterator[tuple[pd.DataFrame, int]]:
    """Yield so many objects of a file at a time, with the bytes read so far.

    A file without any yields one table without rows. Raises :class:`DataError`.
    """
    rows = _rows(path, encoding)
    chunk = list(islice(rows, count))
    while True:
        yield _frame([row.values for row in chunk]), chunk[-1].read if chunk else 0
        chunk = list(islice(rows, count))
        if not chunk:
            return


def _frame(values: list[Mapping[str, str | None]]) -> pd.DataFrame:
    names = list(dict.fromkeys(key for row in values for key in row))
    return pd.DataFrame({name: pd.Series([row.get(name) for row in values], dtype="str") for name in names})


def _rows(path: Path, encoding: str) -> Iterator[_Row]:
    read = 0
    with text_errors(path, encoding), open_text(path, encoding) as file:
        for number, line in enumerate(file, start=1):
            read += len(line)
            if line.strip():
                yield _Row(_object(line, f"{path}: line {number}"), number, read)


def _object(line: str, where: str) -> dict[str, str | None]:
    try:
        found = json.loads(line, parse_float=str, parse_int=str, parse_constant=_refuse)
    except (ValueError, RecursionError) as error:
        raise DataError(f"{where} is no JSON ({first_line(error)}); write one object in each line") from None
    if not isinstance(found, dict):
        raise DataError(f'{where} is no object; write one such as {{"text": "...", "target": "..."}} in each line')
    return {key: _text(value, f"{where}: {key!r}") for key, value in found.items()}


def _text(value: Any, where: str) -> str | None:
    """Return a value as CSV would have it; what stands for half a character becomes a question mark."""
    if isinstance(value, bool):
        return str(value).lower()
    if value is None:
        return None
    if not isinstance(value, str):
        kind = "a list" if isinstance(value, list) else "an object"
        raise DataError(f"{where} holds {kind}; give text, a number, true, false or null")
    return value.encode("utf-8", "replace").decode()


def _refuse(name: str) -> Any:
    raise ValueError(f"{name} is no number of JSON")
