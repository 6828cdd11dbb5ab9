"""Tables from CSV and Parquet files."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from pandas.api.types import is_float_dtype, is_numeric_dtype

from harness.data.columns import Place, Reading, as_text, clean_columns, holds_dates, in_order, is_text
from harness.data.files import existing_file, sha256_of_bytes, sha256_of_file
from harness.data.numbers import Style, decimal_evidence
from harness.data.sources.csv_file import read_csv_file
from harness.data.sources.names import one_form
from harness.data.sources.source import Source
from harness.data.targets import encode_targets
from harness.errors import DataError, did_you_mean
from harness.spec.task import CsvTask, ParquetTask

_UNNAMED_INDEX = re.compile(r"__index_level_\d+__|Unnamed: \d+|")
"""What pandas calls row labels: in a Parquet file, in a CSV file that was saved twice, and in one saved once."""
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

Task = CsvTask | ParquetTask


@dataclass(frozen=True)
class _Raw:
    """The rows of one file or two, before any of it is understood; columns have their names in one form."""

    path: Path
    frame: pd.DataFrame
    place: Place
    fingerprint: str
    labels: np.ndarray | None = None
    """The row labels, where the file has such a column without a name."""
    notes: tuple[str, ...] = ()
    test_rows: int = 0
    """So many of the last rows are from the task's test file."""

    @property
    def positions(self) -> np.ndarray:
        """Where each row stands in its own file."""
        rows = np.arange(len(self.frame))
        return np.where(rows < len(rows) - self.test_rows, rows, rows - (len(rows) - self.test_rows))


def read_table(task: Task) -> Source:
    """Read the table of a task; :class:`DataError`, with the file and what to do, when it cannot be used."""
    raw = _read_all(task)
    target = one_form(task.target)
    where = f"{raw.path}: target {task.target!r}"
    present = raw.frame[target].notna().to_numpy()
    complete = raw.frame[present]
    if complete.empty:
        raise DataError(f"{raw.path}: target {task.target!r} is missing in every row; name another column")
    missing = int((~present).sum())
    reading = _reading(task, raw, complete)
    column = _restore_integers(complete[target], had_missing=missing > 0)
    targets, class_names, target_notes = encode_targets(column, task.kind, where, reading)
    order = _order(task, complete, reading)
    features = complete.drop(columns=list(_not_learnt_from(task, complete, reading)))
    inputs, notes = clean_columns(features, reading)
    dropped = (f"{raw.path}: {missing} rows without a value of {task.target!r}: dropped",) if missing else ()
    return Source(
        name=raw.path.stem,
        inputs=inputs.reset_index(drop=True),
        targets=targets,
        class_names=class_names,
        fingerprint=raw.fingerprint,
        rows=raw.positions[present],
        labels=None if raw.labels is None else raw.labels[present],
        columns=tuple(features.columns),
        official_test=int(present[len(present) - raw.test_rows :].sum()) if raw.test_rows else 0,
        groups=None if task.split.group is None else as_text(complete[one_form(task.split.group)]),
        order=order,
        notes=(*raw.notes, *dropped, *target_notes, *_about_time(task, complete, reading), *notes),
    )


def _read_all(task: Task) -> _Raw:
    """Read the file of a task, and its test file behind it."""
    raw = _read(existing_file(task.csv if isinstance(task, CsvTask) else task.parquet), task)
    if raw.frame.empty:
        raise DataError(f"{raw.path}: holds no rows; add some below the header")
    _check_names(task, raw.frame, raw.path)
    if task.test is None:
        return raw
    test = _read(existing_file(task.test.csv if isinstance(task, CsvTask) else task.test.parquet), task)
    for name in raw.frame.columns:
        if name not in test.frame.columns:
            raise DataError(f"{test.path}: has no column {name!r} as {raw.path} has; a test file has the same columns")
    extra = [name for name in test.frame.columns if name not in raw.frame.columns]
    told = (f"{test.path}: column {extra[0]!r} is not in {raw.path}: left out",) if extra else ()
    first = len(raw.frame)
    return _Raw(
        path=raw.path,
        frame=pd.concat([raw.frame, test.frame[list(raw.frame.columns)]], ignore_index=True),
        place=lambda row: raw.place(row) if row < first else f"{test.place(row - first)} of {test.path}",
        fingerprint=sha256_of_bytes(f"{raw.fingerprint}{test.fingerprint}".encode()),
        notes=(*raw.notes, *test.notes, *told),
        test_rows=len(test.frame),
    )


def _read(path: Path, task: Task) -> _Raw:
    """Read one file; what stands for a missing value is missing."""
    if isinstance(task, CsvTask):
        frame, layout, notes = read_csv_file(path, task.separator)

        def place(row: int) -> str:
            return f"line {layout.line_of(row)}"
    else:
        frame, notes = _read_parquet(path), ()

        def place(row: int) -> str:
            return f"row {row + 1}"

    names = [one_form(name) for name in frame.columns]
    _check_duplicates(names, path)
    frame.columns = pd.Index(names)
    frame, labels, told = _without_index(frame, path)
    for name in frame.columns:
        frame[name] = _with_missing(frame[name], {*task.stand_for_missing(name)})
    return _Raw(path, frame, place, sha256_of_file(path), labels, (*notes, *told))


def _read_parquet(path: Path) -> pd.DataFrame:
    try:
        _check_duplicates(pq.read_schema(path).names, path)
        frame: pd.DataFrame = pq.read_table(path).replace_schema_metadata(None).to_pandas(types_mapper=_INTEGERS.get)
    except UnicodeEncodeError:
        raise DataError(f"{path}: has bytes in its path that are not UTF-8; rename it, or its folder") from None
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"{path}: is not a Parquet file that can be read ({str(error).splitlines()[0]})") from None
    return frame


def _without_index(frame: pd.DataFrame, path: Path) -> tuple[pd.DataFrame, np.ndarray | None, tuple[str, ...]]:
    """Take out the columns without a name: the row labels of a saved frame, or what trailing separators make."""
    nameless = [name for name in frame.columns if _UNNAMED_INDEX.fullmatch(name)]
    notes = []
    labels = None
    for name in nameless:
        column = frame[name]
        filled = column.notna() & (column != "") if is_text(column) else column.notna()
        if not filled.any():
            notes.append(f"{path}: a column without a name is empty: dropped")
            continue
        labels = column.astype(str).to_numpy(dtype=object)
        hint = "; name it to learn from its dates" if holds_dates(column[filled]) else ""
        notes.append(f"{path}: a column without a name holds row labels: not learnt from{hint}")
    return frame.drop(columns=nameless), labels, tuple(notes)


def _with_missing(column: pd.Series, words: Collection[str]) -> pd.Series:
    """Return a column in which empty text, and what the task says, is missing."""
    if is_text(column):
        stripped = column.str.strip()
        return column.mask((stripped == "") | stripped.isin(words)) if len(column) else column
    numbers = [float(word) for word in words if _is_number(word)]
    if numbers and is_numeric_dtype(column.dtype):
        return column.mask(column.isin(numbers))
    return column


def _is_number(word: str) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return True


def _check_duplicates(names: list[str], path: Path) -> None:
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        raise DataError(f"{path}: has more than one column named {twice[0]!r}; rename all but one")


def _check_names(task: Task, frame: pd.DataFrame, path: Path) -> None:
    """Check every column that the task names."""
    target = one_form(task.target)
    for key, names in (("target", (task.target,)), *_named_columns(task)):
        for name in names:
            if one_form(name) not in frame.columns:
                raise DataError(f"{path}: {key} {name!r} is not a column{_known(name, frame)}")
            if key in ("drop", "categorical", "dates", "split.group") and one_form(name) == target:
                raise DataError(f"{path}: the target {name!r} may not be under `{key}`; `kind` says how it is read")
    both = {one_form(name) for name in task.categorical} & {one_form(name) for name in task.dates}
    if both:
        raise DataError(f"{path}: column {min(both)!r} is under `categorical` and under `dates`; keep one of them")


def _named_columns(task: Task) -> Iterator[tuple[str, Collection[str]]]:
    yield from (("drop", task.drop), ("categorical", task.categorical), ("dates", task.dates))
    if isinstance(task.missing, dict):
        yield "missing", task.missing
    for key in ("group", "order"):
        if (name := getattr(task.split, key)) is not None:
            yield f"split.{key}", (name,)


def _known(name: str, frame: pd.DataFrame) -> str:
    if len(frame.columns) == 1:
        return f"; the only one is {frame.columns[0]!r}: if the values are not separated by commas, say `separator:`"
    return did_you_mean(name, map(str, frame.columns))


def _reading(task: Task, raw: _Raw, frame: pd.DataFrame) -> Reading:
    """Return how the columns are read; what one of them tells of decimal marks counts for the others."""
    style = Style(task.decimal, task.thousands)
    dropped = {one_form(name) for name in (*task.drop, *task.dates)}
    texts = [frame[name] for name in frame.columns if name not in dropped and is_text(frame[name])]
    return Reading(
        where=str(raw.path),
        place=raw.place,
        style=style,
        hints=frozenset().union(*map(decimal_evidence, texts)),
        categorical={one_form(name) for name in task.categorical},
        dates={one_form(name): form for name, form in task.dates.items()},
    )


def _not_learnt_from(task: Task, frame: pd.DataFrame, reading: Reading) -> set[str]:
    """Return the target, what is dropped, and columns that only say how the rows are split."""
    names = {one_form(name) for name in (task.target, *task.drop)}
    if task.split.group is not None:
        names.add(one_form(task.split.group))
    if task.split.order is not None:
        order = one_form(task.split.order)
        if order not in reading.dates and holds_dates(frame[order].dropna()):
            names.add(order)
    return names


def _order(task: Task, frame: pd.DataFrame, reading: Reading) -> np.ndarray | None:
    """Return numbers by which the rows are in order, where the task asks for it."""
    if task.split.order is None:
        return None
    name = one_form(task.split.order)
    label = f"{reading.where}: split.order {task.split.order!r}"
    return in_order(frame[name], label, reading)


def _about_time(task: Task, frame: pd.DataFrame, reading: Reading) -> Iterator[str]:
    """Yield a note where rows have dates and the parts are drawn at random all the same."""
    if task.split.order is not None or task.test is not None:
        return
    for name in [one_form(name) for name in task.drop if one_form(name) not in reading.dates] + list(reading.dates):
        column = frame[name].dropna()
        if name in reading.dates or (len(column) and holds_dates(column)):
            yield (
                f"{reading.where}: column {name!r} holds dates, and the parts are drawn at random: training sees rows"
                f" later than those it is tested on; `split: {{order: {name}}}` makes the last rows the test part"
            )


def _restore_integers(column: pd.Series, *, had_missing: bool) -> pd.Series:
    """Undo what a missing value did to a column of integers: pandas reads it as floats."""
    if had_missing and is_float_dtype(column.dtype) and bool((column % 1 == 0).all()):
        return column.astype(np.int64)
    return column
