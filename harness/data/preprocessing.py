"""Preprocessing fitted on some samples, kept as plain JSON, and applied alike to any others.

Tables: missing numbers become the median, numbers are standardised, categories become codes from 1 in sorted order with
0 for unknown and missing ones. Images: standardised per channel. scikit-learn fits what it has an estimator for.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from pandas.api.types import is_numeric_dtype
from sklearn.impute import SimpleImputer
from sklearn.preprocessing import OrdinalEncoder, StandardScaler

from harness.data.arrays import as_images
from harness.data.columns import as_text
from harness.data.part import Normalise
from harness.data.source import Source
from harness.errors import DataError, did_you_mean

_CHUNK = 2**22
"""Pixels turned to float64 at a time while their mean and deviation are measured."""


def fit_preprocessing(source: Source, rows: np.ndarray) -> dict[str, Any]:
    """Return what ``apply_preprocessing`` needs, fitted on the samples ``rows`` alone."""
    if isinstance(source.inputs, np.ndarray):
        fitted = _fit_images(source.inputs, rows)
    else:
        fitted = {"columns": list(source.columns), **_fit_table(source.inputs.iloc[rows])}
    return {**fitted, "target": _fit_target(source, rows)}


def apply_preprocessing(preprocessing: Mapping[str, Any], raw: np.ndarray | pd.DataFrame) -> tuple[np.ndarray, ...]:
    """Return the inputs of a model for raw samples: float32 ``x_NCHW``, or ``x_NF`` and, with categories, ``c_NK``.

    ``raw`` is a table that has the columns of the training data (others are ignored), an N x F array in their order,
    or images N x H x W or N x C x H x W of the size and in the range of the training data's.
    """
    if preprocessing["inputs"] == "image":
        return (_apply_to_images(preprocessing, raw),)
    return _apply_to_table(preprocessing, raw)


def normalisation(preprocessing: Mapping[str, Any]) -> Normalise | None:
    """Return the standardisation of images, None for a table."""
    if preprocessing["inputs"] != "image":
        return None
    return Normalise(tuple(preprocessing["mean"]), tuple(preprocessing["std"]))


def _fit_target(source: Source, rows: np.ndarray) -> dict[str, Any]:
    if source.class_names:
        return {"classes": list(source.class_names)}
    scaler = StandardScaler().fit(source.targets[rows, None].astype(np.float64))
    return {"mean": float(scaler.mean_[0]), "scale": float(scaler.scale_[0])}


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
        "mean": mean_C.astype(np.float32).tolist(),
        "std": std_C.astype(np.float32).tolist(),
    }


def _fit_table(frame: pd.DataFrame) -> dict[str, Any]:
    numeric = [name for name in frame.columns if is_numeric_dtype(frame[name].dtype)]
    categorical = [name for name in frame.columns if name not in numeric]
    return {
        "inputs": "table",
        "numeric": _fit_numbers(frame[numeric]) if numeric else [],
        "categorical": _fit_categories(frame[categorical]) if categorical else [],
    }


def _fit_numbers(frame: pd.DataFrame) -> list[dict[str, Any]]:
    values_NF = frame.to_numpy(np.float64)
    imputer = SimpleImputer(strategy="median", keep_empty_features=True).fit(values_NF)
    with np.errstate(over="ignore", invalid="ignore"):
        scaler = StandardScaler().fit(imputer.transform(values_NF))
    fitted = zip(frame.columns, imputer.statistics_, scaler.mean_, scaler.scale_, strict=True)
    return [
        {"column": name, "median": float(median), "mean": float(mean), "scale": float(scale)}
        for name, median, mean, scale in fitted
    ]


def _fit_categories(frame: pd.DataFrame) -> list[dict[str, Any]]:
    texts_NK = np.column_stack([as_text(frame[name]) for name in frame.columns])
    encoder = OrdinalEncoder().fit(texts_NK)
    known = ([text for text in found if text is not None] for found in encoder.categories_)
    return [{"column": name, "categories": texts} for name, texts in zip(frame.columns, known, strict=True)]


def _apply_to_images(preprocessing: Mapping[str, Any], raw: np.ndarray | pd.DataFrame) -> np.ndarray:
    images_NCHW = as_images(np.asarray(raw), "raw images")
    shape = tuple(preprocessing["image"])
    if images_NCHW.shape[1:] != shape:
        raise DataError(f"raw images are {images_NCHW.shape[1:]}, the training data's were {shape}; resize them")
    mean_C, std_C = (np.array(preprocessing[name], np.float32) for name in ("mean", "std"))
    standardised: np.ndarray = (images_NCHW.astype(np.float32) - mean_C[:, None, None]) / std_C[:, None, None]
    return standardised


def _apply_to_table(preprocessing: Mapping[str, Any], raw: np.ndarray | pd.DataFrame) -> tuple[np.ndarray, ...]:
    frame = raw if isinstance(raw, pd.DataFrame) else _as_frame(raw, preprocessing["columns"])
    numeric: Sequence[Mapping[str, Any]] = preprocessing["numeric"]
    categorical: Sequence[Mapping[str, Any]] = preprocessing["categorical"]
    for wanted in (*numeric, *categorical):
        if wanted["column"] not in frame.columns:
            raise DataError(f"column {wanted['column']!r} is missing{did_you_mean(wanted['column'], frame.columns)}")
    x_NF = np.empty((len(frame), len(numeric)), np.float32)
    for place, fitted in enumerate(numeric):
        values = _numbers(frame[fitted["column"]])
        values = np.where(np.isnan(values), fitted["median"], values)
        with np.errstate(over="ignore", invalid="ignore"):
            x_NF[:, place] = (values - fitted["mean"]) / fitted["scale"]
        if not np.isfinite(x_NF[:, place]).all():
            raise DataError(f"column {fitted['column']!r} holds values too large to standardise; rescale or drop it")
    if not categorical:
        return (x_NF,)
    codes = [pd.Index(fitted["categories"]).get_indexer(as_text(frame[fitted["column"]])) for fitted in categorical]
    return x_NF, np.column_stack(codes).astype(np.int64) + 1


def _as_frame(raw: np.ndarray, columns: Sequence[str]) -> pd.DataFrame:
    if raw.ndim != 2 or raw.shape[1] != len(columns):
        raise DataError(f"raw table has shape {raw.shape}, expected N x {len(columns)}: {', '.join(columns)}")
    return pd.DataFrame(raw, columns=list(columns))


def _numbers(column: pd.Series) -> np.ndarray:
    try:
        values = pd.to_numeric(column).to_numpy(np.float64, na_value=np.nan)
    except (ValueError, TypeError) as error:
        raise DataError(f"column {column.name!r} was numeric in training: {error}; correct it") from None
    if np.isinf(values).any():
        raise DataError(f"column {column.name!r} holds an infinite value; correct it or remove the row")
    return values
