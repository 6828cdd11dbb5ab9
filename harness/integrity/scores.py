"""Test scores against the predictions that they follow from, by the problem's own metrics."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import torch

from harness.integrity.contents import Contents
from harness.integrity.findings import Finding, differences, differing, same
from harness.problems import LOSS, Undefined, problems
from harness.problems.problem import Metric, Problem
from harness.problems.quantile_scores import PREFIX, levels_in, middle_of
from harness.records import Target
from harness.report.load import value_suffixes
from harness.store.loose import at, number, text
from harness.study.final.saved import read_saved
from harness.text import plain

STATS, PREDICTIONS = "stats.json", "predictions.parquet"
EXACT, ROUNDED = 1e-9, 1e-4
"""Relative tolerances: of what is computed again from the same figures, and of sums that a device made in float32."""
LEAST, LEAST_OF_LABELS = 1e-30, 1e-5
"""A probability below it was rounded in float32, of classes to nothing and of labels to a share of it in the difference
from 1: the loss does not follow from it."""
PROBABILITY = "probability_"


def check_test(contents: Contents) -> None:
    """Note where the test scores of ``stats.json`` do not follow from ``predictions.parquet``."""
    test = contents.stats.get("test")
    if not isinstance(test, dict):
        return
    if not contents.has(PREDICTIONS):
        contents.note([Finding(PREDICTIONS, "is missing, and stats.json has test scores")])
    if (frame := contents.table(PREDICTIONS)) is not None:
        expected = at(contents.stats, "task", "test")
        contents.note(differing(PREDICTIONS, f"has not the test samples of {STATS}", expected, len(frame)))
        contents.note(_split_findings(frame, contents.table("splits.parquet")))
        threshold = number(at(contents.object("best/candidate.json"), "threshold", "value"))
        if (answered := _answered(contents, PREDICTIONS, frame, threshold)) is not None:
            told = test["metrics"]
            contents.note(answered.score_findings(STATS, "test.metrics.", told))
            contents.note(_loss_findings(answered, told, *_units(contents)))
            contents.note(_detail_findings(contents, answered, test))
            _leave_own(contents, answered.problem, STATS, told)


def check_test_of_trials(contents: Contents) -> None:
    """Note where the test scores of single trials do not follow from their predictions."""
    for path in sorted((contents.run / "test").glob("trial-*.json")):
        file, name = f"test/{path.name}", f"test/{path.stem}.parquet"
        told, frame = contents.object(file), contents.table(name)
        if told is not None and frame is not None and (answered := _answered(contents, name, frame)) is not None:
            contents.note(answered.score_findings(file, "metrics.", told["metrics"]))
            _leave_own(contents, answered.problem, file, told["metrics"])


@dataclass(frozen=True, eq=False)
class _Answered:
    """Predictions as metrics take them: of classes N x C probabilities, N x Q quantiles, else values."""

    problem: Problem
    targets: np.ndarray
    answers: np.ndarray
    predicted: np.ndarray
    """Of classes N codes, which a threshold may have decided; of quantiles N of one level; else the values."""

    def score_findings(self, file: str, prefix: str, told: Mapping[str, Any]) -> Iterator[Finding]:
        """Yield the metrics that do not follow from the predictions."""
        for metric in self.problem.metrics:
            if metric.name not in told or metric.name in self.problem.unchecked or not np.isfinite(self.answers).all():
                continue
            value = self._score(metric)
            tolerance = EXACT if self.problem.classes or not metric.summed else ROUNDED
            if not same(value, told[metric.name], rel=tolerance, abs_=tolerance * (metric.name == "r2")):
                what = f"{prefix}{metric.name} does not follow from the predictions"
                yield Finding(file, what, f"{value:.6g}", str(told[metric.name]))

    def _score(self, metric: Metric) -> float:
        answers = self.answers
        if self.problem.classes and metric.summed:  # those of the confusion matrix
            answers = np.eye(answers.shape[1])[self.predicted]
        try:
            return self.problem.score(metric.name, self.targets, answers)
        except Undefined:
            return math.nan


def _answered(contents: Contents, file: str, frame: pd.DataFrame, threshold: float = math.nan) -> _Answered | None:
    """Return what a table of predictions says; None, with a finding, where it is none."""
    kind = text(at(contents.stats, "task", "kind"))
    if kind not in problems:
        contents.leave(f"the test scores of {file}: no problem {kind!r} is known here")
        return None
    problem = problems[kind]
    found = _of_classes(problem, frame) if problem.classes else _of_values(problem, frame)
    if found is None:
        contents.note([Finding(file, "has not the columns of predictions")])
    elif problem.classes:
        contents.note(_code_findings(found, file, threshold))
        contents.note(_name_findings(frame, file, at(contents.stats, "task", "classes") or []))
    elif levels := levels_in(frame.columns):
        contents.note(_quantile_findings(found, file, levels))
    return found


def _of_classes(problem: Problem, frame: pd.DataFrame) -> _Answered | None:
    count = sum(name.startswith(PROBABILITY) for name in frame.columns)
    wanted = ["target", "predicted", *(f"{PROBABILITY}{code}" for code in range(count))]
    if count == 0 or not _numeric(frame, wanted):
        return None
    codes = frame[["target", "predicted"]].to_numpy()
    if not ((codes >= 0) & (codes < count)).all():
        return None
    targets, predicted = codes.astype(np.int64).T
    return _Answered(problem, targets, frame[wanted[2:]].to_numpy(np.float64), predicted)


def _of_values(problem: Problem, frame: pd.DataFrame) -> _Answered | None:
    if levels := levels_in(frame.columns):
        return _of_quantiles(problem, frame, levels)
    suffixes = value_suffixes(frame)
    targets, answers = ([f"{what}{suffix}" for suffix in suffixes] for what in ("target", "predicted"))
    targets += problem.beside
    if not _numeric(frame, [*targets, *answers]):
        return None
    known, values = (frame[names].to_numpy(np.float64) for names in (targets, answers))
    if suffixes == [""]:
        known, values = known[:, 0], values[:, 0]
    return _Answered(problem, known, values, values)


def _of_quantiles(problem: Problem, frame: pd.DataFrame, levels: tuple[float, ...]) -> _Answered | None:
    names = [f"{PREFIX}{level}" for level in levels]
    if not _numeric(frame, ["target", "predicted", *names]):
        return None
    targets, predicted = (frame[name].to_numpy(np.float64) for name in ("target", "predicted"))
    return _Answered(problem.of(Target(quantiles=levels)), targets, frame[names].to_numpy(np.float64), predicted)


def _numeric(frame: pd.DataFrame, names: list[str]) -> bool:
    return len(frame) > 0 and all(
        name in frame.columns and pd.api.types.is_numeric_dtype(frame[name].dtype) for name in names
    )


def _leave_own(contents: Contents, problem: Problem, file: str, told: Mapping[str, Any]) -> None:
    if own := sorted(set(told) - {LOSS} - {metric.name for metric in problem.metrics}):
        contents.leave(f"{file}: {', '.join(own)}: a metric of your own, whose function is not in the run")


def _loss_findings(answered: _Answered, told: Mapping[str, Any], scale: list[float], loss: str) -> Iterator[Finding]:
    """Yield where the plain loss is another than the mean of the samples'; it may have been rounded to nothing."""
    problem, targets, answers = answered.problem, answered.targets, answered.answers
    if (
        LOSS not in told
        or LOSS in problem.unchecked
        or not np.isfinite(answers).all()
        or not (problem.classes or scale)
    ):
        return
    if problem.classes and answers[np.arange(len(targets)), targets].min() < LEAST:
        return
    if problem.flags and np.where(targets > 0.5, answers, 1.0 - answers).min() < LEAST_OF_LABELS:
        return
    loss = problem.losses[0] if loss not in problem.losses else loss
    value = float(problem.losses_of(answers, targets, loss=loss, scale=scale).mean())
    if not same(value, told[LOSS], rel=ROUNDED, abs_=1e-6):
        yield Finding(STATS, "test.metrics.loss does not follow from the predictions", f"{value:.6g}", str(told[LOSS]))


def _units(contents: Contents) -> tuple[list[float], str]:
    """Return the units of the values that the final model predicts, and the loss it was trained with."""
    target = at(contents.object("best/preprocessing.json"), "target")
    scale = None if at(target, "log") else at(target, "scale")  # the predictions are no logarithms
    each = scale if isinstance(scale, list) else [scale]
    loss = text(at(contents.object("best/candidate.json"), "candidate", "loss"))
    return [] if scale is None else [number(unit) for unit in each], loss


def _split_findings(frame: pd.DataFrame, splits: pd.DataFrame | None) -> Iterator[Finding]:
    """Yield where the samples are not those of the test part."""
    if splits is not None and {"index", "part"} <= set(splits.columns) and "index" in frame.columns:
        expected = sorted(splits["index"][splits["part"] == "test"].tolist())
        if expected != sorted(frame["index"].tolist()):
            yield Finding(PREDICTIONS, "its samples are not the test part of splits.parquet")


def _detail_findings(contents: Contents, answered: _Answered, test: Mapping[str, Any]) -> Iterator[Finding]:
    """Yield where the scores of each class, the confusion matrix, or those without the threshold are others."""
    saved = contents.read("best/candidate.json", read_saved)
    if saved is None or not answered.problem.classes:
        return
    codes = {"": answered.predicted, "threshold.most_probable": answered.answers.argmax(axis=1)}
    quality = {name: answered.problem.quality(saved.shape, torch.device("cpu")) for name in codes}
    for name, each in quality.items():
        each.update(torch.from_numpy(codes[name]), torch.from_numpy(answered.targets))
    details = answered.problem.details(quality[""], saved.class_names)
    for name in ("confusion", "per_class"):
        if test.get(name) is not None:
            yield from differences(STATS, "the predictions", plain(details[name]), test[name], f"test.{name}")
    most_probable = at(test, "threshold", "most_probable")
    if most_probable is not None:
        expected = plain(quality["threshold.most_probable"].metrics())
        yield from differences(STATS, "the predictions", expected, most_probable, "test.threshold.most_probable")


def _code_findings(answered: _Answered, file: str, threshold: float) -> Iterator[Finding]:
    """Yield the rows whose class is not the one that its probabilities say."""
    table = answered.answers
    for place in np.flatnonzero(np.abs(table.sum(axis=1) - 1.0) > 1e-3):
        yield Finding(file, f"the probabilities of row {place} do not add up to 1", "1", f"{table[place].sum():.6g}")
    codes = table.argmax(axis=1) if math.isnan(threshold) else (table[:, 1] >= threshold).astype(np.int64)
    for place in np.flatnonzero(codes != answered.predicted):
        what = f"predicted of row {place} is not the class that its probabilities say"
        yield Finding(file, what, str(codes[place]), str(answered.predicted[place]))


def _quantile_findings(answered: _Answered, file: str, levels: tuple[float, ...]) -> Iterator[Finding]:
    """Yield the rows whose quantiles cross, or whose prediction is not one of them."""
    quantiles = answered.answers
    for place in np.flatnonzero((np.diff(quantiles, axis=1) < 0.0).any(axis=1)):
        yield Finding(file, f"the quantiles of row {place} do not ascend")
    middle = quantiles[:, middle_of(levels)]
    for place in np.flatnonzero(middle != answered.predicted):
        what = f"predicted of row {place} is not its quantile next to the median"
        yield Finding(file, what, f"{middle[place]:.6g}", f"{answered.predicted[place]:.6g}")


def _name_findings(frame: pd.DataFrame, file: str, classes: list[str]) -> Iterator[Finding]:
    """Yield the rows whose class has another name than the task gives it."""
    for column in ("target", "predicted"):
        if f"{column}_name" not in frame.columns or not classes:
            continue
        for place, (code, name) in enumerate(zip(frame[column], frame[f"{column}_name"], strict=True)):
            what = f"{column}_name of row {place} is not that of its class"
            yield from differing(file, what, classes[int(code)], str(name))
