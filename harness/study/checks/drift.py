"""Parts that differ: a forest tells one part's samples from the other's."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
from scipy.stats import rankdata

from harness.data import Part, TrainingData
from harness.data.suspicion import Suspicion
from harness.study.checks.forest import grown
from harness.study.checks.sample import Floats, Indices, Sample, draw

LEAST, ROWS = 50, 1_000
"""Fewest and most samples of a part that are looked at."""
DIFFERENT = 0.6
"""Area under the ROC curve that the lower end of its interval must exceed; 0.5 is chance."""
_SHOWN = 3


def code_of(part: str) -> str:
    """Return the code of a difference between the training samples and a part."""
    return f"{part}-drift"


def drift(dataset: TrainingData, part: Part, name: str, seed: int) -> Iterator[Suspicion]:
    """Yield how well the inputs of ``part`` can be told from those of the training samples; targets are not looked at.

    The area under the ROC curve of a forest's out-of-bag probabilities, with the 95 % interval of Hanley and McNeil
    (1982, Radiology 143:29).
    """
    if min(len(part), len(dataset.train)) < LEAST:
        return
    samples = draw(dataset, (dataset.train,), ROWS, seed), draw(dataset, (part,), ROWS, seed)
    of_part = np.repeat([0, 1], [len(each) for each in samples])
    forest = grown(np.concatenate([each.inputs for each in samples]), of_part, seed)
    area = area_under_curve(forest.oob_decision_function_[:, 1], of_part)
    low, high = interval(area, *(len(each) for each in samples))
    if low <= DIFFERENT:
        return
    yield Suspicion(
        code_of(name),
        f"{name} samples can be told from training samples by their inputs: area under the ROC curve {area:.2f} (95 % "
        f"interval {low:.2f} to {high:.2f}; 0.5 if they were alike)",
        "a score on one says little of the other: look whether the columns that differ mean the same in both, and drop "
        "those that only tell time or origin",
        examples=tuple(_different(*samples, forest.feature_importances_)),
    )


def area_under_curve(scores: Floats, positive: Indices) -> float:
    """Return the share of pairs, one of each kind, of which the positive one has the higher score; ties count half."""
    count = int(positive.sum())
    ranks = rankdata(scores)[positive == 1].sum()
    return float((ranks - count * (count + 1) / 2) / (count * (len(scores) - count)))


def interval(area: float, negative: int, positive: int) -> tuple[float, float]:
    """Return the 95 % interval of an area under the ROC curve."""
    first, second = area / (2 - area), 2 * area**2 / (1 + area)
    spread = area * (1 - area) + (positive - 1) * (first - area**2) + (negative - 1) * (second - area**2)
    half = 1.96 * math.sqrt(max(0.0, spread) / (negative * positive))
    return max(0.0, area - half), min(1.0, area + half)


def _different(train: Sample, part: Sample, importances: Floats) -> Iterator[str]:
    """Yield the columns that the forest goes by most."""
    for place in np.argsort(-importances, kind="stable")[:_SHOWN].tolist():
        if not train.names or importances[place] <= 1 / len(importances):
            return
        name, share = train.names[place], 100 * importances[place]
        means = "" if place >= train.numbers else f", mean {_mean(train, place)} in training and {_mean(part, place)}"
        yield f"{name!r}: {share:.0f} % of the forest's importance{means}"


def _mean(sample: Sample, column: int) -> str:
    return f"{sample.own_units(column).mean():.4g}"
