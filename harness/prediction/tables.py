"""Rows of CSV, JSON-lines and Parquet files: the columns that a model takes, by name, and the rows' own labels."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
from pyarrow.parquet import ParquetFile

from harness.data import check_columns, unknown_columns
from harness.data.asked_columns import columns_needed
from harness.data.sources.csv_file import find_layout, read_chunks
from harness.data.sources.decoding import UTF_8
from harness.data.sources.jsonl_file import jsonl_keys, read_jsonl_chunks
from harness.data.sources.names import one_form
from harness.data.sources.parquet_file import parquet_errors, typed_frame
from harness.data.sources.tables import check_duplicates, is_nameless
from harness.errors import DataError
from harness.prediction.samples import Chunk, Samples

_INDEX = re.compile(r"__index_level_\d+__")
"""What row labels are called in a Parquet file, at whatever place."""


class _Columns:
    """Which of a file's columns are taken."""

    def __init__(self, path: Path, names: Sequence[str], preprocessing: Mapping[str, Any]) -> None:
        self.names = [one_form(name) for name in names]
        check_duplicates(self.names, str(path))
        named = [name for name in self.names if not is_nameless(name)]
        try:
            check_columns(preprocessing, named)
        except DataError as error:
            raise DataError(f"{path}: {error}") from None
        # Elsewhere a column without a name is what separators at the ends of the lines make.
        nameless = (name for name in self.names if is_nameless(name))
        self._label = next((name for name in nameless if name == self.names[0] or _INDEX.fullmatch(name)), None)
        self.taken = [*columns_needed(preprocessing), *([] if self._label is None else [self._label])]
        extra = ", ".join(map(repr, unknown_columns(preprocessing, named)))
        self.notes = (f"{path}: columns that training did not learn from are ignored: {extra}",) if extra else ()

    def chunk(self, frame: pd.DataFrame, share: float) -> Chunk:
        """Return rows that have the taken columns."""
        labels = {} if self._label is None else {"row": frame[self._label].astype(str).to_numpy(dtype=object)}
        return Chunk(frame[self.taken], len(frame), labels, share)


def csv_samples(path: Path, preprocessing: Mapping[str, Any]) -> Samples:
    """Return the rows of a CSV file, in whatever form training would read it. Raises :class:`DataError`."""
    encoding = preprocessing.get("encoding", UTF_8)
    layout, _ = find_layout(path, preprocessing.get("separator", ""), encoding)
    if len(layout.header) == 1:  # not cut by what the task named, if it named any
        layout, _ = find_layout(path, encoding=encoding)
    columns = _Columns(path, layout.header, preprocessing)
    size = path.stat().st_size

    def chunks(rows: int) -> Iterator[Chunk]:
        for frame, read in read_chunks(layout, rows):
            yield columns.chunk(frame.set_axis(columns.names, axis="columns"), read / size)

    return Samples(str(path), chunks, lambda row: f"row {row + 1:,} (line {layout.line_of(row):,})", columns.notes)


def jsonl_samples(path: Path, preprocessing: Mapping[str, Any]) -> Samples:
    """Return the objects of a file of JSON lines. Raises :class:`DataError`."""
    encoding = preprocessing.get("encoding", UTF_8)
    names = jsonl_keys(path, encoding)
    columns = _Columns(path, names, preprocessing)
    size = path.stat().st_size

    def chunks(rows: int) -> Iterator[Chunk]:
        for frame, read in read_jsonl_chunks(path, encoding, rows):
            frame = frame.reindex(columns=names).set_axis(columns.names, axis="columns")
            yield columns.chunk(frame, read / size if size else 1.0)

    return Samples(str(path), chunks, notes=columns.notes)


def parquet_samples(path: Path, preprocessing: Mapping[str, Any]) -> Samples:
    """Return the rows of a Parquet file. Raises :class:`DataError`."""
    with parquet_errors(path), ParquetFile(path) as file:
        schema, total = file.schema_arrow, file.metadata.num_rows
    columns = _Columns(path, schema.names, preprocessing)
    taken = [name for name, known in zip(schema.names, columns.names, strict=True) if known in columns.taken]

    def chunk(table: Any, share: float) -> Chunk:
        return columns.chunk(typed_frame(table).rename(columns=one_form), share)

    def chunks(rows: int) -> Iterator[Chunk]:
        done = 0
        with parquet_errors(path), ParquetFile(path) as file:
            for batch in file.iter_batches(rows, columns=taken):
                done += len(batch)
                yield chunk(pa.Table.from_batches([batch]), done / total)
        if not total:
            yield chunk(schema.empty_table().select(taken), 1.0)

    return Samples(str(path), chunks, notes=columns.notes)
