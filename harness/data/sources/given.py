"""Data given from Python: a frame is taken as a Parquet file of it would be, arrays as those of an NPZ file."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from pandas.api.types import infer_dtype

from harness.data.sources.arrays import read_arrays
from harness.data.sources.names import one_form
from harness.data.sources.parquet_file import typed_frame
from harness.data.sources.source import Source, read_source
from harness.data.sources.tables import RawTable, check_duplicates, read_table
from harness.data.texts import row_of
from harness.errors import DataError, did_you_mean, first_line
from harness.spec.task import ArraysTask, FrameTask, TaskSpec

_WHERE = "data"
"""What messages call it."""
_KEYS = ("inputs", "targets")
_FORMS = "give a DataFrame with target=, a pair (inputs, targets), or {'inputs': ..., 'targets': ...}"


@dataclass(frozen=True, eq=False)
class Given:
    """Data from Python, with what a space file would say of it."""

    task: Mapping[str, Any]
    """The form of the task, under a name of its own, and the target of a frame."""
    frame: pd.DataFrame | None = None
    arrays: tuple[np.ndarray, np.ndarray] | None = None
    known: Mapping[str, Any] = field(default_factory=dict)
    """Fields of the source that whoever gives the data knows, such as the names of its classes."""

    def __str__(self) -> str:
        if self.frame is not None:
            return f"a frame of {len(self.frame):,} x {self.frame.shape[1]:,}"
        assert self.arrays is not None
        return f"arrays of {' x '.join(map(str, self.arrays[0].shape))}"

    def read(self, task: TaskSpec) -> Source:
        """Read the samples, as ``task`` says. Raises :class:`DataError`."""
        if isinstance(task, FrameTask) and self.frame is not None:
            return replace(read_table(task, _as_parquet(self.frame, task.frame)), **self.known)
        if isinstance(task, ArraysTask) and self.arrays is not None:
            return read_arrays(*self.arrays, task, task.label, _WHERE, _KEYS)
        raise DataError(f"{_WHERE}: is {self}, and the task is {task.source}: {task.label}; {_FORMS}")


def given(data: Any, target: str | Sequence[str] | None = None) -> Given:
    """Return data from Python as it is read; see :func:`harness.search` for its forms. Raises :class:`DataError`."""
    if isinstance(data, Mapping):
        if set(data) != set(_KEYS):
            odd = next((str(key) for key in data if key not in _KEYS), "")
            raise DataError(f"{_WHERE}: has the keys {sorted(map(str, data))}{did_you_mean(odd, _KEYS)}; {_FORMS}")
        data = (data["inputs"], data["targets"])
    if isinstance(data, tuple) and len(data) == 2:
        if isinstance(data[0], pd.DataFrame):
            return _with_targets(*data, target)
        if target is not None:
            raise DataError(
                f"target {target!r}: names a column of a DataFrame; these are arrays, with targets beside them"
            )
        return Given({"arrays": _WHERE}, arrays=(_array(data[0], "inputs"), _array(data[1], "targets")))
    if not isinstance(data, pd.DataFrame):
        raise DataError(f"{_WHERE}: is of type {type(data).__name__}; {_FORMS}")
    return Given({"frame": _WHERE, **({"target": target} if target is not None else {})}, frame=data)


def _with_targets(frame: pd.DataFrame, targets: Any, target: str | Sequence[str] | None) -> Given:
    """Return a frame with its targets, of the same order, as further columns."""
    if isinstance(targets, pd.DataFrame):
        beside = targets
    else:
        column = targets if isinstance(targets, pd.Series) else pd.Series(_array(targets, "targets", 1))
        beside = column.to_frame("target" if column.name is None else column.name)
    names = list(map(str, beside.columns)) if target is None else [target] if isinstance(target, str) else list(target)
    if len(names) != beside.shape[1]:
        raise DataError(f"{_WHERE}: has {beside.shape[1]} columns of targets, and `target` names {len(names)}")
    if len(beside) != len(frame):
        raise DataError(f"{_WHERE}: has {len(frame):,} inputs and {len(beside):,} targets; give one for each")
    for name in names:
        if one_form(name) in map(one_form, frame.columns):
            raise DataError(
                f"{_WHERE}: the inputs have a column {name!r}, as the targets are called; drop or rename it"
            )
    whole = pd.concat([frame, beside.set_axis(names, axis="columns").set_axis(frame.index)], axis="columns")
    return Given({"frame": _WHERE, "target": names[0] if len(names) == 1 else names}, frame=whole)


def _array(values: Any, what: str, dimensions: int | None = None) -> np.ndarray:
    try:
        array = np.asarray(values)
    except (ValueError, TypeError, RuntimeError) as error:
        raise DataError(f"{_WHERE}: {what!r} cannot be made an array ({first_line(error)}); {_FORMS}") from None
    if dimensions is not None and array.ndim != dimensions:
        raise DataError(f"{_WHERE}: {what!r} has the shape {array.shape}, expected one value for each sample")
    return (
        array.astype(str) if array.dtype == object and infer_dtype(array.ravel(), skipna=False) == "string" else array
    )


def _as_parquet(frame: pd.DataFrame, name: str) -> RawTable:
    """Return the rows of a frame as they would be read from a Parquet file of it."""
    names = [str(column) for column in frame.columns]
    check_duplicates(names, _WHERE)
    file = io.BytesIO()
    try:
        pq.write_table(pa.Table.from_pandas(frame.set_axis(names, axis="columns")), file)
        table = pq.read_table(file).replace_schema_metadata(None)
    except (pa.ArrowException, ValueError, TypeError, OverflowError) as error:
        reason = " ".join(str(part) for part in error.args) or type(error).__name__
        raise DataError(
            f"{_WHERE}: cannot be taken as a table ({reason}); give each column values of one type"
        ) from None
    return RawTable(name, _WHERE, typed_frame(table), row_of, _digest(table))


def _digest(table: Any) -> str:
    """Return the sha256 of the columns of a table, their names, types and values."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as stream:
        stream.write_table(table.combine_chunks())
    return hashlib.sha256(sink.getvalue()).hexdigest()


@read_source.register
def read_again(task: FrameTask | ArraysTask) -> Source:
    """Refuse a task whose data was given from Python where it is not given again."""
    raise DataError(
        f"{task.source} {task.label!r}: this task's data was given from Python and is in no file;"
        " give it again: harness.search(..., data=...)"
    )
