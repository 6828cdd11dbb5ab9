"""Fits the preprocessing of the columns of a table; scikit-learn fits what it has an estimator for."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from pandas.api.types import is_datetime64_any_dtype, is_numeric_dtype
from sklearn.impute import SimpleImputer
from sklearn.preprocessing import OrdinalEncoder, StandardScaler

from harness.data.dates import calendars
from harness.data.texts import as_text
from harness.errors import DataError

_MARGIN = 0.5
"""Share of the training range by which a value may lie outside of it."""
_MOST_BINS, _FEWEST_BINS, _VALUES_OF_A_BIN = 24, 2, 12
"""Of quantiles: as many bins as leave each so many of the training values, within these bounds."""
_MOST_QUARTERS, _FEW_QUARTERS, _IN_ALL = 32, 4, 32_768
"""Bins in each quarter of a distribution, so that the quartiles are between two of them: as many as leave each so many
values, at most the first; and of all columns together the last, but for the second. Each model is kept with them."""


def fit_table(frame: pd.DataFrame, name: str) -> dict[str, Any]:
    """Return what the samples of a table decide. Raises :class:`DataError` where no column varies."""
    days = [column for column in frame.columns if is_datetime64_any_dtype(frame[column].dtype)]
    dates = [{"column": column, "first": frame[column].min().isoformat()} for column in days]
    numbers = _numbers_of(frame, [c for c in frame.columns if is_numeric_dtype(frame[c].dtype)], dates)
    texts = [column for column in frame.columns if column not in numbers.columns and column not in days]
    numeric = _fit_numbers(numbers) if len(numbers.columns) else []
    categorical = _fit_categories(frame[texts]) if texts else []
    kept = {fitted["column"] for fitted in (*numeric, *categorical)}
    if not kept:
        raise DataError(f"{name}: every column is the same in all {len(frame)} training samples; add columns or rows")
    return {
        "inputs": "table",
        "dates": dates,
        "numeric": numeric,
        "categorical": categorical,
        "left_out": [column for column in (*numbers.columns, *texts) if column not in kept],
    }


def _fit_numbers(frame: pd.DataFrame) -> list[dict[str, Any]]:
    values_NF = frame.to_numpy(np.float64)
    imputer = SimpleImputer(strategy="median", keep_empty_features=True).fit(values_NF)
    whole_NF = imputer.transform(values_NF)
    with np.errstate(over="ignore", invalid="ignore"):
        scaler = StandardScaler().fit(whole_NF)
        if not np.isfinite(scaler.var_).all():
            name = frame.columns[int(np.argmin(np.isfinite(scaler.var_)))]
            raise DataError(f"column {name!r} holds values too large to standardise; rescale or drop it")
        low_F, high_F = whole_NF.min(axis=0), whole_NF.max(axis=0)
        margin_F = _MARGIN * (high_F - low_F)
        ends_2F = (np.stack([low_F - margin_F, high_F + margin_F]) - scaler.mean_) / scaler.scale_
    most = min(_MOST_QUARTERS, max(_FEW_QUARTERS, _IN_ALL // len(frame.columns)))
    fitted = zip(frame.columns, imputer.statistics_, scaler.mean_, scaler.scale_, *ends_2F, strict=True)
    return [
        {
            "column": name,
            **dict(zip(("median", "mean", "scale", "low", "high"), map(float, rest), strict=True)),
            **_quantiles((whole_NF[:, place] - scaler.mean_[place]) / scaler.scale_[place], most),
        }
        for place, (name, *rest) in enumerate(fitted)
        if low_F[place] < high_F[place]
    ]


def training_range(fitted: Mapping[str, Any]) -> tuple[float, float]:
    """Return the least and the greatest value in training of a fitted number; NaN where its ends were not noted."""
    if "low" not in fitted:
        return math.nan, math.nan
    low, high = (fitted["mean"] + fitted["scale"] * fitted[end] for end in ("low", "high"))
    margin = _MARGIN * (high - low) / (1 + 2 * _MARGIN)
    return low + margin, high - margin


def _quantiles(values_N: np.ndarray, most_quarters: int) -> dict[str, list[float]]:
    """Return what cuts the values into bins with equally many: few distinct ``quantiles``, and a finer distribution."""
    bins = min(_MOST_BINS, max(_FEWEST_BINS, len(values_N) // _VALUES_OF_A_BIN))
    quarters = min(most_quarters, max(1, len(values_N) // (4 * _VALUES_OF_A_BIN)))
    few, many = (
        np.quantile(values_N, np.linspace(0.0, 1.0, count + 1)).astype(np.float32) for count in (bins, 4 * quarters)
    )
    return {"quantiles": np.unique(few).tolist(), "distribution": many.tolist()}


def _fit_categories(frame: pd.DataFrame) -> list[dict[str, Any]]:
    texts_NK = np.column_stack([as_text(frame[name]) for name in frame.columns])
    encoder = OrdinalEncoder().fit(texts_NK)
    fitted = []
    for place, (name, found) in enumerate(zip(frame.columns, encoder.categories_, strict=True)):
        if len(found) > 1:
            categories = [text for text in found if text is not None]
            codes_N = pd.Index(categories).get_indexer(texts_NK[:, place])
            counts = np.bincount(codes_N[codes_N >= 0], minlength=len(categories)).tolist()
            fitted.append({"column": name, "categories": categories, "counts": counts})
    return fitted


def _numbers_of(frame: pd.DataFrame, names: list[str], dates: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    return pd.concat([frame[names], pd.DataFrame(calendars(frame, dates), index=frame.index)], axis=1)
