"""The readers of the built-in tasks of ``catalog``."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from sklearn import datasets

from harness.data.catalog import tasks
from harness.data.files import sha256_of_arrays
from harness.data.series import of_array
from harness.data.sources.arrays import numeric_table
from harness.data.sources.docstrings import read_docstrings
from harness.data.sources.fashion_mnist import read_fashion_mnist
from harness.data.sources.forecast_file import read_forecast
from harness.data.sources.source import Source, read_source
from harness.errors import DataError
from harness.spec.task import BuiltinTask, ForecastTask

AIRLINE = Path(__file__).with_name("airline.csv")


@read_source.register
def read_builtin(task: BuiltinTask) -> Source:
    """Read a task by its name; an unknown one is an :class:`~harness.errors.InputError` with a suggestion."""
    name = tasks[task.builtin].name
    if name == "fashion-mnist":
        return read_fashion_mnist(task.directory)
    if task.directory is not None:
        raise DataError(f"{name}: comes with installed packages and is read from no files; remove `directory`")
    if name == "airline":
        return _airline(task)
    if name == "docstrings":
        return read_docstrings(name)
    return _SKLEARN[name](name)


def _airline(task: BuiltinTask) -> Source:
    """Return thousands of international airline passengers a month, 1949 to 1960.

    Series G of Box and Jenkins, 1970, Time series analysis: forecasting and control. Logarithms, since its seasons grow
    with it.
    """
    said: dict[str, Any] = {"time": "month", "target": "passengers", "horizon": 12, "transform": "log"}
    said |= {"split": task.split, "quantiles": task.quantiles}
    return read_forecast(ForecastTask.model_validate({"forecast": AIRLINE, **said}))


def _digits(name: str) -> Source:
    found = datasets.load_digits()
    images_NCHW = found.images.astype(np.uint8)[:, None]  # whole numbers from 0 to 16
    return Source(
        name=name,
        inputs=images_NCHW,
        targets=found.target.astype(np.int64),
        class_names=tuple(map(str, found.target_names)),
        fingerprint=sha256_of_arrays(images_NCHW, found.target),
    )


def _digits_series(name: str) -> Source:
    found = datasets.load_digits()
    series = of_array(found.images.astype(np.uint8), name)
    return Source(
        name=name,
        inputs=series,
        targets=found.target.astype(np.int64),
        class_names=tuple(map(str, found.target_names)),
        fingerprint=sha256_of_arrays(series.values, found.target),
    )


def _table(name: str, found: Any, class_names: tuple[str, ...]) -> Source:
    columns = tuple(map(str, found.feature_names))
    table = numeric_table(found.data, columns, name)
    return Source(
        name=name,
        inputs=table.frame,
        targets=found.target.astype(np.int64 if class_names else np.float64),
        class_names=class_names,
        fingerprint=sha256_of_arrays(found.data, found.target),
        columns=columns,
        reading=table.reading,
        notes=table.notes,
    )


def _wine(name: str) -> Source:
    found = datasets.load_wine()
    return _table(name, found, tuple(map(str, found.target_names)))


def _breast_cancer(name: str) -> Source:
    found = datasets.load_breast_cancer()
    return _table(name, found, tuple(map(str, found.target_names)))


def _diabetes(name: str) -> Source:
    # scaled=True would standardise by all samples, those of the test part included
    return _table(name, datasets.load_diabetes(scaled=False), ())


_SKLEARN: dict[str, Callable[[str], Source]] = {
    "digits": _digits,
    "digits-series": _digits_series,
    "wine": _wine,
    "breast-cancer": _breast_cancer,
    "diabetes": _diabetes,
}
