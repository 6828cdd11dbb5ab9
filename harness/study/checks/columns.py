"""Columns that say too much: one that nearly tells the target alone, and one that only numbers the rows."""

from __future__ import annotations

from collections.abc import Collection, Iterator

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata, spearmanr

from harness.data.suspicion import Suspicion
from harness.study.checks.sample import Floats, Indices, Sample

LEAST = 100
"""Samples below which a column may tell the target by chance."""
ALONE = 0.98
"""Skill from which a column alone tells the target: the share of the naive answer's errors that it removes."""
OTHERS = 0.9
"""Skill of another column from which the task is an easy one, and no column stands out."""
_BINS = 32
_LEAST_ROWS = 50
"""In random order fewer than one column in 10^60 would rise through so many rows."""


def leaks(sample: Sample, known: Collection[str], seed: int) -> Iterator[Suspicion]:
    """Yield the columns that alone tell nearly every target where no other comes near; ``known`` ones are left out.

    The skill of a column is that of a tree with 32 leaves (a category has one each), fitted on one half of the samples
    and measured on the other, and the other way round: of classes the share of the commonest class's errors that it
    removes, of values the R2 of their ranks.
    """
    if not sample.tabular or len(sample) < LEAST or len(sample.names) < 2:
        return
    skills = np.array([_skill(sample, place, seed) for place in range(len(sample.names))])
    strong = np.flatnonzero(skills >= ALONE)
    next_best = np.delete(skills, strong).max(initial=0.0)
    if 2 * len(strong) >= len(skills) or next_best >= OTHERS:
        return
    what = "of what the commonest class gets wrong" if sample.classes else "of the variance of the target's ranks"
    for place in strong.tolist():
        name = sample.names[place]
        if name not in known:
            yield Suspicion(
                "target-leak",
                f"column {name!r} alone explains {100 * skills[place]:.1f} % {what}, out of sample on {len(sample):,} "
                f"samples; the next best column {100 * max(0.0, next_best):.1f} %",
                "if it is known only afterwards, or made from the target, put it under `drop`",
                subject=name,
            )


def row_order(sample: Sample) -> Iterator[Suspicion]:
    """Yield the columns of numbers that rise, or fall, from each row to the next: row numbers, or time."""
    if not sample.tabular or len(sample) < _LEAST_ROWS:
        return
    in_order = np.argsort(sample.index)
    for place in range(sample.numbers):
        steps = np.diff(sample.inputs[in_order, place])
        if (steps > 0).all() or (steps < 0).all():
            name, way = sample.names[place], "rises" if steps[0] > 0 else "falls"
            yield Suspicion(
                "row-order",
                f"column {name!r} {way} from each row to the next in all {len(sample):,} samples to learn from, and "
                f"the parts are drawn at random{_trend(sample, place)}",
                "put it under `drop` if it numbers the rows; if it is time, "
                f"`split: {{order: {name}}}` tests on the latest rows",
                subject=name,
            )


def _trend(sample: Sample, place: int) -> str:
    """Return how a column goes with the target, where that is a single value."""
    if sample.classes or sample.targets.ndim > 1:
        return ""
    return f"; its rank correlation with the target is {spearmanr(sample.inputs[:, place], sample.targets)[0]:.2f}"


def _skill(sample: Sample, place: int, seed: int) -> float:
    codes = _codes(sample.inputs[:, place], numbers=place < sample.numbers)
    halves = np.random.default_rng(seed).permutation(len(sample)) % 2
    if sample.classes:
        return _skill_of_classes(codes, sample.targets.astype(np.int64), halves, len(sample.classes))
    values = sample.targets.reshape(len(sample), -1)
    return max((_skill_of_values(codes, rankdata(each), halves) for each in values.T), default=0.0)


def _codes(column: Floats, *, numbers: bool) -> Indices:
    """Return the leaf that each value is in."""
    if not numbers:
        return column.astype(np.int64)
    ends = np.quantile(column, np.linspace(0.0, 1.0, _BINS + 1)[1:-1])
    return np.searchsorted(np.unique(ends), column, side="left")


def _skill_of_classes(codes: Indices, classes: Indices, halves: Indices, count: int) -> float:
    leaves, shares = int(codes.max()) + 1, np.bincount(classes, minlength=count) / len(classes)
    right = 0
    for half in (0, 1):
        fit, judged = halves == half, halves != half
        table = np.bincount(codes[fit] * count + classes[fit], minlength=leaves * count).reshape(leaves, count)
        answers = (table + 1e-3 * shares).argmax(axis=1)
        right += int((answers[codes[judged]] == classes[judged]).sum())
    naive = shares.max()
    return float((right / len(classes) - naive) / (1.0 - naive)) if naive < 1.0 else 0.0


def _skill_of_values(codes: Indices, values: NDArray[np.float64], halves: Indices) -> float:
    leaves, left = int(codes.max()) + 1, 0.0
    for half in (0, 1):
        fit, judged = halves == half, halves != half
        counts = np.bincount(codes[fit], minlength=leaves)
        sums = np.bincount(codes[fit], weights=values[fit], minlength=leaves)
        means = np.where(counts > 0, sums / np.maximum(counts, 1), values[fit].mean())
        left += float(np.square(values[judged] - means[codes[judged]]).sum())
    spread = float(np.square(values - values.mean()).sum())
    return 1.0 - left / spread if spread > 0.0 else 0.0
