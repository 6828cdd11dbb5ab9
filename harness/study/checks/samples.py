"""Samples that stand out: rare classes, values far from all others, nothing to learn from, near copies across parts."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from harness.data import Dataset, Part, TrainingData
from harness.data.alike import alike
from harness.data.features import Fault, Outline
from harness.data.modalities import modalities
from harness.data.suspicion import Suspicion
from harness.study.baselines import drawn_rows
from harness.study.checks.sample import Floats, Indices, Sample, chosen_inputs

RATIO = 10.0
"""Samples of the commonest class for one of the rarest from which a task counts as imbalanced."""
FAR = 10.0
"""How many times as far from the median as 95 % of the values an outlier lies."""
FAR_LOG = 3.0
"""The same of logarithms, where all values are above 0: what is merely skewed is not far there."""
_WITHIN = 0.95
_LEAST = 50
_SHOWN = 5
MOST_SHARE = 0.01
"""Of the values of a column, most that count as outliers: what is more frequent is a group of its own."""
OF_OUTLIERS = "correct them if they are errors or stand for a missing value (`missing`)"
STAND_IN = 3
"""Samples, at least, with a value that may stand for another, such as a missing one."""
_DIFFERENT = 10
"""Values, at least, that the others have: of fewer, the one far off is a kind among kinds."""
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
    """Yield the columns of numbers, and the targets, with values that lie far from all others: one of many, or a few.

    One that several samples share, such as -999, is told as what may stand for a missing value. Of a few values, far is
    ten times as far from the median as 95 % of the values; of values that are all above 0 three times as far in their
    logarithms too, so that prices and counts with a long tail have none.
    """
    if sample.tabular:
        for place in range(sample.numbers):
            name = sample.names[place]
            yield from _far_of_a_column(f"column {name!r}", sample.own_units(place), sample.index, subject=name)
    if not sample.classes:
        for values in sample.targets.reshape(len(sample), -1).astype(np.float64).T:
            yield from _far_of_a_column("the target", values, sample.index)


def _far_of_a_column(what: str, values: Floats, index: Indices, subject: str = "") -> Iterator[Suspicion]:
    while (value := stand_in(values)) is not None:
        there = values == value
        others = values[~there]
        yield Suspicion(
            "stand-ins",
            f"{what} is {value:.6g} in {there.sum():,} of {len(values):,} samples, and from {others.min():.4g} to "
            f"{others.max():.4g} in the others",
            f'if that stands for a missing value, say `missing: ["{value:.6g}"]`',
            subject=subject,
            share=float(there.mean()),
            examples=tuple(f"sample {row}" for row in index[there][:_SHOWN]),
        )
        values, index = others, index[~there]
    yield from far_values(what, values, index, subject)


def stand_in(values: Floats) -> float | None:
    """Return the lowest or highest value where several have it, and it is as far from the others as these span."""
    if len(values) < _LEAST:
        return None
    for value in (values.min(), values.max()):
        others = values[values != value]
        if len(values) - len(others) < STAND_IN or len(np.unique(others)) < _DIFFERENT:
            continue
        if np.abs(others - value).min() >= np.ptp(others):
            return float(value)
    return None


def far_values(what: str, values: Floats, index: Indices, subject: str = "") -> Iterator[Suspicion]:
    """Yield the few of the values that lie far from all others, if there are any."""
    rows = far(values)
    if len(values) < _LEAST or not 0 < len(rows) <= max(1.0, MOST_SHARE * len(values)):
        return
    low, high = np.quantile(values, [(1 - _WITHIN) / 2, (1 + _WITHIN) / 2])
    yield Suspicion(
        "outliers",
        f"{what} has {_plural(len(rows), 'value')} far from all others ({_percent(_WITHIN)} of {len(values):,} "
        f"lie from {low:.4g} to {high:.4g})",
        OF_OUTLIERS,
        subject=subject,
        share=len(rows) / len(values),
        examples=tuple(f"sample {index[row]}: {values[row]:.6g}" for row in rows[:_SHOWN]),
    )


def far(values: Floats) -> Indices:
    """Return the places of what is far from all other values, the farthest first."""
    if not len(values):
        return np.empty(0, np.int64)
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


def faults(found: Iterable[Fault], index: Indices) -> Iterator[Suspicion]:
    """Yield the samples that a modality finds fault with; ``index`` is where they stand in what was read."""
    for fault in found:
        rows = np.flatnonzero(fault.found)
        if len(rows):
            yield Suspicion(
                fault.code,
                f"{len(rows):,} of {len(index):,} samples ({_percent(len(rows) / len(index))}) {fault.what}",
                fault.remedy,
                share=len(rows) / len(index),
                examples=tuple(f"sample {index[row]}" for row in rows[:_SHOWN]),
            )


def near_copies(dataset: Dataset, seed: int) -> Iterator[Suspicion]:
    """Yield the validation samples that are next to a training sample, far closer than samples usually are.

    A copy that was rounded, rescaled or rewritten has no twin by its bits; those that have one are told elsewhere.
    """
    parts = (dataset.validation, dataset.train)
    rows, others = (drawn_rows((part,), most, seed)[0] for part, most in zip(parts, _COMPARED, strict=True))
    outlines = [_outline(dataset, part, each) for part, each in zip(parts, (rows, others), strict=True)]
    if not len(rows) or outlines[0] is None or outlines[1] is None:
        return
    nearest, distances = _nearest(outlines[0].values, outlines[1].values)
    limit = outlines[0].near
    usual = np.median(distances[np.isfinite(distances)]) if np.isfinite(distances).any() else 0.0
    close, fewest = np.flatnonzero(distances < limit * usual), max(3.0, MOST_SHARE * len(rows))
    if len(close) < fewest:
        return
    twins = others[nearest[close]]
    codes = alike(dataset.raw_to_learn_from(twins, rows[close])).reshape(2, -1)
    differ = codes[0] != codes[1]
    found, twins = rows[close][differ], twins[differ]
    if len(found) < fewest:
        return
    yield Suspicion(
        "near-copies",
        f"{len(found):,} of {len(rows):,} validation samples ({_percent(len(found) / len(rows))}) are nearly the same "
        f"as one of {len(others):,} training samples, less than {_percent(limit)} of the usual distance away, so that "
        "their scores flatter",
        "remove the copies, or keep together what comes from one source with `split: {group: COLUMN}`",
        share=len(found) / len(rows),
        examples=tuple(
            f"validation sample {dataset.validation.index[row]} and training sample {dataset.train.index[twin]}"
            for row, twin in zip(found[:_SHOWN], twins, strict=False)
        ),
    )


def _outline(dataset: TrainingData, part: Part, rows: Indices) -> Outline | None:
    modality = modalities[dataset.preprocessing["inputs"]]
    return modality.outline(dataset.preprocessing, chosen_inputs(part, rows))


def _nearest(x: Any, y: Any) -> tuple[Indices, Floats]:
    """Return for each row of ``x`` the place of the nearest row of ``y``, and how far it is; NaN: like none."""
    return _nearest_points(x, y) if isinstance(x, np.ndarray) else _nearest_sets(x, y)


def _nearest_points(x_NF: Floats, y_MF: Floats) -> tuple[Indices, Floats]:
    """Return Euclid's distances, exact where they are 0."""
    squares_NM = np.square(y_MF).sum(axis=1) - 2.0 * (x_NF @ y_MF.T)
    nearest: Indices = np.where(np.isnan(squares_NM), np.inf, squares_NM).argmin(axis=1)
    return nearest, np.sqrt(np.square(x_NF - y_MF[nearest]).sum(axis=1))


def _nearest_sets(x_NF: Any, y_MF: Any) -> tuple[Indices, Floats]:
    """Return Jaccard's distances: 1 less the share of what is in either set that is in both."""
    both_NM = (x_NF @ y_MF.T).toarray()
    sizes_N, sizes_M = (np.asarray(each.sum(axis=1)).ravel() for each in (x_NF, y_MF))
    shares_NM = both_NM / (sizes_N[:, None] + sizes_M - both_NM)
    shares_NM[:, np.isnan(sizes_M)] = -np.inf
    nearest: Indices = np.where(np.isnan(shares_NM), -np.inf, shares_NM).argmax(axis=1)
    return nearest, np.where(np.isnan(sizes_N), np.nan, 1.0 - shares_NM[np.arange(len(nearest)), nearest])


def _percent(share: float) -> str:
    return f"{100 * share:.3g} %"


def _plural(count: int, noun: str) -> str:
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"
