"""Tables against tables, cell by cell."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from harness.errors import StorageError
from harness.integrity.contents import Contents
from harness.integrity.findings import Finding, shown
from harness.store import to_csv
from harness.store.files import read_file


def frame_differences(
    file: str, against: str, expected: pd.DataFrame, found: pd.DataFrame, keys: Sequence[str]
) -> Iterator[Finding]:
    """Yield a finding for each cell of the columns that both have; ``keys`` name a row, in the order of the rows.

    A version that wrote fewer columns is no damage.
    """
    rows, others = (list(map(tuple, frame[list(keys)].to_numpy().tolist())) for frame in (expected, found))
    if rows != others:
        odd = sorted(set(rows) ^ set(others))
        first = f"{' '.join(keys)} {' '.join(map(str, odd[0]))}" if odd else "their order"
        what = f"its rows are not those of {against} ({first})"
        yield Finding(file, what, f"{len(rows)} rows", f"{len(others)} rows")
        return
    for name in expected.columns:
        if name not in found.columns:
            continue
        for place in np.flatnonzero(_differ(expected[name], found[name])):
            row = " ".join(f"{key} {value}" for key, value in zip(keys, rows[place], strict=True))
            what = f"{name} of {row} is not that of {against}"
            yield Finding(file, what, shown(expected[name].iloc[place]), shown(found[name].iloc[place]))


def _differ(a: pd.Series, b: pd.Series) -> np.ndarray:
    """Return where two columns differ; what is missing is the same in both."""
    gone_a, gone_b = a.isna().tolist(), b.isna().tolist()
    cells = zip(gone_a, gone_b, a.tolist(), b.tolist(), strict=True)
    return np.array([gone != lost or (not gone and left != right) for gone, lost, left, right in cells], dtype=bool)


def check_csv(contents: Contents, csv_name: str, parquet_name: str) -> None:
    """Note where a table of the run and its CSV are not the same."""
    frame, text = contents.table(parquet_name), contents.read(csv_name, _read_text)
    if frame is not None and text is not None and (expected := to_csv(frame)) != text:
        contents.note(_csv_differences(csv_name, parquet_name, expected, text))


def _csv_differences(file: str, against: str, expected: str, found: str) -> Iterator[Finding]:
    """Yield the cells that are not the same; numbers may be written in another way."""
    rows, others = (list(csv.reader(io.StringIO(text, newline=""))) for text in (expected, found))
    if len(rows) != len(others) or rows[:1] != others[:1]:
        what = f"its head and rows are not those of {against}"
        yield Finding(file, what, f"{len(rows) - 1} rows", f"{len(others) - 1} rows")
        return
    for number, (row, other) in enumerate(zip(rows[1:], others[1:], strict=True), start=1):
        if len(row) != len(other):
            yield Finding(file, f"row {number} has not the cells of {against}", f"{len(row)} cells", f"{len(other)}")
            continue
        for name, cell, there in zip(rows[0], row, other, strict=True):
            if cell != there and not _equal_numbers(cell, there):
                yield Finding(file, f"{name} of row {number} is not that of {against}", shown(cell), shown(there))


def _equal_numbers(a: str, b: str) -> bool:
    try:
        return math.isclose(float(a), float(b), rel_tol=1e-15)
    except ValueError:
        return False


def _read_text(path: Path) -> str:
    try:
        return read_file(path, limit=None).decode()
    except UnicodeDecodeError:
        raise StorageError(f"{path}: is not UTF-8 text; the file is damaged") from None
