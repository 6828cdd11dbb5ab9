"""Another threshold for the final model of a finished run; no sample is opened for it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from harness.errors import InputError, StorageError
from harness.measure.threshold import Threshold, threshold_of
from harness.problems import Undefined
from harness.spec import Rule
from harness.store import RunFolder, to_parquet
from harness.store.files import read_object, read_parquet
from harness.study.final.saved import BEST, FULL, VALIDATION, Saved, model_folder, read_saved
from harness.study.final.thresholded import AFTER, PROBABILITIES, Decided, decided, told

PREDICTIONS = "predictions.parquet"


@dataclass(frozen=True, slots=True)
class Redecided:
    """A threshold, and the scores that follow from predicted classes: at it, and of the most probable class.

    >>> Redecided({"value": 0.3, "by": "value"}, {}, {"accuracy": 0.9}, {}, {"accuracy": 0.95}).threshold["value"]
    0.3
    """

    threshold: Mapping[str, Any] | None
    """``value``, ``by`` and the costs where they chose it; None: the most probable class is predicted."""
    validation: Mapping[str, float]
    """On the samples that it was chosen on, so optimistic; empty where the run keeps no predictions of them."""
    test: Mapping[str, float]
    """Empty where the test samples were not opened."""
    validation_most_probable: Mapping[str, float]
    test_most_probable: Mapping[str, float]


def redecide(folder: RunFolder, rule: float | Rule | None) -> Redecided:
    """Set the threshold of a run's final model, and of what was refitted on all samples by its recipe.

    What follows from the predicted classes in ``predictions.parquet`` and ``stats.json`` is written anew. All is read
    and computed first; where the process is killed while it writes, the run is not sealed, and this can be done again.
    Raises :class:`InputError` where the model has not two classes or the rule cannot choose, and :class:`StorageError`.
    """
    run = folder.path
    saved = read_saved(model_folder(run, BEST) / "candidate.json")
    if len(saved.class_names) != 2:
        what = f"one of {len(saved.class_names)} classes" if saved.class_names else "values"
        raise InputError(f"{run}: predicts {what}; a threshold is for two classes")
    stats = read_object(run / "stats.json")
    validation, predictions = _validation(run), _frame(run / PREDICTIONS) if stats["test"] else None
    threshold = _chosen(run, rule, validation)
    at = [_decided(saved, frame, threshold.value if threshold else None) for frame in (validation, predictions)]
    plain = [_decided(saved, frame, None) for frame in (validation, predictions)]
    files = {name: _with_threshold(read_object(path), threshold) for name, path in _candidates(run).items()}
    folder.unseal()
    if at[1] and plain[1]:
        folder.write(PREDICTIONS, to_parquet(at[1].predictions))
        stats["test"] = _restated(stats["test"], at[1], threshold, plain[1].metrics)
    for name, contents in files.items():
        folder.write_json(name, contents)
    folder.write_json("stats.json", stats)
    scores = [each.metrics if each else {} for each in (*at, *plain)]
    return Redecided(threshold.as_dict() if threshold else None, *scores)


def _validation(run: Path) -> pd.DataFrame | None:
    """Return what was said of the validation samples; None of a run by a version that did not keep it."""
    return _frame(run / VALIDATION) if (run / VALIDATION).is_file() else None


def _frame(path: Path) -> pd.DataFrame:
    frame = read_parquet(path)
    for name in ("target", *PROBABILITIES):
        if name not in frame or not pd.api.types.is_numeric_dtype(frame[name]):
            raise StorageError(f"{path}: has no column {name!r} of numbers; the file is damaged")
    if not frame["target"].isin((0, 1)).all():
        raise StorageError(f"{path}: column 'target' holds others than the codes 0 and 1; the file is damaged")
    return frame


def _chosen(run: Path, rule: float | Rule | None, validation: pd.DataFrame | None) -> Threshold | None:
    if rule is None:
        return None
    if isinstance(rule, float):
        return Threshold(rule, "value")
    if validation is None:
        raise InputError(
            f"{run}: keeps no predictions of validation (no {VALIDATION}), by which a threshold is chosen; "
            "it was made by an earlier version: give a value, or search anew"
        )
    try:
        return threshold_of(rule, validation[PROBABILITIES[1]].to_numpy(), validation["target"].to_numpy())
    except Undefined as error:
        raise InputError(f"{run}: no threshold can be chosen: {error}; give a value") from None


def _decided(saved: Saved, frame: pd.DataFrame | None, threshold: float | None) -> Decided | None:
    return None if frame is None else decided(frame, saved.shape, saved.class_names, threshold)


def _restated(
    test: Mapping[str, Any], new: Decided, threshold: Threshold | None, most_probable: Mapping[str, float]
) -> dict[str, Any]:
    """Return ``test`` of ``stats.json`` with what follows from the predicted classes."""
    rest = {name: value for name, value in test.items() if name != "threshold"}
    about = {"threshold": told(threshold, AFTER, most_probable)} if threshold else {}
    return {**rest, **about, **new.details, "metrics": {**test["metrics"], **new.metrics}}


def _candidates(run: Path) -> dict[str, Path]:
    """Return the files that say what a threshold of the winner's is, by their names in the run."""
    names = (f"{folder}/candidate.json" for folder in (BEST, FULL))
    return {name: run / name for name in names if (run / name).is_file()}


def _with_threshold(contents: Mapping[str, Any], threshold: Threshold | None) -> dict[str, Any]:
    rest = {name: value for name, value in contents.items() if name != "threshold"}
    return {**rest, **({"threshold": threshold.as_dict()} if threshold else {})}
