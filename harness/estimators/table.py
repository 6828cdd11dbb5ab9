"""What estimators take as ``X``, checked as scikit-learn checks it, as a table."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pandas as pd
from pandas.api.types import infer_dtype
from sklearn.utils import check_array
from sklearn.utils.validation import validate_data

from harness.data.sources.names import one_form
from harness.errors import InputError

_DATES = ("datetime64", "datetime", "date")


@contextmanager
def as_value_error() -> Iterator[None]:
    """Raise what cannot be used of arguments and data as ValueError, as scikit-learn's estimators do."""
    try:
        yield
    except InputError as error:
        raise ValueError(str(error)) from error


def table_of(estimator: Any, X: Any, *, fitting: bool) -> pd.DataFrame:
    """Return X as a table; a DataFrame keeps its names and types, columns without names are called x0, x1, ...

    Names and number of columns are set on the estimator in ``fitting``, and must be the same later. Raises ValueError
    and TypeError with scikit-learn's messages.
    """
    least: dict[str, Any] = {"ensure_min_samples": 2 if fitting else 1}
    if isinstance(X, pd.DataFrame):
        validate_data(estimator, X, reset=fitting, skip_check_array=True)
        size = np.broadcast_to(np.int8(0), X.shape)
        check_array(size, estimator=estimator, input_name="X", **least)
        frame = X.reset_index(drop=True)
    else:
        array = validate_data(estimator, X, reset=fitting, dtype=None, ensure_all_finite="allow-nan", **least)
        frame = pd.DataFrame(array).infer_objects()
    names = getattr(estimator, "feature_names_in_", None)
    return frame.set_axis([f"x{place}" for place in range(frame.shape[1])] if names is None else names, axis="columns")


def dates_of(frame: pd.DataFrame) -> list[str]:
    """Return the columns that are typed as dates, as a task names them."""
    return [one_form(name) for name in frame.columns if infer_dtype(frame[name], skipna=True) in _DATES]


def target_beside(frame: pd.DataFrame) -> str:
    """Return a name for the target that no column has."""
    taken, name = {one_form(column) for column in frame.columns}, "target"
    while name in taken:
        name += "_"
    return name


def with_twins(codes: np.ndarray) -> np.ndarray:
    """Return the positions of all rows, of which the only one of a class stands twice.

    It takes two to have one to train on and one for validation. Without it the class could be in only one of both.
    """
    single = np.flatnonzero(np.bincount(codes)[codes] == 1)
    return np.concatenate([np.arange(len(codes)), single])
