"""Raw samples that an export is compared on: test rows of the data, and made-up rows with what these seldom hold."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from harness.data.asked_columns import columns_needed
from harness.data.sources import Source, read_source
from harness.errors import InputError, StorageError
from harness.exporting.raw_inputs import RawInput
from harness.report import RunFiles
from harness.spec import load_spec

MOST = 256
"""Of the test samples; the first ones."""
_MADE = 64
_AROUND = ("1600-02-29", "1899-12-31T23:59:59.999999", "1970-01-01", "2024-02-29T12:30:15", "2100-03-01T00:00:01")
"""Dates at the edges of the calendar: leap years and those that are none, before and after 1970."""


class Data(NamedTuple):
    """The data of a run, where it is at hand."""

    source: Source | None
    reason: str = ""
    """Why it is not."""


def find_data(run: Path, files: RunFiles, preprocessing: Mapping[str, Any]) -> Data:
    """Read the data of a run again, if it is where it was and as it was."""
    try:
        source = read_source(load_spec(str(run / "space.yaml")).task)
    except (InputError, StorageError) as error:
        return Data(None, str(error))
    if source.fingerprint != files.stats["task"]["fingerprint"]:
        return Data(None, f"the data of {source.name} have changed since the run")
    if isinstance(source.inputs, pd.DataFrame) and not {*columns_needed(preprocessing)} <= {*source.inputs.columns}:
        return Data(None, f"the columns of {source.name} are read otherwise by this version of harness")
    return Data(source)


def test_samples(source: Source, predictions: pd.DataFrame) -> pd.DataFrame | np.ndarray:
    """Return the first test samples of a run as they were read."""
    places = np.arange(len(source))
    if source.official_test:  # whose positions are counted in a file of their own
        chosen = places[-source.official_test :]
    else:
        chosen = places[np.isin(source.positions(places), predictions["index"])]
    chosen = chosen[:MOST]
    return source.inputs.iloc[chosen] if isinstance(source.inputs, pd.DataFrame) else source.inputs[chosen]


def made_up(preprocessing: Mapping[str, Any], inputs: tuple[RawInput, ...]) -> pd.DataFrame | np.ndarray:
    """Return samples of missing, extreme and unseen values, and usual ones between; the same every time."""
    rng = np.random.default_rng(0)
    if inputs[0].kind == "image":
        return _images(inputs[0], preprocessing, rng)
    fitted = {each["column"]: each for each in preprocessing["numeric"]}
    firsts = {each["column"]: each["first"] for each in preprocessing.get("dates", ())}
    columns = {}
    for each in inputs:
        if each.kind == "numbers":
            columns[each.column] = rng.choice(_numbers(fitted[each.column]), _MADE)
        elif each.kind == "dates":
            columns[each.column] = rng.choice(_dates(firsts[each.column]), _MADE)
        else:
            columns[each.column] = rng.choice(_texts(each), _MADE)
    return pd.DataFrame(columns)


def _numbers(fitted: Mapping[str, Any]) -> np.ndarray:
    """Return values within the training range, beyond where they are clipped, and a missing one."""
    standard = np.linspace(fitted.get("low", -3.0) - 1, fitted.get("high", 3.0) + 1, 12)
    return np.array([np.nan, fitted["median"], *(fitted["mean"] + fitted["scale"] * standard)])


def _dates(first: str) -> np.ndarray:
    later = np.datetime64(first, "us") + np.arange(0, 4000, 371) * np.timedelta64(86_399_000_001, "us")
    return np.concatenate([np.array(["NaT", *_AROUND], "datetime64[us]"), later])


def _texts(each: RawInput) -> np.ndarray:
    unseen = "unseen"
    while unseen in each.categories:
        unseen += "_"
    return np.array([None, unseen, *each.categories], dtype=object)


def _images(image: RawInput, preprocessing: Mapping[str, Any], rng: np.random.Generator) -> np.ndarray:
    if image.dtype == "uint8":
        return rng.integers(0, 256, (_MADE // 4, *image.shape)).astype(np.uint8)
    mean_C11, std_C11 = (np.reshape(preprocessing[name], (-1, 1, 1)) for name in ("mean", "std"))
    return (mean_C11 + std_C11 * rng.normal(size=(_MADE // 4, *image.shape))).astype(np.float32)
