"""Samples that stand out: rare classes, values far from all others, and near copies across the parts."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from harness.data import TrainingData
from harness.data.suspicion import Suspicion
from harness.study.checks.sample import Floats, Indices, Sample, draw

RATIO = 10.0
"""Samples of the commonest class for one of the rarest from which a task counts as imbalanced."""
FAR = 10.0
"""How many times as far from the median as 95 % of the values an outlier lies."""
FAR_LOG = 3.0
"""The same of logarithms, where all values are above 0: what is merely skewed is not far there."""
NEAR = 0.003
"""Share of the usual distance to the nearest sample below which two are near copies."""
_WITHIN = 0.95
_LEAST = 50
_SHOWN = 5
_MOST_SHARE = 0.01
"""Of the values of a column, most that count as outliers: what is more frequent is a group of its own."""
_COMPARED = 1_000, 5_000
"""Most validation and training samples that are compared."""


def imbalance(dataset: TrainingData) -> Iterator[Suspicion]:
    """Yield the rarest class of the training samples, where it is ten times as rare as the commonest."""
    names = dataset.class_names
    if not names or dataset.train.targets.ndim != 1:
        return
    counts = np.bincount(dataset.train.targets, minlength=len(names))
    rarest, commonest = int(counts.argmin()), int(counts.argmax())
    if counts[commonest] < RATIO * counts[rarest]:
        return
    rare = np.argsort(counts, kind="stable")[:_SHOWN]
    yield Suspicion(
        "imbalance",
        f"class {names[rarest]!r} has {counts[rarest]:,} of {counts.sum():,} training samples "
        f"({_percent(counts[rarest] / counts.sum())}), class {names[commonest]!r} {counts[commonest]:,}",
        "judge by f1_macro or balanced_accuracy; let the search try `class_weights` or `sampling: [random, balanced]`",
        share=float(counts[rarest] / counts.sum()),
        examples=tuple(f"{names[k]!r}: {counts[k]:,}" for k in rare if counts[commonest] >= RATIO * counts[k]),
    )


def outliers(sample: Sample) -> Iterator[Suspicion]:
    """Yield the columns of numbers, and the targets, with a few values that lie far from all others.

    Far is ten times as far from the median as 95 % of the values; of values that are all above 0 three times as far in
    their logarithms too, so that prices and counts with a long tail have none.
    """
    if len(sample) < _LEAST:
        return
    columns = [(sample.names[place], sample.own_units(place)) for place in range(sample.numbers)]
    if not sample.classes:
        values = sample.targets.reshape(len(sample), -1).astype(np.float64)
        columns += [("", each) for each in values.T]
    for name, values in columns:
        rows = _far(values)
        if 0 < len(rows) <= max(1.0, _MOST_SHARE * len(sample)):
            low, high = np.quantile(values, [(1 - _WITHIN) / 2, (1 + _WITHIN) / 2])
            whose = f"column {name!r} has" if name else "the target has"
            yield Suspicion(
                "outliers",
                f"{whose} {_plural(len(rows), 'value')} far from all others ({_percent(_WITHIN)} of {len(sample):,} "
                f"lie from {low:.4g} to {high:.4g})",
                "correct them if they are errors or stand for a missing value (`missing`)",
                subject=name,
                share=len(rows) / len(sample),
                examples=tuple(f"sample {sample.index[row]}: {values[row]:.6g}" for row in rows[:_SHOWN]),
            )


def _far(values: Floats) -> Indices:
    """Return the places of what is far from all other values, the farthest first."""
    away = np.abs(values - np.median(values))
    usual = np.quantile(away, _WITHIN)
    far = away > FAR * usual
    if usual == 0.0 or not far.any():
        return np.empty(0, np.int64)
    if values.min() > 0.0:
        logs = np.abs(np.log(values) - np.log(np.median(values)))
        far &= logs > FAR_LOG * np.quantile(logs, _WITHIN)
    rows = np.flatnonzero(far)
    return rows[np.argsort(-away[rows], kind="stable")]


def near_copies(dataset: TrainingData, seed: int) -> Iterator[Suspicion]:
    """Yield the validation samples that are next to a training sample, far closer than samples usually are.

    A copy that was rounded or noised has no twin by its bits. One number alone has too many neighbours to tell.
    """
    part, others = (
        draw(dataset, (each,), most, seed)
        for each, most in zip((dataset.validation, dataset.train), _COMPARED, strict=True)
    )
    numbers = part.numbers if part.names else part.inputs.shape[1]
    if numbers < 2 or not len(part):
        return
    nearest, distances = _nearest(part.inputs, others.inputs)
    near = (distances > 0.0) & (distances < NEAR * np.median(distances))
    rows = np.flatnonzero(near)
    if len(rows) < max(3.0, _MOST_SHARE * len(part)):
        return
    yield Suspicion(
        "near-copies",
        f"{len(rows):,} of {len(part):,} validation samples ({_percent(len(rows) / len(part))}) are nearly the same "
        f"as one of {len(others):,} training samples, less than {_percent(NEAR)} of the usual distance away, so that "
        "their scores flatter",
        "remove the copies, or keep together what comes from one source with `split: {group: COLUMN}`",
        share=len(rows) / len(part),
        examples=tuple(
            f"validation sample {part.index[row]} and training sample {others.index[nearest[row]]}"
            for row in rows[:_SHOWN]
        ),
    )


def _nearest(x_NF: Floats, y_MF: Floats) -> tuple[Indices, Floats]:
    """Return for each row the place of the nearest other row, and the distance, exact where that is 0."""
    squares_NM = np.square(y_MF).sum(axis=1) - 2.0 * (x_NF @ y_MF.T)
    nearest: Indices = squares_NM.argmin(axis=1)
    return nearest, np.sqrt(np.square(x_NF - y_MF[nearest]).sum(axis=1))


def _percent(share: float) -> str:
    return f"{100 * share:.3g} %"


def _plural(count: int, noun: str) -> str:
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"
