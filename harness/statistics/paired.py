"""Two candidates under the same seeds: the mean of their differences, how sure it is, and how often one is better.

Seeds come in pairs: seed for seed both candidates had the same split, so what the split does to one it does to the
other, and what is left in the differences is what the candidates make of it (Bouthillier et al., 2021, "Accounting for
variance in machine learning benchmarks", MLSys). Scores are oriented: more is better.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from harness.errors import InputError

Floats = npt.NDArray[np.float64]

EXACT_PAIRS = 30
"""Pairs up to which all assignments of signs are counted; beyond, :data:`RESAMPLES` of them are drawn."""

RESAMPLES = 9_999
"""Of a bootstrap, and of a test of too many pairs to count."""

_TIE = 1e-10
"""Share of the sum of all sizes below which two sums are equal: rounding must not part them."""


@dataclass(frozen=True, slots=True)
class Paired:
    """What pairs of scores say of A against B; above 0, A is better."""

    difference: float
    """Mean of A minus B, in the units of the scores."""
    low: float
    high: float
    """Interval of the difference."""
    p: float
    """Of the two-sided test that the difference is 0."""
    p_better: float
    """Share of the pairs in which A is better, ties half: the probability of outperforming of Bouthillier et al."""
    pairs: int


def compare_paired(
    a: Sequence[float], b: Sequence[float], *, confidence: float = 0.95, overlap: float = 0.0, seed: int = 0
) -> Paired:
    """Compare the scores of two candidates, the same seed at the same place; more is better.

    The interval is the BCa bootstrap's over the pairs (Efron, 1987, JASA 82:171), the test :func:`sign_flip`, both
    sides. Where the scores are of folds whose training samples overlap, ``overlap`` is the number of test samples over
    that of training samples, and interval and test are those of the t distribution with the variance made larger by it
    (Nadeau and Bengio, 2003, Machine Learning 52:239). The same scores and ``seed`` give the same figures. Raises
    :class:`InputError` for scores that are no pairs.

    >>> found = compare_paired([0.92, 0.90, 0.93, 0.91], [0.90, 0.89, 0.90, 0.91])
    >>> round(found.difference, 3), found.p, found.p_better
    (0.015, 0.25, 0.875)
    """
    differences = paired_differences(a, b)
    mean = float(differences.mean())
    low, high = _interval(differences, confidence, overlap, seed)
    wins = float(np.mean((differences > 0) + 0.5 * (differences == 0)))
    return Paired(mean, low, high, two_sided(differences, overlap), wins, len(differences))


def equivalence_p(a: Sequence[float], b: Sequence[float], margin: float, *, overlap: float = 0.0) -> float:
    """Return the p-value of the test that two candidates differ by ``margin`` or more, in the units of the scores.

    The larger of the two one-sided tests (Schuirmann, 1987, J. Pharmacokin. Biopharm. 15:657): below 5 % the 90 %
    interval of the difference lies inside of the margin.

    >>> equivalence_p([0.90, 0.91, 0.92, 0.93, 0.94], [0.91, 0.90, 0.93, 0.92, 0.94], 0.05)
    0.03125
    """
    differences = paired_differences(a, b)
    return max(_one_sided(margin - differences, overlap), _one_sided(margin + differences, overlap))


def paired_differences(a: Sequence[float], b: Sequence[float]) -> Floats:
    """Return A minus B. Raises :class:`InputError` unless both have as many finite scores, two or more."""
    first, second = np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64)
    if first.shape != second.shape or first.ndim != 1:
        raise InputError(f"{first.size} and {second.size} scores are no pairs: give both sides one score for each seed")
    if len(first) < 2:
        raise InputError(f"{len(first)} pairs of scores show nothing of their spread: use two seeds or more")
    if not (np.isfinite(first).all() and np.isfinite(second).all()):
        raise InputError("a score is missing or not finite: leave out its seed on both sides")
    return first - second


def two_sided(differences: Floats, overlap: float = 0.0) -> float:
    """Return the p-value of the test that the mean is 0, see :func:`compare_paired`."""
    return min(1.0, 2.0 * _one_sided(np.sign(differences.mean()) * differences, overlap))


def _one_sided(differences: Floats, overlap: float) -> float:
    if overlap <= 0.0 or np.ptp(differences) == 0.0:  # equal differences tell nothing of their variance
        return sign_flip(differences)
    from scipy.stats import t

    return float(t.sf(differences.mean() / _error(differences, overlap), len(differences) - 1))


def sign_flip(differences: Sequence[float] | Floats, *, seed: int = 0) -> float:
    """Return the p-value of the one-sided test that the mean of paired differences is 0 or less.

    If neither is better, each difference might as well have had the other sign: the share of all assignments of signs
    whose sum is as large as the observed one (Fisher, 1935, "The design of experiments", section 21). It is exact, for
    whatever symmetric distribution. All sums of one half of the differences are counted against those of the other, so
    that 20 pairs take a fraction of a millisecond; above :data:`EXACT_PAIRS` signs are drawn.

    >>> sign_flip([1.0, 2.0, 3.0])
    0.125
    """
    values = np.asarray(differences, dtype=np.float64)
    if len(values) > EXACT_PAIRS:
        return _drawn_signs(values, seed)
    edge = float(values.sum()) - _TIE * float(np.abs(values).sum())
    half = len(values) // 2
    ones, others = _signed_sums(values[:half]), np.sort(_signed_sums(values[half:]))
    below = np.searchsorted(others, edge - ones, side="left")
    return float((len(others) - below).sum()) / 2.0 ** len(values)


def _signed_sums(values: Floats) -> Floats:
    """Return the sums of the values with every assignment of signs."""
    sums = np.zeros(1)
    for value in values:
        sums = np.concatenate([sums + value, sums - value])
    return sums


def _drawn_signs(values: Floats, seed: int) -> float:
    from scipy.stats import permutation_test

    found = permutation_test(
        (values,),
        np.sum,
        permutation_type="samples",
        alternative="greater",
        n_resamples=RESAMPLES,
        batch=1000,
        rng=np.random.default_rng(seed),
    )
    return float(found.pvalue)


def _interval(differences: Floats, confidence: float, overlap: float, seed: int) -> tuple[float, float]:
    mean = float(differences.mean())
    if np.ptp(differences) == 0.0:
        return mean, mean
    from scipy.stats import bootstrap, t

    if overlap > 0.0:
        reach = float(t.ppf((1 + confidence) / 2, len(differences) - 1)) * _error(differences, overlap)
        return mean - reach, mean + reach
    # Near 1, by a power of two, which rounds nothing: cubes of tiny differences would be 0.
    _, exponent = math.frexp(float(np.abs(differences).max()))
    found = bootstrap(
        (np.ldexp(differences, -exponent),),
        np.mean,
        confidence_level=confidence,
        n_resamples=RESAMPLES,
        method="BCa",
        rng=np.random.default_rng(seed),
    )
    low, high = found.confidence_interval
    return math.ldexp(low, exponent), math.ldexp(high, exponent)


def _error(differences: Floats, overlap: float) -> float:
    """Return the standard error of the mean of folds that overlap."""
    return math.sqrt((1.0 / len(differences) + overlap) * float(differences.var(ddof=1)))
