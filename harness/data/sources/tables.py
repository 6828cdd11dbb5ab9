"""Tables, from wherever their rows come: names, row labels, missing values, the target, and how the rows are split."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from pandas.api.types import is_float_dtype

from harness.data.columns import Place, Reading, clean_columns, holds_dates, in_order
from harness.data.files import sha256_of_bytes
from harness.data.numbers import Style, decimal_evidence
from harness.data.raw_texts import Texts
from harness.data.sources.decoding import UTF_8, is_utf_8
from harness.data.sources.names import one_form
from harness.data.sources.source import Source
from harness.data.sources.text_column import texts_of
from harness.data.targets import encode_columns
from harness.data.texts import as_text, is_text, with_missing
from harness.errors import DataError, did_you_mean
from harness.spec.task import TableTask

_UNNAMED_INDEX = re.compile(r"__index_level_\d+__|Unnamed: \d+|")
"""What pandas calls row labels: in a Parquet file, in a CSV file that was saved twice, and in one saved once."""


@dataclass(frozen=True)
class RawTable:
    """The rows of one table or two, before any of it is understood."""

    name: str
    where: str
    """The file or whatever it is, for messages."""
    frame: pd.DataFrame
    place: Place
    fingerprint: str
    notes: tuple[str, ...] = ()
    labels: np.ndarray | None = None
    """The row labels, where there is a column of them without a name."""
    test_rows: int = 0
    """So many of the last rows are from the task's test file."""
    encoding: str = UTF_8
    """How the bytes of its file stand for characters."""

    @property
    def positions(self) -> np.ndarray:
        """Where each row stands in its own file."""
        rows = np.arange(len(self.frame))
        return np.where(rows < len(rows) - self.test_rows, rows, rows - (len(rows) - self.test_rows))


def read_table(task: TableTask, raw: RawTable, test: RawTable | None = None) -> Source:
    """Understand the table of a task, and its test rows; :class:`DataError`, with what to do, where it cannot be."""
    raw = _joined(task, raw, test)
    targets = [one_form(name) for name in task.targets]
    said = ", ".join(map(repr, task.targets))
    where = f"{raw.where}: target {said}"
    present = raw.frame[targets].notna().all(axis=1).to_numpy()
    complete = raw.frame[present]
    if complete.empty:
        raise DataError(f"{where} is missing in every row; name another column")
    missing = int((~present).sum())
    reading = _reading(task, raw, complete)
    columns = [_restore_integers(complete[name], had_missing=missing > 0) for name in targets]
    encoded = encode_columns(columns, task.kind, where, reading, task.classes)
    order = _order(task, complete, reading)
    features = complete.drop(columns=list(_not_learnt_from(task, complete, reading)))
    learnt = _learnt(task, features, reading)
    dropped = (f"{raw.where}: {missing} rows without a value of {said}: dropped",) if missing else ()
    return Source(
        name=raw.name,
        inputs=learnt.inputs,
        targets=encoded.targets,
        class_names=encoded.class_names,
        value_names=tuple(targets) if len(targets) > 1 else (),
        problem=task.kind,
        target=", ".join(targets),
        fingerprint=raw.fingerprint,
        rows=raw.positions[present],
        labels=None if raw.labels is None else raw.labels[present],
        columns=tuple(features.columns),
        official_test=int(present[len(present) - raw.test_rows :].sum()) if raw.test_rows else 0,
        groups=None if task.split.group is None else as_text(complete[one_form(task.split.group)]),
        order=order,
        notes=(*raw.notes, *dropped, *encoded.notes, *_about_time(task, raw, complete, reading), *learnt.notes),
        reading=learnt.reading,
        encoding="" if is_utf_8(raw.encoding) else raw.encoding,
    )


class _Learnt(NamedTuple):
    inputs: pd.DataFrame | Texts
    notes: tuple[str, ...]
    reading: Mapping[str, Any]


def _learnt(task: TableTask, features: pd.DataFrame, reading: Reading) -> _Learnt:
    """Return what is learnt from: the columns, or the texts of one of them."""
    if task.text is not None:
        return _Learnt(*texts_of(task, features, reading), {})
    cleaned = clean_columns(features, reading)
    return _Learnt(cleaned.frame.reset_index(drop=True), cleaned.notes, cleaned.reading)


def _joined(task: TableTask, raw: RawTable, test: RawTable | None) -> RawTable:
    """Return the rows of a task with those of its test file behind them."""
    raw = _tidied(task, raw)
    if raw.frame.empty:
        raise DataError(f"{raw.where}: holds no rows; add some below the header")
    _check_names(task, raw.frame, raw.where)
    if test is None:
        return raw
    test = _tidied(task, test)
    for name in raw.frame.columns:
        if name not in test.frame.columns:
            raise DataError(
                f"{test.where}: has no column {name!r} as {raw.where} has; a test file has the same columns"
            )
    extra = [name for name in test.frame.columns if name not in raw.frame.columns]
    notes = (f"{test.where}: column {extra[0]!r} is not in {raw.where}: left out",) if extra else ()
    first, places = len(raw.frame), (raw.place, test.place)
    return replace(
        raw,
        frame=pd.concat([raw.frame, test.frame[list(raw.frame.columns)]], ignore_index=True),
        place=lambda row: places[0](row) if row < first else f"{places[1](row - first)} of {test.where}",
        fingerprint=sha256_of_bytes(f"{raw.fingerprint}{test.fingerprint}".encode()),
        notes=(*raw.notes, *test.notes, *notes),
        labels=None,
        test_rows=len(test.frame),
    )


def _tidied(task: TableTask, raw: RawTable) -> RawTable:
    """Return the rows with their columns' names in one form; what stands for a missing value is missing."""
    names = [one_form(name) for name in raw.frame.columns]
    check_duplicates(names, raw.where)
    frame, labels, notes = _without_index(raw.frame.set_axis(names, axis="columns"), raw.where)
    for name in frame.columns:
        frame[name] = with_missing(frame[name], task.stand_for_missing(name))
    return replace(raw, frame=frame, labels=labels, notes=(*raw.notes, *notes))


def is_nameless(name: str) -> bool:
    """Tell whether a column has no name of its own: it holds row labels, or nothing."""
    return _UNNAMED_INDEX.fullmatch(name) is not None


def _without_index(frame: pd.DataFrame, where: str) -> tuple[pd.DataFrame, np.ndarray | None, tuple[str, ...]]:
    """Take out the columns without a name: the row labels of a saved frame, or what trailing separators make."""
    nameless = [name for name in frame.columns if is_nameless(name)]
    notes = []
    labels = None
    for name in nameless:
        column = frame[name]
        filled = column.notna() & (column != "") if is_text(column) else column.notna()
        if not filled.any():
            notes.append(f"{where}: a column without a name is empty: dropped")
            continue
        labels = column.astype(str).to_numpy(dtype=object)
        hint = "; name it to learn from its dates" if holds_dates(column[filled]) else ""
        notes.append(f"{where}: a column without a name holds row labels: not learnt from{hint}")
    return frame.drop(columns=nameless), labels, tuple(notes)


def check_duplicates(names: list[str], where: str) -> None:
    """Raise :class:`DataError` where two columns have one name."""
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        raise DataError(f"{where}: has more than one column named {twice[0]!r}; rename all but one")


def _check_names(task: TableTask, frame: pd.DataFrame, where: str) -> None:
    """Check every column that the task names."""
    targets = {one_form(name) for name in task.targets}
    text = () if task.text is None else (task.text,)
    for key, names in (("target", task.targets), ("text", text), *_named_columns(task)):
        for name in names:
            if one_form(name) not in frame.columns:
                raise DataError(f"{where}: {key} {name!r} is not a column{_known(name, frame)}")
            if key in ("text", "drop", "categorical", "dates", "split.group") and one_form(name) in targets:
                raise DataError(f"{where}: the target {name!r} may not be under `{key}`; `kind` says how it is read")
    both = {one_form(name) for name in task.categorical} & {one_form(name) for name in task.dates}
    if both:
        raise DataError(f"{where}: column {min(both)!r} is under `categorical` and under `dates`; keep one of them")


def _named_columns(task: TableTask) -> Iterator[tuple[str, Collection[str]]]:
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


def _reading(task: TableTask, raw: RawTable, frame: pd.DataFrame) -> Reading:
    """Return how the columns are read; what one of them tells of decimal marks counts for the others."""
    style = Style(task.decimal, task.thousands)
    dropped = {one_form(name) for name in (*task.drop, *task.dates)}
    texts = [frame[name] for name in frame.columns if name not in dropped and is_text(frame[name])]
    return Reading(
        where=raw.where,
        place=raw.place,
        style=style,
        hints=frozenset().union(*map(decimal_evidence, texts)),
        categorical={one_form(name) for name in task.categorical},
        dates={one_form(name): form for name, form in task.dates.items()},
        missing=task.stand_for_missing,
    )


def _not_learnt_from(task: TableTask, frame: pd.DataFrame, reading: Reading) -> set[str]:
    """Return the target, what is dropped, and columns that only say how the rows are split."""
    names = {one_form(name) for name in (*task.targets, *task.drop)}
    if task.split.group is not None:
        names.add(one_form(task.split.group))
    if task.split.order is not None:
        order = one_form(task.split.order)
        if order not in reading.dates and holds_dates(frame[order].dropna()):
            names.add(order)
    return names


def _order(task: TableTask, frame: pd.DataFrame, reading: Reading) -> np.ndarray | None:
    """Return numbers by which the rows are in order, where the task asks for it."""
    if task.split.order is None:
        return None
    name = one_form(task.split.order)
    label = f"{reading.where}: split.order {task.split.order!r}"
    return in_order(frame[name], label, reading)


def _about_time(task: TableTask, raw: RawTable, frame: pd.DataFrame, reading: Reading) -> Iterator[str]:
    """Yield a note where rows have dates and the parts are drawn at random all the same."""
    if task.split.order is not None or raw.test_rows:
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
