"""``.ts`` files, the format of the UCR and UEA archives (timeseriesclassification.com).

Lines that begin with ``#`` or ``%`` are comments, those with ``@`` say what follows. Below ``@data`` there is a line
for each series: its dimensions, each ``value,value,...``, and the target, with colons between. ``?`` is missing.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from harness.data.files import existing_file
from harness.data.series import Series, packed
from harness.data.sources.csv_file import refuse_other_formats
from harness.data.sources.decoding import text_errors
from harness.data.sources.series_source import RawSeries, series_source
from harness.data.sources.source import Source, read_source
from harness.digest import sha256_of_file
from harness.errors import DataError
from harness.spec.series import TsTask

_MISSING = "?"
Lines = Iterator[tuple[int, str]]


@dataclass(frozen=True, slots=True)
class _Header:
    """What a file says of its targets; without ``kind`` there are none."""

    kind: str = ""
    classes: frozenset[str] = frozenset()


class TsFile(NamedTuple):
    """What a file holds."""

    series: Series
    targets: list[str | None]
    """As they are written; None of one that is missing, and of all where the file has none."""
    kind: str
    """``classification`` or ``regression``; empty where the file has no targets."""
    lines: list[int]
    """In which each series stands."""

    def place(self, row: int) -> str:
        """Say where a series stands."""
        return f"line {self.lines[row]}"


@read_source.register
def read_ts(task: TsTask) -> Source:
    """Read the series of a task, and of its test file; :class:`DataError` when they cannot be used."""
    raw, kind = _read(task.ts)
    test = None if task.test is None else _read(task.test.ts)
    if test is not None and test[1] != kind:
        raise DataError(f"{test[0].where}: holds targets of {test[1]}, and {raw.where} of {kind}")
    asked = kind if task.kind == "auto" else task.kind
    return replace(series_source(raw, test and test[0], target="target", kind=asked), problem=task.kind)


def _read(path: Path) -> tuple[RawSeries, str]:
    path = existing_file(path)
    found = read_ts_file(path)
    if not found.kind:
        raise DataError(f"{path}: has no targets to learn from; they stand below `@classLabel true` or `@targetLabel`")
    targets = pd.Series(found.targets, dtype=object)
    raw = RawSeries(path.stem, str(path), found.series, targets, found.place, sha256_of_file(path))
    return raw, found.kind


def read_ts_file(path: Path) -> TsFile:
    """Return the series of a file with their targets. Raises :class:`DataError` with the line of what is wrong."""
    refuse_other_formats(path)
    parts: list[np.ndarray] = []
    targets: list[str | None] = []
    places: list[int] = []
    with text_errors(path), path.open(encoding="utf-8-sig") as file:
        lines = _lines(file)
        header = _header(path, lines)
        for number, line in lines:
            where = f"{path}: line {number}"
            values, target = _target(line, header, where)
            parts.append(_series(values, where, parts[0].shape[1] if parts else None))
            targets.append(target)
            places.append(number)
    if not parts:
        raise DataError(f"{path}: holds no series below @data; add some")
    return TsFile(packed(parts, tuple(map(str, range(parts[0].shape[1])))), targets, header.kind, places)


def _lines(file: Iterator[str]) -> Lines:
    stripped = ((number, line.strip()) for number, line in enumerate(file, 1))
    return ((number, line) for number, line in stripped if line and line[0] not in "#%")


def _header(path: Path, lines: Lines) -> _Header:
    header, seen = _Header(), False
    for number, line in lines:
        where, seen = f"{path}: line {number}", True
        key, *words = line.split()
        said = words[0].lower() if words else ""
        match key.lower():
            case "@data":
                return header
            case "@timestamps" if said == "true":
                raise DataError(f"{where}: says that values have time stamps; write values alone, `@timeStamps false`")
            case "@classlabel" if said == "true":
                header = _Header("classification", frozenset(words[1:]))
            case "@targetlabel" if said != "false":
                header = _Header("regression")
            case name if not name.startswith("@"):
                raise DataError(f"{where}: stands above @data and does not begin with @; is this a .ts file?")
    what = "has no line @data with series below it" if seen else "is empty; expected a .ts file"
    raise DataError(f"{path}: {what}")


def _target(line: str, header: _Header, where: str) -> tuple[str, str | None]:
    """Return what a line has of values, and its target."""
    if not header.kind:
        return line, None
    values, colon, target = (part.strip() for part in line.rpartition(":"))
    if not colon or not target:
        raise DataError(f"{where}: has no target behind its last colon; write ? for one that is not known")
    if header.classes and target not in (*header.classes, _MISSING):
        raise DataError(f"{where}: has the class {target!r}, which is not one of @classLabel; correct one of both")
    return values, None if target == _MISSING else target


def _series(values: str, where: str, channels: int | None) -> np.ndarray:
    """Return the series of a line, (steps, channels)."""
    dimensions = [_numbers(text, where) for text in values.split(":")]
    if channels is not None and len(dimensions) != channels:
        raise DataError(f"{where}: has {len(dimensions)} dimensions, the series above it {channels}; give each as many")
    for number, dimension in enumerate(dimensions, 1):
        if len(dimension) != len(dimensions[0]):
            raise DataError(
                f"{where}: dimension {number} has {len(dimension)} values, the first {len(dimensions[0])}; fill it up"
                f" with {_MISSING}"
            )
    return np.column_stack(dimensions)


def _numbers(text: str, where: str) -> list[float]:
    numbers = []
    for token in text.split(",") if text.strip() else ():
        try:
            numbers.append(math.nan if token.strip() == _MISSING else float(token))
        except ValueError:
            hint = "; time stamps are not read" if "(" in token else ""
            raise DataError(
                f"{where}: holds {token.strip()!r}, which is no number{hint}; write ? for a missing value"
            ) from None
    return numbers
