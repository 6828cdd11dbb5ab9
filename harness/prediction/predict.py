"""The story of predicting a file: opened, checked, and then chunk by chunk read, predicted and written."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from harness.data import Unusual
from harness.data.modalities import modalities
from harness.data.reread import Unlike
from harness.errors import DataError
from harness.prediction.opening import open_samples
from harness.prediction.samples import Chunk, Samples
from harness.prediction.writing import check_out, written
from harness.problems.quantile_scores import middle_of, quantile_columns
from harness.problems.regression import value_columns
from harness.records import TaskShape
from harness.study.final.predictor import Predictor
from harness.study.final.residuals import Ends

_VALUES = 2**21
"""Of samples in memory at once, about: pixels, or fields of a table."""
_ROWS = 2**16

Progress = Callable[[int, float], None]
"""Told after each chunk how many samples are predicted, and what share of all."""


@dataclass(frozen=True, slots=True)
class Predicted:
    """What became of a file of samples."""

    rows: int
    seconds: float
    notes: tuple[str, ...]
    """What was noticed of the file, and what its rows have that training had not."""
    unusual: Unusual


class _Asked(NamedTuple):
    """Which columns there are beside the prediction."""

    proba: bool
    ends: Ends | None
    """What makes intervals."""


def predict_file(
    model: Predictor,
    data: Path,
    out: Path | None = None,
    *,
    proba: bool = False,
    coverage: float | None = None,
    force: bool = False,
    rows: int | None = None,
    progress: Progress = lambda _done, _share: None,
) -> Predicted:
    """Write what a model predicts of every sample of ``data`` to ``out``, or as CSV to standard output.

    There is a row for each sample, in their order: ``index``, ``row`` or ``file`` where they have such names, and
    ``prediction``; of a forecast one for each step ahead, with its ``time``; of quantiles a ``quantile_LEVEL`` for
    each, of which the median, or the one next to it, is the prediction; with ``proba`` a ``probability_CLASS`` for each
    class; with ``coverage`` the ends ``low`` and ``high`` of intervals. ``rows`` are read at a time, which changes
    nothing. Raises :class:`~harness.errors.DataError` for samples that cannot be read like those of training, and
    :class:`~harness.errors.InputError` for what does not fit the model or an ``out`` that may not be written.
    """
    started = time.perf_counter()
    if out is not None:
        check_out(out, force=force, run=model.run, data=data)
    model.check_asked(proba=proba, coverage=coverage)
    asked = _Asked(proba, None if coverage is None else model.ends(coverage))
    samples, unusual, done = open_samples(data, model.preprocessing), Unusual(), 0
    with written(out) as write:
        for chunk in samples.chunks(rows or _rows_of(model)):
            write(_frame(model, chunk, done, asked, _answers(model, samples, chunk, done, unusual)))
            done += chunk.samples
            progress(done, chunk.share)
    return Predicted(done, time.perf_counter() - started, (*samples.notes, *unusual.told()), unusual)


def _rows_of(model: Predictor) -> int:
    """Return how many samples are read at once: whole batches of the model, so that they are cut as in one piece."""
    width = modalities[model.preprocessing["inputs"]].width(model.preprocessing)
    return max(1, min(_ROWS, _VALUES // width) // model.batch) * model.batch


def _answers(model: Predictor, samples: Samples, chunk: Chunk, first: int, unusual: Unusual) -> np.ndarray:
    """Return what the model says of a chunk; what is wrong with a value tells where in the file it is."""
    where = f"{samples.where}: " if samples.where else ""
    try:
        return model.answers(chunk.raw, unusual)
    except Unlike as error:
        raise DataError(f"{where}{error.at(lambda row: samples.place(first + row))}") from None
    except DataError as error:
        raise DataError(f"{where}{error}") from None


def _frame(model: Predictor, chunk: Chunk, first: int, asked: _Asked, answers: np.ndarray) -> pd.DataFrame:
    columns: dict[str, Any] = {"index": np.arange(first, first + chunk.samples)}
    columns |= {name: pd.Series(label, dtype="str") for name, label in chunk.labels.items()}
    if chunk.steps:
        return _step_by_step(pd.DataFrame(columns), chunk.steps, answers, model.shape)
    return pd.DataFrame(columns | dict(_predicted(model, asked, answers)))


def _step_by_step(
    samples: pd.DataFrame, steps: Mapping[str, np.ndarray], answers: np.ndarray, shape: TaskShape
) -> pd.DataFrame:
    """Return a row for each step of each sample: its value, and of quantiles the median with all of them beside it."""
    frame = samples.loc[samples.index.repeat(answers.shape[1])].reset_index(drop=True)
    values = answers.reshape(len(frame), -1)
    told = _of_quantiles(values, shape.quantiles) if shape.quantiles else {"prediction": values[:, 0]}
    texts = {name: pd.Series(each.ravel(), dtype="str") for name, each in steps.items()}
    return frame.assign(**texts, **told)


def _of_quantiles(quantiles: np.ndarray, levels: Sequence[float]) -> dict[str, np.ndarray]:
    """Return the median of ``N x Q`` quantiles, or the one next to it, and all of them beside it."""
    return {"prediction": quantiles[:, middle_of(levels)], **quantile_columns(quantiles, levels)}


def _predicted(model: Predictor, asked: _Asked, answers: np.ndarray) -> Iterator[tuple[str, Any]]:
    predictions = model.decide(answers)
    if model.class_names:
        yield "prediction", pd.Series(predictions, dtype="str")
        if asked.proba:
            yield from zip((f"probability_{name}" for name in model.class_names), answers.T, strict=True)
        return
    if levels := model.shape.quantiles:
        yield from _of_quantiles(predictions, levels).items()
        if asked.ends is not None:
            yield from zip(("low", "high"), asked.ends(predictions).T, strict=True)
        return
    parts: Mapping[str, np.ndarray] = {"prediction": predictions}
    if asked.proba:
        parts = {**parts, "probability": answers}
    if asked.ends is not None:
        ends = asked.ends(predictions)
        parts = {**parts, "low": ends[..., 0], "high": ends[..., 1]}
    for what, values in parts.items():
        yield from value_columns(what, values, model.value_names).items()
