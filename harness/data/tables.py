"""Tables from CSV and Parquet files."""

from __future__ import annotations

import csv
import re
import warnings
from collections import Counter
from itertools import islice
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from pandas.api.types import is_float_dtype

from harness.data.columns import clean_columns
from harness.data.files import existing_file, sha256_of_file
from harness.data.source import Source
from harness.data.targets import encode_targets
from harness.errors import DataError, did_you_mean
from harness.spec.task import CsvTask, ParquetTask

_UNNAMED_INDEX = re.compile(r"__index_level_\d+__")
"""What pandas calls the row labels of a frame in a Parquet file."""


def read_table(task: CsvTask | ParquetTask) -> Source:
    """Read the table of a task; :class:`DataError`, with the file and what to do, when it cannot be used."""
    path = existing_file(task.csv if isinstance(task, CsvTask) else task.parquet)
    frame = _read_csv(path) if isinstance(task, CsvTask) else _read_parquet(path)
    if frame.empty:
        raise DataError(f"{path}: holds no rows; add some below the header")
    _check_names(task, frame, path)

    complete = frame[frame[task.target].notna()]
    if complete.empty:
        raise DataError(f"{path}: target {task.target!r} is missing in every row; name another column")
    column = _restore_integers(complete[task.target], had_missing=len(complete) < len(frame))
    targets, class_names, target_notes = encode_targets(column, task.kind, f"{path}: target {task.target!r}")
    features = complete.drop(columns=[task.target, *task.drop])
    inputs, notes = clean_columns(
        features,
        categorical=task.categorical,
        where=str(path),
        place=lambda row: f"line {_line_of(path, row)}" if isinstance(task, CsvTask) else f"row {row + 1}",
    )
    missing = len(frame) - len(complete)
    dropped = (f"{path}: {missing} rows without a value of {task.target!r}: dropped",) if missing else ()
    return Source(
        name=path.stem,
        inputs=inputs.reset_index(drop=True),
        targets=targets,
        class_names=class_names,
        fingerprint=sha256_of_file(path),
        rows=complete.index.to_numpy(np.int64),
        columns=tuple(features.columns),
        notes=(*dropped, *target_notes, *notes),
    )


def _read_csv(path: Path) -> pd.DataFrame:
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            header: list[str] = next(filter(None, csv.reader(file, skipinitialspace=True)), [])
        _check_duplicates(header, path)
        with warnings.catch_warnings():
            warnings.simplefilter("error", pd.errors.ParserWarning)  # a row longer than the header would lose data
            return pd.read_csv(path, encoding="utf-8", index_col=False, skipinitialspace=True, low_memory=False)
    except pd.errors.EmptyDataError:
        raise DataError(f"{path}: is empty; expected a header line and rows below it") from None
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: is not UTF-8 text ({error.reason}); save it as UTF-8") from None
    except (pd.errors.ParserError, pd.errors.ParserWarning, csv.Error) as error:
        raise DataError(f"{path}: is not a table with as many values in every line ({str(error).strip()})") from None


def _read_parquet(path: Path) -> pd.DataFrame:
    try:
        _check_duplicates(pq.read_schema(path).names, path)
        frame: pd.DataFrame = pq.read_table(path).replace_schema_metadata(None).to_pandas()
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"{path}: is not a Parquet file that can be read ({str(error).splitlines()[0]})") from None
    return frame.drop(columns=[name for name in frame.columns if _UNNAMED_INDEX.fullmatch(name)])


def _check_duplicates(names: list[str], path: Path) -> None:
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        raise DataError(f"{path}: has more than one column named {twice[0]!r}; rename all but one")


def _check_names(task: CsvTask | ParquetTask, frame: pd.DataFrame, path: Path) -> None:
    for key, names in (("target", (task.target,)), ("drop", task.drop), ("categorical", task.categorical)):
        for name in names:
            if name not in frame.columns:
                raise DataError(f"{path}: {key} {name!r} is not a column{did_you_mean(name, map(str, frame.columns))}")
            if key != "target" and name == task.target:
                raise DataError(f"{path}: the target {name!r} may not be under `{key}`; `kind` says how it is read")


def _restore_integers(column: pd.Series, *, had_missing: bool) -> pd.Series:
    """Undo what a missing value did to a column of integers: pandas reads it as floats."""
    if had_missing and is_float_dtype(column.dtype) and bool((column % 1 == 0).all()):
        return column.astype(np.int64)
    return column


def _line_of(path: Path, row: int) -> int:
    """Return the number, from 1, of the line where data row ``row`` ends; a quoted value may span several lines."""
    with path.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.reader(file, skipinitialspace=True)
        lines = (reader.line_num for record in reader if record not in ([], [""]))
        return next(islice(lines, row + 1, None), row + 2)
