"""Candidates over several tasks: one number for each, and whether their ranks differ.

Scores are oriented (more is better), and those of one task lie on one scale. What is said of the tasks holds for them,
and for others only as far as they were drawn from the same source.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from harness.errors import InputError
from harness.extras import load_extra

RESAMPLES = 2_000


class Estimate(NamedTuple):
    """A figure with its 95 % interval."""

    value: float
    low: float
    high: float


class Agreement(NamedTuple):
    """How probable it is that A is better on a task, that both are practically equivalent, or that B is better."""

    a: float
    rope: float
    b: float


@dataclass(frozen=True, slots=True)
class Ranks:
    """Mean ranks of candidates over tasks, 1 the best, with what cannot be told apart."""

    ranks: Mapping[str, float]
    """By candidate, the best first."""
    p: float
    """Of Friedman's test that all ranks are alike."""
    groups: tuple[tuple[str, ...], ...]
    """Candidates next to each other of which no two differ detectably, by Nemenyi's test."""
    critical_difference: float
    """How far two mean ranks must be apart."""
    tasks: int


def interquartile_mean(scores: Sequence[Sequence[float]], *, seed: int = 0) -> Estimate:
    """Return the mean of the middle half of all scores, with its stratified bootstrap interval.

    ``scores`` has those of each task, one a seed; seeds are drawn anew within each task (Agarwal et al., 2021, "Deep
    reinforcement learning at the edge of the statistical precipice", NeurIPS). Raises :class:`InputError` for a task
    without scores, or with one that is not finite.

    >>> interquartile_mean([[0.0, 1.0, 2.0, 100.0]]).value
    1.5
    """
    from scipy.stats import trim_mean

    tasks = [np.asarray(each, dtype=np.float64) for each in scores]
    if not tasks or any(not len(each) or not np.isfinite(each).all() for each in tasks):
        raise InputError("a task has no score, or one that is not finite: leave it out")
    generator = np.random.default_rng(seed)
    drawn = [each[generator.integers(len(each), size=(RESAMPLES, len(each)))] for each in tasks]
    means = trim_mean(np.concatenate(drawn, axis=1), 0.25, axis=1)
    low, high = np.quantile(means, (0.025, 0.975))
    return Estimate(float(trim_mean(np.concatenate(tasks), 0.25)), float(low), float(high))


def signed_rank(a: Sequence[float], b: Sequence[float], rope: float, *, seed: int = 0) -> Agreement:
    """Return the Bayesian signed-rank test of one score a task, where a difference up to ``rope`` does not matter.

    The weights of the tasks, and of one more without a difference, are drawn from a Dirichlet distribution; each draw
    goes to where most of the means of two differences lie (Benavoli et al., 2017, "Time for a change", JMLR 18:77).
    Raises :class:`InputError` unless both have a finite score for each of the tasks.

    >>> signed_rank([0.9, 0.8, 0.7, 0.95, 0.6], [0.5, 0.4, 0.3, 0.55, 0.2], 0.01).a > 0.95
    True
    """
    first, second = np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64)
    if first.shape != second.shape or not len(first) or not np.isfinite(first - second).all():
        raise InputError(f"{first.size} and {second.size} scores are no pairs: give both a finite score for each task")
    differences = np.append(0.0, first - second)
    weights = np.random.default_rng(seed).dirichlet(np.r_[0.5, np.ones(len(first))], RESAMPLES)
    walsh = (differences[:, None] + differences[None, :]) / 2.0
    places = (walsh > rope, np.abs(walsh) <= rope, walsh < -rope)
    mass = np.stack([np.einsum("ri,ij,rj->r", weights, place, weights) for place in places])
    winners = np.bincount(mass.argmax(axis=0), minlength=3) / RESAMPLES
    return Agreement(*(float(share) for share in winners))


def friedman(scores: Mapping[str, Sequence[float]]) -> float:
    """Return the p-value of Friedman's test that candidates rank alike over tasks (Friedman, 1937, JASA 32:675).

    ``scores`` has by candidate one score a task. Raises :class:`InputError` below three candidates or two tasks.

    >>> round(friedman({"a": [3, 3, 3, 3], "b": [2, 2, 2, 2], "c": [1, 1, 1, 1]}), 4)
    0.0183
    """
    table = _table(scores)
    if (table == table[:, :1]).all():  # nothing differs on any task: the statistic would be 0 / 0
        return 1.0
    from scipy.stats import friedmanchisquare

    return float(friedmanchisquare(*table.T).pvalue)


def critical_differences(scores: Mapping[str, Sequence[float]], *, alpha: float = 0.05) -> Ranks:
    """Return the mean ranks of candidates over tasks, and which of them cannot be told apart (Demsar, 2006, JMLR 7:1).

    ``scores`` has by candidate one score a task. The test of two candidates is Nemenyi's. Raises :class:`InputError`
    below three candidates or two tasks, and :class:`HardwareError` without the package scikit-posthocs.
    """
    posthocs = load_extra("scikit_posthocs", extra="posthocs", use="a critical difference")
    from scipy.stats import rankdata, studentized_range

    table, names = _table(scores), list(scores)
    ranks = rankdata(-table, axis=1).mean(axis=0)
    order = np.argsort(ranks, kind="stable")
    alike = posthocs.posthoc_nemenyi_friedman(table).to_numpy()[np.ix_(order, order)] > alpha
    size = len(names)
    spread = math.sqrt(size * (size + 1) / (12.0 * len(table)))
    return Ranks(
        ranks={names[place]: float(ranks[place]) for place in order},
        p=friedman(scores),
        groups=tuple(tuple(names[place] for place in order[begin:end]) for begin, end in _runs(alike)),
        critical_difference=float(studentized_range.ppf(1 - alpha, size, np.inf)) * spread,
        tasks=len(table),
    )


def _runs(alike: npt.NDArray[np.bool_]) -> list[tuple[int, int]]:
    """Return the longest stretches of two or more candidates that are all alike, none within another."""
    found: list[tuple[int, int]] = []
    for begin in range(len(alike)):
        end = begin + 1
        while end < len(alike) and alike[begin:end, end].all():
            end += 1
        if end - begin > 1 and not (found and found[-1][1] >= end):
            found.append((begin, end))
    return found


def _table(scores: Mapping[str, Sequence[float]]) -> npt.NDArray[np.float64]:
    """Return tasks x candidates."""
    sizes = {len(each) for each in scores.values()}
    if len(scores) < 3 or sizes == {1} or len(sizes) != 1:
        told = ", ".join(f"{name} {len(each)}" for name, each in scores.items())
        raise InputError(f"ranks need three candidates with a score on each of two tasks or more; there are: {told}")
    table = np.column_stack([np.asarray(each, dtype=np.float64) for each in scores.values()])
    if not np.isfinite(table).all():
        raise InputError("a candidate has no finite score on a task: leave the task out")
    return table
