"""What a threshold makes of predictions of two classes; the probabilities, and what follows from them, stay."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch

from harness.measure.threshold import Threshold
from harness.problems import problems
from harness.problems.deciding import decide
from harness.records import TaskShape

BEFORE, AFTER = "before", "after"
"""When a threshold was set: before the test samples were opened, or when their scores were known."""
PROBABILITIES = ["probability_0", "probability_1"]


class Decided(NamedTuple):
    """Predictions at a threshold."""

    predictions: pd.DataFrame
    metrics: dict[str, float]
    """Those that follow from the predicted classes alone."""
    details: dict[str, Any]
    """Scores of each class, and the confusion matrix."""


def decided(predictions: pd.DataFrame, shape: TaskShape, names: Sequence[str], threshold: float | None) -> Decided:
    """Return predictions of two classes, with ``target`` and both probabilities, decided anew; None: the larger one."""
    codes = decide(predictions[PROBABILITIES].to_numpy(np.float64), threshold)
    problem = problems[shape.kind]
    quality = problem.quality(shape, torch.device("cpu"))
    quality.update(torch.from_numpy(codes), torch.from_numpy(predictions["target"].to_numpy(np.int64, copy=True)))
    columns = {"predicted": codes, "predicted_name": np.array(names, dtype=object)[codes]}
    return Decided(predictions.assign(**columns), quality.metrics(), problem.details(quality, names))


def told(threshold: Threshold, when: str, most_probable: Mapping[str, float]) -> dict[str, Any]:
    """Return what ``stats.json`` says of a threshold, with the scores of the most probable class beside its own."""
    return {**threshold.as_dict(), "set": when, "most_probable": dict(most_probable)}
