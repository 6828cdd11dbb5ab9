"""Test scores against the predictions that they follow from, by the problem's own metrics."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from harness.integrity.contents import Contents
from harness.integrity.findings import Finding, differing, same
from harness.problems import LOSS, Undefined, problems
from harness.problems.problem import Problem
from harness.report.load import value_suffixes
from harness.store.loose import at, number, text

STATS, PREDICTIONS = "stats.json", "predictions.parquet"
EXACT, ROUNDED = 1e-9, 1e-4
"""Relative tolerances: of what is computed again from the same figures, and of sums that a device made in float32."""
LEAST = 1e-30
"""A probability below it was rounded to nothing in float32: the loss does not follow from it."""


def check_test(contents: Contents) -> None:
    """Note where the test scores of ``stats.json`` do not follow from ``predictions.parquet``."""
    test = contents.stats.get("test")
    if not isinstance(test, dict):
        return
    if not contents.has(PREDICTIONS):
        contents.note([Finding(PREDICTIONS, "is missing, and stats.json has test scores")])
    if (frame := contents.table(PREDICTIONS)) is not None:
        expected = at(contents.stats, "task", "test")
        contents.note(differing(PREDICTIONS, "has not the test samples of stats.json", expected, len(frame)))
        contents.note(_split_findings(frame, contents.table("splits.parquet")))
        contents.note(_class_findings(frame, test))
        _compare(contents, PREDICTIONS, frame, STATS, at(test, "metrics"), "test.metrics.", _units(contents))


def check_test_of_trials(contents: Contents) -> None:
    """Note where the test scores of single trials do not follow from their predictions."""
    for path in sorted((contents.run / "test").glob("trial-*.json")):
        name = f"test/{path.stem}.parquet"
        told = contents.object(f"test/{path.name}")
        if told is not None and (frame := contents.table(name)) is not None:
            # Each may have a split of its own, and so units of its own, which are not kept.
            _compare(contents, name, frame, f"test/{path.name}", told.get("metrics"), "metrics.", ([], ""))


def _compare(
    contents: Contents,
    name: str,
    frame: pd.DataFrame,
    file: str,
    told: Any,
    prefix: str,
    units: tuple[list[float], str],
) -> None:
    kind = text(at(contents.stats, "task", "kind"))
    if kind not in problems:
        contents.leave(f"{file}: its test scores: no problem {kind!r} is known here")
        return
    sides = _sides(problems[kind], frame)
    if sides is None:
        contents.note([Finding(name, "has not the columns of predictions")])
        return
    if not isinstance(told, dict):
        contents.note([Finding(file, f"has no {prefix.removesuffix('.')}")])
        return
    contents.note(_score_findings(problems[kind], *sides, file, told, prefix))
    contents.note(_loss_findings(problems[kind], *sides, file, told, prefix, units))
    if own := sorted(set(told) - {LOSS} - {metric.name for metric in problems[kind].metrics}):
        contents.leave(f"{file}: {', '.join(own)}: metrics of your own, whose functions are not in the run")
    if problems[kind].classes:
        contents.note(_label_findings(frame, name, contents))


def _sides(problem: Problem, frame: pd.DataFrame) -> tuple[np.ndarray, np.ndarray] | None:
    """Return targets and answers as metrics take them; None where the columns of them are not all there."""
    if problem.classes:
        count = sum(name.startswith("probability_") for name in frame.columns)
        wanted = ["target", *(f"probability_{code}" for code in range(count))]
    else:
        wanted = [f"{what}{suffix}" for what in ("target", "predicted") for suffix in value_suffixes(frame)]
    numeric = all(name in frame.columns and pd.api.types.is_numeric_dtype(frame[name].dtype) for name in wanted)
    if not numeric or len(wanted) < 2 or frame.empty:
        return None
    if problem.classes:
        targets, answers = frame["target"].to_numpy(), frame[wanted[1:]].to_numpy()
        return (targets, answers) if ((targets >= 0) & (targets < answers.shape[1])).all() else None
    half = len(wanted) // 2
    shape = (len(frame),) if half == 1 else (len(frame), half)
    return frame[wanted[:half]].to_numpy().reshape(shape), frame[wanted[half:]].to_numpy().reshape(shape)


def _score_findings(
    problem: Problem, targets: np.ndarray, answers: np.ndarray, file: str, told: Mapping[str, Any], prefix: str
) -> Iterator[Finding]:
    finite = bool(np.isfinite(answers).all())
    for metric in problem.metrics:
        if metric.name not in told or not finite:
            continue
        try:
            value = problem.score(metric.name, targets, answers)
        except Undefined:
            value = math.nan
        tolerance = EXACT if problem.classes or not metric.summed else ROUNDED
        if not same(value, told[metric.name], rel=tolerance, abs_=tolerance * (metric.name == "r2")):
            what = f"{prefix}{metric.name} does not follow from the predictions"
            yield Finding(file, what, f"{value:.6g}", str(told[metric.name]))


def _loss_findings(
    problem: Problem,
    targets: np.ndarray,
    answers: np.ndarray,
    file: str,
    told: Mapping[str, Any],
    prefix: str,
    units: tuple[list[float], str],
) -> Iterator[Finding]:
    """Yield where the plain loss is another than the mean of the samples'."""
    if problem.classes and answers[np.arange(len(targets)), targets.astype(int)].min() < LEAST:
        return
    scale, loss = units
    if LOSS not in told or (not problem.classes and not scale) or not np.isfinite(answers).all():
        return
    loss = problem.losses[0] if loss not in problem.losses else loss
    value = float(problem.losses_of(answers, targets, loss=loss, scale=scale).mean())
    if not same(value, told[LOSS], rel=ROUNDED, abs_=1e-6):
        yield Finding(file, f"{prefix}loss does not follow from the predictions", f"{value:.6g}", str(told[LOSS]))


def _units(contents: Contents) -> tuple[list[float], str]:
    """Return the units of the values that a model predicts, and the loss it is trained with."""
    scale = at(contents.object("best/preprocessing.json"), "target", "scale")
    each = scale if isinstance(scale, list) else [scale]
    loss = text(at(contents.object("best/candidate.json"), "candidate", "loss"))
    return [] if scale is None else [number(unit) for unit in each], loss


def _split_findings(frame: pd.DataFrame, splits: pd.DataFrame | None) -> Iterator[Finding]:
    """Yield where the samples are not those of the test part."""
    if splits is not None and {"index", "part"} <= set(splits.columns) and "index" in frame.columns:
        expected = sorted(splits["index"][splits["part"] == "test"].tolist())
        if expected != sorted(frame["index"].tolist()):
            yield Finding(PREDICTIONS, "its samples are not the test part of splits.parquet")


def _class_findings(frame: pd.DataFrame, test: Mapping[str, Any]) -> Iterator[Finding]:
    """Yield where the confusion matrix is not that of the predictions."""
    confusion = test.get("confusion")
    if isinstance(confusion, list) and {"target", "predicted"} <= set(frame.columns):
        pairs = zip(frame["target"], frame["predicted"], strict=True)
        counts = [[0] * len(confusion) for _ in confusion]
        for target, predicted in pairs:
            counts[int(target)][int(predicted)] += 1
        yield from differing(STATS, "test.confusion does not follow from the predictions", counts, confusion)


def _label_findings(frame: pd.DataFrame, file: str, contents: Contents) -> Iterator[Finding]:
    """Yield the rows whose class is not the one that its probabilities, or its name, say."""
    names: Sequence[str] = at(contents.stats, "task", "classes") or ()
    columns = [name for name in frame.columns if name.startswith("probability_")]
    table = frame[columns].to_numpy(np.float64)
    unlike = np.flatnonzero(np.abs(table.sum(axis=1) - 1.0) > 1e-3)
    for place in unlike:
        yield Finding(file, f"the probabilities of row {place} do not add up to 1", "1", f"{table[place].sum():.6g}")
    if "threshold" not in json.dumps(contents.object("best/candidate.json") or {}):
        for place in np.flatnonzero(table.argmax(axis=1) != frame["predicted"].to_numpy()):
            what = f"predicted of row {place} is not the most probable class"
            yield Finding(file, what, str(table[place].argmax()), str(frame["predicted"].iloc[place]))
    for column in ("target", "predicted"):
        if f"{column}_name" in frame.columns and names:
            for place, (code, name) in enumerate(zip(frame[column], frame[f"{column}_name"], strict=True)):
                expected = names[int(code)] if 0 <= int(code) < len(names) else "no class"
                if str(name) != str(expected):
                    yield Finding(file, f"{column}_name of row {place} is not its class", str(expected), str(name))
