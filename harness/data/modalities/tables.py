"""Tables: float32 numbers ``x_NF`` and, where there are categories, their codes ``c_NK``.

Dates become calendar numbers, missing numbers the median, numbers are standardised, categories become codes from 1 in
sorted order with 0 for unknown and missing ones. A column that is the same in every sample it is fitted on is left out,
and a value that lies further from those samples than half of their range is taken as if it lay just there: a network
has learnt nothing of what is beyond.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, ClassVar, Literal, NotRequired

import numpy as np
import pandas as pd
from pydantic import Field
from typing_extensions import TypedDict, override

from harness.data.asked_columns import check_columns
from harness.data.columns import ColumnReading
from harness.data.dates import calendars
from harness.data.features import Features, evenly
from harness.data.fitted import Target
from harness.data.modalities.raw import as_array
from harness.data.modalities.table_fitting import fit_table
from harness.data.modality import Modality, Prepared
from harness.data.reread import reread
from harness.data.sources.names import one_form
from harness.data.sources.tables import check_duplicates
from harness.data.unusual import Unusual, add
from harness.errors import DataError
from harness.records import Input, table_inputs
from harness.spec.text_reading import Encoding


class Number(TypedDict):
    """A column of numbers, or a number of a date's calendar; from the ends on all is of the standardised values.

    ``distribution`` are quantiles at equal distances, repeated ones included.
    """

    column: str
    median: float
    mean: float
    scale: float
    low: NotRequired[float]
    high: NotRequired[float]
    quantiles: NotRequired[list[float]]
    distribution: NotRequired[list[float]]


class Categories(TypedDict):
    """A column of categories, in the order of their codes from 1, and how many training samples have each."""

    column: str
    categories: list[str]
    counts: NotRequired[list[int]]


class Dates(TypedDict):
    """A column of dates, and the first of them in training."""

    column: str
    first: str


class Table(TypedDict):
    """Of a table. ``columns`` are all in their order, ``reading`` is how those that are learnt from were read.

    ``array`` is what they were called in a file of arrays, ``separator`` and ``encoding`` what the task says of its
    file.
    """

    inputs: Literal["table"]
    columns: list[str]
    dates: NotRequired[list[Dates]]
    numeric: list[Number]
    categorical: list[Categories]
    left_out: NotRequired[list[str]]
    array: NotRequired[str]
    separator: NotRequired[Annotated[str, Field(max_length=1)]]
    encoding: NotRequired[Encoding]
    reading: NotRequired[dict[str, ColumnReading]]
    target: Target


class TableModality(Modality[pd.DataFrame]):
    """Columns of float64 numbers, datetime64 or text."""

    name = "table"
    raw = pd.DataFrame
    form: ClassVar[type] = Table

    @override
    def take(self, raw: pd.DataFrame, rows: np.ndarray, what: str) -> pd.DataFrame:
        """Return some rows, numbered anew."""
        return raw.iloc[rows].reset_index(drop=True)

    def alike(self, raw: pd.DataFrame) -> np.ndarray:
        """Tell identical rows by their hashes, missing values included."""
        return np.unique(pd.util.hash_pandas_object(raw, index=False).to_numpy(), return_inverse=True)[1]

    def fit(self, raw: pd.DataFrame, rows: np.ndarray, what: str) -> dict[str, Any]:
        """Return what numbers, dates and categories are in some rows."""
        return fit_table(raw.iloc[rows], what)

    def inputs(self, fitted: Mapping[str, Any]) -> tuple[Input, ...]:
        """Return the numbers and, where there are any, the categories."""
        numeric, categorical = fitted["numeric"], fitted["categorical"]
        return table_inputs(
            len(numeric),
            cardinalities=tuple(len(column["categories"]) + 1 for column in categorical),
            quantiles=tuple(tuple(column.get("quantiles", ())) for column in numeric),
            distribution=tuple(tuple(column.get("distribution", ())) for column in numeric),
            counts=tuple(tuple(column.get("counts", ())) for column in categorical),
        )

    def prepare(self, fitted: Mapping[str, Any], raw: Any, unusual: Unusual) -> Prepared:
        """Return numbers and codes; a table may have more columns than training's, and in another order."""
        return Prepared(_table(fitted, _as_frame(fitted, raw), unusual))

    def width(self, fitted: Mapping[str, Any]) -> int:
        """Return the number of columns."""
        return len(fitted["columns"])

    @override
    def remarks(self, fitted: Mapping[str, Any]) -> tuple[str, ...]:
        """Say which columns say nothing in the training part; of a date only what varies is used anyway."""
        names = [name for name in fitted["left_out"] if name in fitted["columns"]]
        return tuple(f"column {name!r} is the same in every training sample: left out" for name in names)

    @override
    def columns(self, fitted: Mapping[str, Any]) -> list[str]:
        """Return dates, numbers and categories; what a date became is not in the table."""
        dates = [each["column"] for each in fitted.get("dates", ())]
        learnt = (each["column"] for each in (*fitted["numeric"], *fitted["categorical"]))
        return [*dates, *(name for name in learnt if name.rpartition(": ")[0] not in dates)]

    @override
    def features(self, fitted: Mapping[str, Any], inputs: Sequence[np.ndarray]) -> Features:
        """Return the columns themselves."""
        numbers, *codes = inputs
        some = evenly(numbers.shape[1])
        numeric, categorical = fitted["numeric"][some], fitted["categorical"]
        return Features(
            numbers[:, some],
            names=tuple(str(each["column"]) for each in (*numeric, *categorical)),
            codes=codes[0] if codes else np.empty((len(numbers), 0), np.int64),
            units=([each["mean"] for each in numeric], [each["scale"] for each in numeric]),
        )

    def beyond_training(self, fitted: Mapping[str, Any], raw: pd.DataFrame, rows: np.ndarray) -> dict[str, int]:
        """Return the clipped values of each number."""
        unusual = Unusual()
        _numbers_in(fitted, _as_frame(fitted, raw.iloc[rows]), unusual)
        return dict(unusual.clipped)


def _table(preprocessing: Mapping[str, Any], frame: pd.DataFrame, unusual: Unusual) -> tuple[np.ndarray, ...]:
    x_NF = _numbers_in(preprocessing, frame, unusual)
    categorical: Sequence[Mapping[str, Any]] = preprocessing["categorical"]
    if not categorical:
        return (x_NF,)
    codes_NK = np.empty((len(frame), len(categorical)), np.int64)
    for place, fitted in enumerate(categorical):
        name = fitted["column"]
        texts = _reread(preprocessing, frame, name, "categories")
        codes_NK[:, place] = pd.Index(fitted["categories"]).get_indexer(texts) + 1
        missing = pd.isna(texts)
        add(unusual.missing, name, missing)
        add(unusual.unseen, name, (codes_NK[:, place] == 0) & ~missing)
    return x_NF, codes_NK


def _numbers_in(preprocessing: Mapping[str, Any], frame: pd.DataFrame, unusual: Unusual) -> np.ndarray:
    """Return float32 ``x_NF``, imputed, standardised and clipped."""
    days: Sequence[Mapping[str, Any]] = preprocessing.get("dates", ())
    numeric: Sequence[Mapping[str, Any]] = preprocessing["numeric"]
    dates = {fitted["column"]: _reread(preprocessing, frame, fitted["column"], "dates") for fitted in days}
    for name, values in dates.items():
        add(unusual.missing, name, np.isnat(values))
    derived = calendars(pd.DataFrame(dates, index=frame.index), days)
    x_NF = np.empty((len(frame), len(numeric)), np.float32)
    for place, fitted in enumerate(numeric):
        name = fitted["column"]
        values = derived[name] if name in derived else _reread(preprocessing, frame, name, "numbers")
        missing = np.isnan(values)
        if name not in derived:
            add(unusual.missing, name, missing)
        values = np.where(missing, fitted["median"], values)
        with np.errstate(over="ignore", invalid="ignore"):
            values = (values - fitted["mean"]) / fitted["scale"]
        low, high = fitted.get("low", -np.inf), fitted.get("high", np.inf)
        add(unusual.clipped, name, (values < low) | (values > high))
        x_NF[:, place] = np.clip(values, low, high)
    return x_NF


def _reread(preprocessing: Mapping[str, Any], frame: pd.DataFrame, name: str, role: str) -> np.ndarray:
    """Return a column as it was read for training; runs of versions that did not note how have the usual way."""
    return reread(frame[name], ColumnReading(**{**preprocessing.get("reading", {}).get(name, {}), "role": role}))


def _as_frame(preprocessing: Mapping[str, Any], raw: Any) -> pd.DataFrame:
    """Return raw samples as a table; :class:`DataError` unless it has every column that is learnt from."""
    columns: Sequence[str] = preprocessing["columns"]
    if not isinstance(raw, pd.DataFrame):
        raw = as_array(raw)
        if raw.ndim != 2 or raw.shape[1] != len(columns):
            raise DataError(f"raw table has shape {raw.shape}, expected N x {len(columns)}: {', '.join(columns)}")
        return pd.DataFrame(raw, columns=list(columns))
    names = [one_form(name) for name in raw.columns]
    check_duplicates(names, "raw table")
    frame: pd.DataFrame = raw.set_axis(names, axis="columns")
    check_columns(preprocessing, frame.columns)
    return frame
