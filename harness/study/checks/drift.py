"""Parts that differ: a classifier tells one part's samples from the other's."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
from scipy.stats import rankdata

from harness.data import Part, TrainingData
from harness.data.suspicion import Suspicion
from harness.study.checks.classifier import Opinion, opinion
from harness.study.checks.sample import Floats, Indices, Sample, draw, stacked

LEAST, ROWS = 50, 500
"""Fewest and most samples of a part that are looked at."""
DIFFERENT = 0.6
"""Area under the ROC curve that the lower end of its interval must exceed; 0.5 is chance."""
_SHOWN = 3


def code_of(part: str) -> str:
    """Return the code of a difference between the training samples and a part."""
    return f"{part}-drift"


def drift(dataset: TrainingData, part: Part, name: str, seed: int) -> Iterator[Suspicion]:
    """Yield how well the inputs of ``part`` can be told from those of the training samples; targets are not looked at.

    The area under the ROC curve of a classifier's out-of-sample probabilities, with the 95 % interval of Hanley and
    McNeil (1982, Radiology 143:29).
    """
    if min(len(part), len(dataset.train)) < LEAST:
        return
    samples = draw(dataset, (dataset.train,), ROWS, seed), draw(dataset, (part,), ROWS, seed)
    of_part = np.repeat([0, 1], [len(each) for each in samples])
    found = opinion(stacked(*(each.inputs for each in samples)), of_part, seed)
    area = area_under_curve(found.chances[:, 1], of_part)
    low, high = interval(area, *(len(each) for each in samples))
    if low <= DIFFERENT:
        return
    yield Suspicion(
        code_of(name),
        f"{name} samples can be told from training samples by their inputs: area under the ROC curve {area:.2f} (95 % "
        f"interval {low:.2f} to {high:.2f}; 0.5 if they were alike)",
        "a score on one says little of the other: look whether what differs means the same in both, and drop what "
        "only tells time or origin",
        examples=tuple(_different(*samples, found)),
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


def _different(train: Sample, part: Sample, found: Opinion) -> Iterator[str]:
    """Yield the columns that the classifier goes by most."""
    importances = found.importances[: len(train.names)]
    for place in np.argsort(-importances, kind="stable")[:_SHOWN].tolist():
        if importances[place] <= 1 / len(found.importances):
            return
        share = f"{100 * importances[place]:.0f} % of the {found.whose}'s importance"
        yield f"{train.names[place]!r}: {share}{_levels(train, part, place)}"


def _levels(train: Sample, part: Sample, place: int) -> str:
    """Return how large a column is in both parts; "" of categories."""
    if train.counted:
        held = (100 * float((each.inputs[:, [place]] != 0).mean()) for each in (train, part))
        return ", in {:.3g} % of training and {:.3g} %".format(*held)
    if place >= train.numbers:
        return ""
    return f", mean {_mean(train, place)} in training and {_mean(part, place)}"


def _mean(sample: Sample, column: int) -> str:
    return f"{sample.own_units(column).mean():.4g}"
