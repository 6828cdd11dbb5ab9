"""Predictions written chunk by chunk, as CSV or Parquet; the file is whole or not there."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO

import numpy as np
import pandas as pd
import pyarrow as pa
from pyarrow.parquet import ParquetWriter

from harness.errors import InputError
from harness.store.files import replacing
from harness.store.run import in_run

Write = Callable[[pd.DataFrame], None]
_PARQUET = (".parquet", ".pq")


def check_out(out: Path, *, force: bool, run: Path, data: Path) -> None:
    """Raise :class:`InputError` where ``out`` may not be written."""
    if out.suffix.lower() not in (".csv", *_PARQUET):
        raise InputError(f"{out}: ends neither in .csv nor in .parquet, which say how predictions are written")
    if in_run(out, run):
        raise InputError(f"{out}: is inside a run folder, which is left as it is; write to another folder")
    if out.resolve() == data.resolve():
        raise InputError(f"{out}: holds the samples themselves; write to another file")
    if out.is_dir():
        raise InputError(f"{out}: is a folder; name a file in it")
    if out.exists() and not force:
        raise InputError(f"{out}: is there already; --force replaces it")


@contextmanager
def written(out: Path | None) -> Iterator[Write]:
    """Yield what writes a chunk to a file, or as CSV to standard output."""
    if out is None:
        yield _csv(sys.stdout)
        return
    with replacing(out) as temporary:
        if out.suffix.lower() in _PARQUET:
            with _parquet(temporary) as write:
                yield write
        else:
            with temporary.open("x", encoding="utf-8", newline="") as file:
                yield _csv(file)


def _csv(file: TextIO) -> Write:
    header = True

    def write(frame: pd.DataFrame) -> None:
        nonlocal header
        texts = {name: _shortest(frame[name]) for name in frame.select_dtypes(np.floating).columns}
        frame.assign(**texts).to_csv(file, header=header, index=False, lineterminator="\n")
        header = False

    return write


def _shortest(numbers: pd.Series) -> Any:
    """Return the shortest texts that read back as these numbers, several times as fast as pandas does."""
    return pa.array(numbers).cast(pa.string()).to_numpy(zero_copy_only=False)


@contextmanager
def _parquet(path: Path) -> Iterator[Write]:
    writer: ParquetWriter | None = None

    def write(frame: pd.DataFrame) -> None:
        nonlocal writer
        table = pa.Table.from_pandas(frame, preserve_index=False).replace_schema_metadata(None)
        writer = writer or ParquetWriter(path, table.schema)
        writer.write_table(table)

    try:
        yield write
    finally:
        if writer is not None:
            writer.close()
