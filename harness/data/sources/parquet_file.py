"""Parquet files: tables whose columns have types."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from harness.data.files import existing_file
from harness.data.sources.source import Source, read_source
from harness.data.sources.tables import RawTable, check_duplicates, read_table
from harness.data.texts import row_of
from harness.digest import sha256_of_file
from harness.errors import DataError, first_line
from harness.spec.task import ParquetTask

_MARK = b"PAR1"
_INTEGERS: dict[pa.DataType, pd.api.extensions.ExtensionDtype] = {
    pa.int8(): pd.Int8Dtype(),
    pa.int16(): pd.Int16Dtype(),
    pa.int32(): pd.Int32Dtype(),
    pa.int64(): pd.Int64Dtype(),
    pa.uint8(): pd.UInt8Dtype(),
    pa.uint16(): pd.UInt16Dtype(),
    pa.uint32(): pd.UInt32Dtype(),
    pa.uint64(): pd.UInt64Dtype(),
}
"""Integers beside missing values stay integers: as floats, the large ones would merge."""


@read_source.register
def read_parquet(task: ParquetTask) -> Source:
    """Read the table of a task, and its test file behind it; :class:`DataError` when it cannot be used."""
    test = None if task.test is None else parquet_table(task.test.parquet)
    return read_table(task, parquet_table(task.parquet), test)


def parquet_table(path: Path) -> RawTable:
    """Return the rows of a file before any of it is understood. Raises :class:`DataError`."""
    path = existing_file(path)
    return RawTable(path.stem, str(path), _frame_of(path), row_of, sha256_of_file(path))


def is_parquet(path: Path) -> bool:
    """Tell whether a file is a Parquet file, by its name or by how it begins."""
    if path.suffix.lower() in (".parquet", ".pq"):
        return True
    with path.open("rb") as file:
        return file.read(len(_MARK)) == _MARK


def _frame_of(path: Path) -> pd.DataFrame:
    with parquet_errors(path):
        check_duplicates(pq.read_schema(path).names, str(path))
        return typed_frame(pq.read_table(path))


@contextmanager
def parquet_errors(path: Path) -> Iterator[None]:
    """Turn what Arrow says of a file into one line of :class:`DataError`."""
    try:
        yield
    except UnicodeEncodeError:
        raise DataError(f"{path}: has bytes in its path that are not UTF-8; rename it, or its folder") from None
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"{path}: is not a Parquet file that can be read ({first_line(error)})") from None


def typed_frame(table: Any) -> pd.DataFrame:
    """Return an Arrow table as a frame, without what pandas may have noted of it in its metadata."""
    frame: pd.DataFrame = table.replace_schema_metadata(None).to_pandas(types_mapper=_INTEGERS.get)
    return frame
