"""Fits the preprocessing of some samples as plain JSON; scikit-learn fits what it has an estimator for."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.lib.stride_tricks import sliding_window_view
from pandas.api.types import is_datetime64_any_dtype, is_numeric_dtype
from sklearn.impute import SimpleImputer
from sklearn.preprocessing import OrdinalEncoder, StandardScaler

from harness.data.dates import calendars
from harness.data.sources.source import Source
from harness.data.texts import as_text
from harness.errors import DataError

_CHUNK = 2**22
"""Pixels turned to float64 at a time while their mean and deviation are measured."""
_PATCH = 3
"""Side of the patches of images."""
_PATCH_PIXELS = 2**18
"""Pixels of the images, evenly chosen, whose patches are looked at."""
_MARGIN = 0.5
"""Share of the training range by which a value may lie outside of it."""
_MOST_BINS, _FEWEST_BINS, _VALUES_OF_A_BIN = 24, 2, 12
"""Of quantiles: as many bins as leave each so many of the training values, within these bounds."""


def fit_preprocessing(source: Source, rows: np.ndarray) -> dict[str, Any]:
    """Return what ``prepare`` needs, fitted on the samples ``rows`` alone."""
    if isinstance(source.inputs, np.ndarray):
        fitted = _fit_images(source.inputs, rows)
    else:
        fitted = {"columns": list(source.columns), **_fit_table(source.inputs.iloc[rows], source.name)}
    file = {name: said for name in ("array", "separator") if (said := getattr(source, name))}
    return {**fitted, **file, "reading": dict(source.reading), "target": _fit_target(source, rows)}


def _fit_target(source: Source, rows: np.ndarray) -> dict[str, Any]:
    if source.class_names:
        return {"name": source.target, "classes": list(source.class_names)}
    values = source.targets[rows]
    scaler = StandardScaler().fit(values.reshape(len(values), -1))
    mean, scale = (each.reshape(values.shape[1:]).tolist() for each in (scaler.mean_, scaler.scale_))
    return {"name": source.target, "mean": mean, "scale": scale}


def _fit_images(images_NCHW: np.ndarray, rows: np.ndarray) -> dict[str, Any]:
    count = len(rows) * images_NCHW[0, 0].size
    step = max(1, _CHUNK // images_NCHW[0].size)
    chunks = [rows[start : start + step] for start in range(0, len(rows), step)]
    mean_C = sum(images_NCHW[chunk].sum(axis=(0, 2, 3), dtype=np.float64) for chunk in chunks) / count
    centre_C11 = mean_C[:, None, None]
    squares = (np.square(images_NCHW[chunk] - centre_C11).sum(axis=(0, 2, 3)) for chunk in chunks)
    std_C = np.sqrt(sum(squares) / count)
    std_C[std_C == 0.0] = 1.0
    return {
        "inputs": "image",
        "image": list(images_NCHW.shape[1:]),
        "dtype": str(images_NCHW.dtype),
        "mean": mean_C.astype(np.float32).tolist(),
        "std": std_C.astype(np.float32).tolist(),
        "patches": _patches((images_NCHW[_few(images_NCHW, rows)] - centre_C11) / std_C[:, None, None]),
    }


def _few(images_NCHW: np.ndarray, rows: np.ndarray) -> np.ndarray:
    return rows[:: max(1, len(rows) * images_NCHW[0].size // _PATCH_PIXELS)]


def _patches(x_NCHW: np.ndarray) -> list[list[float]]:
    """Return the covariance of all patches; empty where they do not fit into the images.

    It is rounded so far that it does not depend on how a machine sums up.
    """
    _, channels, height, width = x_NCHW.shape
    if min(height, width) < _PATCH:
        return []
    windows_NCHWpp = sliding_window_view(x_NCHW, (_PATCH, _PATCH), axis=(2, 3))
    patches_DP = windows_NCHWpp.transpose(1, 4, 5, 0, 2, 3).reshape(channels * _PATCH**2, -1)
    return [[float(f"{value:.6g}") for value in row] for row in np.cov(patches_DP, bias=True)]


def _fit_table(frame: pd.DataFrame, name: str) -> dict[str, Any]:
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
    fitted = zip(frame.columns, imputer.statistics_, scaler.mean_, scaler.scale_, *ends_2F, strict=True)
    return [
        {
            "column": name,
            **dict(zip(("median", "mean", "scale", "low", "high"), map(float, rest), strict=True)),
            "quantiles": _quantiles((whole_NF[:, place] - scaler.mean_[place]) / scaler.scale_[place]),
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


def _quantiles(values_N: np.ndarray) -> list[float]:
    """Return what cuts the values into bins with equally many, as far as values that are equal allow."""
    bins = min(_MOST_BINS, max(_FEWEST_BINS, len(values_N) // _VALUES_OF_A_BIN))
    quantiles = np.quantile(values_N, np.linspace(0.0, 1.0, bins + 1))
    distinct: list[float] = np.unique(quantiles.astype(np.float32)).tolist()
    return distinct


def _fit_categories(frame: pd.DataFrame) -> list[dict[str, Any]]:
    texts_NK = np.column_stack([as_text(frame[name]) for name in frame.columns])
    encoder = OrdinalEncoder().fit(texts_NK)
    return [
        {"column": name, "categories": [text for text in found if text is not None]}
        for name, found in zip(frame.columns, encoder.categories_, strict=True)
        if len(found) > 1
    ]


def _numbers_of(frame: pd.DataFrame, names: list[str], dates: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    return pd.concat([frame[names], pd.DataFrame(calendars(frame, dates), index=frame.index)], axis=1)
