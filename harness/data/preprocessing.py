"""Preprocessing fitted on some samples, kept as plain JSON, and applied alike to any others.

Tables: dates become calendar numbers, missing numbers the median, numbers are standardised, categories become codes
from 1 in sorted order with 0 for unknown and missing ones. A column that is the same in every sample it is fitted on is
left out, and a value that lies further from those samples than half of their range is taken as if it lay just there: a
network has learnt nothing of what is beyond. Images: standardised per channel. scikit-learn fits what it has an
estimator for.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from harness.data.columns import ColumnReading
from harness.data.dates import calendars
from harness.data.files import existing_file
from harness.data.part import Normalise, Part
from harness.data.reread import reread
from harness.data.sources.arrays import as_images
from harness.data.sources.image_folder import read_images
from harness.data.sources.names import one_form
from harness.data.sources.tables import check_duplicates
from harness.data.unusual import Unusual, add
from harness.errors import DataError, did_you_mean, first_line
from harness.spec.task import Ground


def prepare(
    preprocessing: Mapping[str, Any],
    raw: np.ndarray | pd.DataFrame | Sequence[str | Path],
    targets: np.ndarray | None = None,
    index: np.ndarray | None = None,
    unusual: Unusual | None = None,
) -> Part:
    """Return raw samples as a model takes them: the one way for those of training and test, and for new ones.

    ``raw`` is a table with the columns of the training data (others are ignored), typed or as text; an N x F array in
    their order; images N x H x W or N x C x H x W of the size and in the range of the training data's; or image files.
    ``targets`` are as :class:`Part` has them, zeros where they are not known; what the rows of a table have that
    training had not is counted in ``unusual``. Raises :class:`DataError`.
    """
    image = preprocessing["inputs"] == "image"
    if image:
        inputs: tuple[np.ndarray, ...] = (_images(preprocessing, raw),)
    else:
        inputs = _table(preprocessing, _as_frame(preprocessing, raw), unusual or Unusual())
    if targets is None:
        targets = np.zeros(len(inputs[0]), np.int64 if "classes" in preprocessing["target"] else np.float32)
    index = np.arange(len(inputs[0])) if index is None else index
    normalise = Normalise(tuple(preprocessing["mean"]), tuple(preprocessing["std"])) if image else None
    return Part(inputs, targets, index, normalise)


def beyond_training(preprocessing: Mapping[str, Any], raw: np.ndarray | pd.DataFrame) -> dict[str, int]:
    """Return how many values of each number lie so far outside of training that they are clipped; none of images."""
    if preprocessing["inputs"] == "image":
        return {}
    unusual = Unusual()
    _numbers_in(preprocessing, _as_frame(preprocessing, raw), unusual)
    return dict(unusual.clipped)


def _images(preprocessing: Mapping[str, Any], raw: Any) -> np.ndarray:
    """Return ``x_NCHW`` as the training data were before they were normalised."""
    if isinstance(raw, Sequence) and not isinstance(raw, str) and all(isinstance(each, str | Path) for each in raw):
        raw = _pictures(preprocessing, raw)
    images_NCHW, shape = as_images(_as_array(raw), "raw images"), tuple(preprocessing["image"])
    if images_NCHW.shape[1:] != shape:
        raise DataError(f"raw images are {images_NCHW.shape[1:]}, the training data's were {shape}; resize them")
    return images_NCHW


def _pictures(preprocessing: Mapping[str, Any], paths: Sequence[str | Path]) -> np.ndarray:
    how = preprocessing.get("reading")
    if not how:
        raise DataError("the training data were arrays, not image files; give arrays of images")
    files = [existing_file(Path(path)) for path in paths]
    # Nothing shone through in training: one ground for all, whatever pictures are read together.
    ground: Ground = "white" if how["background"] == "auto" else how["background"]
    return read_images(files, size=tuple(how["size"]), channels=how["channels"], background=ground).pixels


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
        raw = _as_array(raw)
        if raw.ndim != 2 or raw.shape[1] != len(columns):
            raise DataError(f"raw table has shape {raw.shape}, expected N x {len(columns)}: {', '.join(columns)}")
        return pd.DataFrame(raw, columns=list(columns))
    names = [one_form(name) for name in raw.columns]
    check_duplicates(names, "raw table")
    frame: pd.DataFrame = raw.set_axis(names, axis="columns")
    check_columns(preprocessing, frame.columns)
    return frame


def _as_array(raw: Any) -> np.ndarray:
    try:
        return np.asarray(raw)
    except ValueError as error:
        raise DataError(f"raw samples cannot be made an array ({first_line(error)}); give each as many") from None


def check_columns(preprocessing: Mapping[str, Any], names: Collection[str]) -> None:
    """Raise :class:`DataError` unless every column that is learnt from is among those of a table."""
    if missing := [name for name in columns_needed(preprocessing) if name not in names]:
        more = f" (and {len(missing) - 1} more: {', '.join(missing[1:])})" if len(missing) > 1 else ""
        raise DataError(f"column {missing[0]!r} is missing{more}{did_you_mean(missing[0], names)}")


def unknown_columns(preprocessing: Mapping[str, Any], names: Iterable[object]) -> list[str]:
    """Return those of a table's columns that its training data did not have, nor learn from; the target is known."""
    known = {*preprocessing["columns"], preprocessing["target"].get("name")}
    return [name for name in map(one_form, names) if name not in known]


def columns_needed(preprocessing: Mapping[str, Any]) -> list[str]:
    """Return the columns of a table that are learnt from."""
    dates = [fitted["column"] for fitted in preprocessing.get("dates", ())]
    learnt = (fitted["column"] for fitted in (*preprocessing["numeric"], *preprocessing["categorical"]))
    return [*dates, *(name for name in learnt if name.rpartition(": ")[0] not in dates)]
