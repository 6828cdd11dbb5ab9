"""The column of a table that holds the texts which are learnt from."""

from __future__ import annotations

import numpy as np
import pandas as pd

from harness.data.columns import Reading
from harness.data.numbers import Numbers, read_numbers
from harness.data.raw_texts import Texts, text_series
from harness.data.sources.names import one_form
from harness.data.texts import is_text
from harness.errors import DataError
from harness.spec.task import TableTask


def texts_of(task: TableTask, features: pd.DataFrame, reading: Reading) -> tuple[Texts, tuple[str, ...]]:
    """Return the texts of a table, with notes. Raises :class:`DataError` where the column holds no texts."""
    name = one_form(task.text)
    where = f"{reading.where}: text {task.text!r}"
    if name not in features.columns:
        raise DataError(
            f"{where} says how rows are split or is under `drop`, and is not learnt from; use another column"
        )
    column = features[name]
    _check_holds_texts(column, where, reading)
    empty = column.isna().to_numpy()
    if empty.all():
        raise DataError(f"{where} is empty in every row; name another column")
    notes = []
    if empty.any():
        row = int(np.argmax(empty))
        notes.append(f"{where} is empty in {int(empty.sum()):,} rows, the first at {reading.at(column, row)}")
    others = [repr(other) for other in features.columns if other != name]
    if others:
        notes.append(f"{where} alone is learnt from; other columns are ignored: {', '.join(others)}")
    return Texts(text_series(column.astype(object).where(~empty, "")), task.reading, name), tuple(notes)


def _check_holds_texts(column: pd.Series, where: str, reading: Reading) -> None:
    if not is_text(column):
        raise DataError(
            f"{where} holds {column.dtype}, not texts; name a column of texts, or learn from a table: no `text`"
        )
    if isinstance(read_numbers(column.dropna(), reading.style, reading.hints), Numbers):
        raise DataError(f"{where} holds numbers alone; name a column of texts, or learn from a table: no `text`")
