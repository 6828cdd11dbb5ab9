"""Preprocessing fitted on some samples, kept as plain JSON, and applied alike to any others.

Tables: dates become calendar numbers, missing numbers the median, numbers are standardised, categories become codes
from 1 in sorted order with 0 for unknown and missing ones. A column that is the same in every sample it is fitted on is
left out, and a value that lies further from those samples than half of their range is taken as if it lay just there: a
network has learnt nothing of what is beyond. Images: standardised per channel. scikit-learn fits what it has an
estimator for.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from pandas.api.types import is_datetime64_any_dtype, is_numeric_dtype
from sklearn.impute import SimpleImputer
from sklearn.preprocessing import OrdinalEncoder, StandardScaler

from harness.data.columns import ColumnReading
from harness.data.dates import calendar
from harness.data.files import existing_file
from harness.data.part import Normalise, Part
from harness.data.reread import reread
from harness.data.sources.arrays import as_images
from harness.data.sources.image_folder import read_images
from harness.data.sources.names import one_form
from harness.data.sources.source import Source
from harness.data.texts import as_text
from harness.errors import DataError, did_you_mean

_CHUNK = 2**22
"""Pixels turned to float64 at a time while their mean and deviation are measured."""
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
    return {**fitted, "reading": dict(source.reading), "target": _fit_target(source, rows)}


def prepare(
    preprocessing: Mapping[str, Any],
    raw: np.ndarray | pd.DataFrame | Sequence[str | Path],
    targets: np.ndarray | None = None,
    index: np.ndarray | None = None,
) -> Part:
    """Return raw samples as a model takes them: the one way for those of training and test, and for new ones.

    ``raw`` is a table with the columns of the training data (others are ignored), typed or as text; an N x F array in
    their order; images N x H x W or N x C x H x W of the size and in the range of the training data's; or image files.
    ``targets`` are as :class:`Part` has them, zeros where they are not known. Raises :class:`DataError`.
    """
    image = preprocessing["inputs"] == "image"
    inputs = (_images(preprocessing, raw),) if image else _table(preprocessing, _as_frame(preprocessing, raw))
    if targets is None:
        targets = np.zeros(len(inputs[0]), np.int64 if "classes" in preprocessing["target"] else np.float32)
    index = np.arange(len(inputs[0])) if index is None else index
    normalise = Normalise(tuple(preprocessing["mean"]), tuple(preprocessing["std"])) if image else None
    return Part(inputs, targets, index, normalise)


def beyond_training(preprocessing: Mapping[str, Any], raw: np.ndarray | pd.DataFrame) -> dict[str, int]:
    """Return how many values of each number lie so far outside of training that they are clipped; none of images."""
    if preprocessing["inputs"] == "image":
        return {}
    x_NF = _standardised(preprocessing, _as_frame(preprocessing, raw))
    counts = {
        fitted["column"]: int(((x_NF[:, place] < fitted["low"]) | (x_NF[:, place] > fitted["high"])).sum())
        for place, fitted in enumerate(preprocessing["numeric"])
    }
    return {column: count for column, count in counts.items() if count}


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
    }


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


def _images(preprocessing: Mapping[str, Any], raw: Any) -> np.ndarray:
    """Return ``x_NCHW`` as the training data were before they were normalised."""
    if isinstance(raw, Sequence) and all(isinstance(each, str | Path) for each in raw):
        raw = _pictures(preprocessing, raw)
    images_NCHW, shape = as_images(np.asarray(raw), "raw images"), tuple(preprocessing["image"])
    if images_NCHW.shape[1:] != shape:
        raise DataError(f"raw images are {images_NCHW.shape[1:]}, the training data's were {shape}; resize them")
    return images_NCHW


def _pictures(preprocessing: Mapping[str, Any], paths: Sequence[str | Path]) -> np.ndarray:
    how = preprocessing.get("reading")
    if not how:
        raise DataError("the training data were arrays, not image files; give arrays of images")
    files = [existing_file(Path(path)) for path in paths]
    return read_images(files, size=tuple(how["size"]), channels=how["channels"], background=how["background"]).pixels


def _table(preprocessing: Mapping[str, Any], frame: pd.DataFrame) -> tuple[np.ndarray, ...]:
    x_NF = _standardised(preprocessing, frame)
    for place, fitted in enumerate(preprocessing["numeric"]):
        np.clip(x_NF[:, place], fitted.get("low"), fitted.get("high"), out=x_NF[:, place])
    categorical: Sequence[Mapping[str, Any]] = preprocessing["categorical"]
    if not categorical:
        return (x_NF.astype(np.float32),)
    texts = (_reread(preprocessing, frame, fitted["column"], "categories") for fitted in categorical)
    codes = [pd.Index(fitted["categories"]).get_indexer(text) for fitted, text in zip(categorical, texts, strict=True)]
    return x_NF.astype(np.float32), np.column_stack(codes).astype(np.int64) + 1


def _standardised(preprocessing: Mapping[str, Any], frame: pd.DataFrame) -> np.ndarray:
    """Return float64 ``x_NF``, imputed and standardised but not yet clipped."""
    days: Sequence[Mapping[str, Any]] = preprocessing.get("dates", ())
    numeric: Sequence[Mapping[str, Any]] = preprocessing["numeric"]
    dates = {fitted["column"]: _reread(preprocessing, frame, fitted["column"], "dates") for fitted in days}
    derived = _calendars(pd.DataFrame(dates, index=frame.index), days)
    x_NF = np.empty((len(frame), len(numeric)))
    for place, fitted in enumerate(numeric):
        name = fitted["column"]
        values = derived[name] if name in derived else _reread(preprocessing, frame, name, "numbers")
        values = np.where(np.isnan(values), fitted["median"], values)
        with np.errstate(over="ignore", invalid="ignore"):
            x_NF[:, place] = (values - fitted["mean"]) / fitted["scale"]
    return x_NF


def _reread(preprocessing: Mapping[str, Any], frame: pd.DataFrame, name: str, role: str) -> np.ndarray:
    """Return a column as it was read for training; runs of versions that did not note how have the usual way."""
    return reread(frame[name], ColumnReading(**{**preprocessing.get("reading", {}).get(name, {}), "role": role}))


def _as_frame(preprocessing: Mapping[str, Any], raw: Any) -> pd.DataFrame:
    """Return raw samples as a table; :class:`DataError` unless it has every column that is learnt from."""
    columns: Sequence[str] = preprocessing["columns"]
    if not isinstance(raw, pd.DataFrame):
        raw = np.asarray(raw)
        if raw.ndim != 2 or raw.shape[1] != len(columns):
            raise DataError(f"raw table has shape {raw.shape}, expected N x {len(columns)}: {', '.join(columns)}")
        return pd.DataFrame(raw, columns=list(columns))
    frame: pd.DataFrame = raw.set_axis([one_form(name) for name in raw.columns], axis="columns")
    if missing := [name for name in columns_needed(preprocessing) if name not in frame.columns]:
        more = f" (and {len(missing) - 1} more: {', '.join(missing[1:])})" if len(missing) > 1 else ""
        raise DataError(f"column {missing[0]!r} is missing{more}{did_you_mean(missing[0], frame.columns)}")
    return frame


def training_range(fitted: Mapping[str, Any]) -> tuple[float, float]:
    """Return the least and the greatest value in training of a fitted number; NaN where its ends were not noted."""
    if "low" not in fitted:
        return math.nan, math.nan
    low, high = (fitted["mean"] + fitted["scale"] * fitted[end] for end in ("low", "high"))
    margin = _MARGIN * (high - low) / (1 + 2 * _MARGIN)
    return low + margin, high - margin


def unknown_columns(preprocessing: Mapping[str, Any], raw: Any) -> list[str]:
    """Return the columns of a raw table that its training data did not have, nor learn from; the target is known."""
    if preprocessing["inputs"] == "image" or not isinstance(raw, pd.DataFrame):
        return []
    known = {*preprocessing["columns"], preprocessing["target"].get("name")}
    return [name for name in map(one_form, raw.columns) if name not in known]


def columns_needed(preprocessing: Mapping[str, Any]) -> list[str]:
    """Return the columns of a table that are learnt from."""
    dates = [fitted["column"] for fitted in preprocessing.get("dates", ())]
    learnt = (fitted["column"] for fitted in (*preprocessing["numeric"], *preprocessing["categorical"]))
    return [*dates, *(name for name in learnt if name.rpartition(": ")[0] not in dates)]


def _numbers_of(frame: pd.DataFrame, names: list[str], dates: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    return pd.concat([frame[names], pd.DataFrame(_calendars(frame, dates), index=frame.index)], axis=1)


def _calendars(frame: pd.DataFrame, dates: Sequence[Mapping[str, Any]]) -> dict[str, np.ndarray]:
    """Return the calendar numbers of every column of dates, as ``day: year``."""
    found: dict[str, np.ndarray] = {}
    for fitted in dates:
        numbers = calendar(frame[fitted["column"]], datetime.fromisoformat(fitted["first"]))
        found |= {f"{fitted['column']}: {name}": numbers[name].to_numpy(np.float64) for name in numbers.columns}
    return found
