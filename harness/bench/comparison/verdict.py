"""Whether one run is faster than another, from the blocks of both.

The effect is the ratio of medians, B over A, with an interval (Kalibera and Jones, 2013, "Rigorous benchmarking in
reasonable time", ISMM: report the size of an effect with its interval, and judge that, not a p-value). A run measures
every row in several rounds, each in a process of its own, and the median is that of the best round: what disturbs a
round (other guests of the host, where pages came to lie) only makes it slower (Chen and Revels, 2016, "Robust
benchmarking in noisy environments", arXiv:1608.04295). What makes up the interval, each independent of the others and
so added in quadrature, on the logarithm of the ratio:

* The spread within the runs. Blocks follow each other in time and are not independent, so stretches of neighbours are
  drawn instead of single blocks (:func:`harness.statistics.resampled_medians`), with the percentile interval (Efron
  and Tibshirani, 1993, "An introduction to the bootstrap", chapters 8 and 13).
* The spread between the rounds: twice the distance from the best to the second best. Another must have come about as
  far, or nobody knows whether the best one was undisturbed. One round has no interval.
* The drift. A machine that moved while it was measured has moved between the runs as well: how far the second half of
  a run's blocks lies from its first half.
* The scatter between runs (where pages came to lie, what the host's other guests did), which no run shows of itself.
  Where the same device was measured twice most rows ought to agree, so how far apart the ratios of the rows lie, beyond
  what the rows' own intervals explain, is an estimate of it that the few rows that did change hardly move, and a change
  common to all rows not at all (Efron, 2004, "Large-scale simultaneous hypothesis testing: the choice of a null
  hypothesis", JASA 99:96).

A change within a band around 1 counts as none. Slower, or faster: the ratio is beyond the band, and its whole interval
beyond half of it. The same: the whole interval is within the band, which is a test of equivalence (Schuirmann, 1987,
J. Pharmacokin. Biopharm. 15:657). Else inconclusive: measure longer, or more quietly. The error of 5 % is that of one
row, so of a hundred rows that did not change a few may still be called changed.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
import numpy.typing as npt

from harness.records import NAN
from harness.statistics import resampled_medians

Floats = npt.NDArray[np.float64]
Rounds = Sequence[Sequence[float]]
"""Seconds of each block of each round of a row, in the order of time."""

MICRO_BAND = 0.03
MACRO_BAND = 0.05
"""Change that counts as none: of single operations, and of whole training steps."""

LEAST_BLOCKS = 3
"""Blocks of a round below which it says too little of its own spread."""

LEAST_ROWS = 5
"""Rows below which their scatter is not estimated."""

NORMAL_95 = 1.96
"""Half a 95 % interval of a normal distribution, in standard deviations."""
NORMAL_MAD = 1.4826
"""Its standard deviation, in median absolute deviations."""


class Verdict(StrEnum):
    """What a comparison says of one row."""

    FASTER = "faster"
    SLOWER = "slower"
    SAME = "same"
    INCONCLUSIVE = "inconclusive"
    CONFOUNDED = "confounded"


@dataclass(frozen=True, slots=True)
class Estimate:
    """The time of B over that of A, with a 95 % interval; above 1: B is slower. NaN: not known."""

    ratio: float = NAN
    low: float = NAN
    high: float = NAN

    def verdict(self, band: float) -> Verdict:
        """Return the verdict where a change by the share ``band`` counts as none."""
        edge, half = 1 + band, 1 + band / 2
        if self.ratio > edge and self.low > half:
            return Verdict.SLOWER
        if self.ratio < 1 / edge and self.high < 1 / half:
            return Verdict.FASTER
        if self.low >= 1 / edge and self.high <= edge:
            return Verdict.SAME
        return Verdict.INCONCLUSIVE

    def widened(self, half: float) -> Estimate:
        """Return the estimate with an independent error of ``half`` (on the logarithm) added to its interval.

        NaN is an error that nobody knows, which leaves no interval.
        """
        if half == 0 or math.isnan(self.low):
            return self
        if math.isnan(half):
            return Estimate(self.ratio)
        below = math.hypot(math.log(self.ratio / self.low), half)
        above = math.hypot(math.log(self.high / self.ratio), half)
        return Estimate(self.ratio, self.ratio * math.exp(-below), self.ratio * math.exp(above))


def estimate_rounds(rounds_a: Rounds, rounds_b: Rounds, generator: np.random.Generator) -> Estimate:
    """Return the ratio of the medians of the best rounds of two runs; NaN unless both have blocks.

    The interval is NaN where either side has but one round, or rounds of fewer than :data:`LEAST_BLOCKS` blocks.
    """
    (blocks_a, apart_a), (blocks_b, apart_b) = best_round(rounds_a), best_round(rounds_b)
    return estimate(blocks_a, blocks_b, generator).widened(math.hypot(apart_a, apart_b))


def estimate(blocks_a_s: Sequence[float], blocks_b_s: Sequence[float], generator: np.random.Generator) -> Estimate:
    """Return the ratio of the medians of two runs' blocks, in the order of time; NaN unless both have some.

    The interval is NaN below :data:`LEAST_BLOCKS` blocks on either side.
    """
    a, b = (np.log(np.asarray(blocks, dtype=np.float64)) for blocks in (blocks_a_s, blocks_b_s))
    if not len(a) or not len(b):
        return Estimate()
    centre = float(np.median(b) - np.median(a))
    if min(len(a), len(b)) < LEAST_BLOCKS:
        return Estimate(math.exp(centre))
    drawn = resampled_medians(b, generator) - resampled_medians(a, generator)
    low, high = (float(edge) for edge in np.quantile(drawn, (0.025, 0.975)))
    # With few blocks all resamples may lie on one side of the estimate.
    alone = Estimate(*(math.exp(value) for value in (centre, min(low, centre), max(high, centre))))
    return alone.widened(math.hypot(drift(a), drift(b)))


def best_round(rounds: Rounds) -> tuple[Sequence[float], float]:
    """Return the blocks of the round with the least median, and half an interval of it as the others show it.

    Rounds of fewer than :data:`LEAST_BLOCKS` blocks count only where no other has as many. The half interval is twice
    the distance to the second best round, on the logarithm; NaN with one round, which shows nothing of it.
    Over ten runs of a machine whose rows moved by 15 % from run to run, taken for rounds of two, three or four, some
    3.5 % of the rows were called different so; with the distance alone it was 7 to 9 %.
    """
    measured = [blocks for blocks in rounds if len(blocks)]
    sound = [blocks for blocks in measured if len(blocks) >= LEAST_BLOCKS]
    ranked = sorted(sound or measured, key=lambda blocks: float(np.median(blocks)))
    if len(ranked) < 2:
        return (ranked[0] if ranked else ()), NAN
    best, second = (float(np.median(blocks)) for blocks in ranked[:2])
    return ranked[0], 2.0 * math.log(second / best)


def scatter(estimates: Sequence[Estimate]) -> float:
    """Return the standard deviation between two runs of one device that the rows' intervals leave unexplained.

    On the logarithm of the ratio; from the median absolute deviation, so that up to half of the rows may have changed.
    0 with fewer than :data:`LEAST_ROWS` rows, which would say nothing.
    """
    known = [each for each in estimates if not math.isnan(each.low)]
    if len(known) < LEAST_ROWS:
        return 0.0
    ratios = np.log([each.ratio for each in known])
    seen = NORMAL_MAD * float(np.median(np.abs(ratios - np.median(ratios))))
    explained = float(np.median([math.log(each.high / each.low) / (2 * NORMAL_95) for each in known]))
    return math.sqrt(max(0.0, seen**2 - explained**2))


def drift(values: Floats) -> float:
    """Return how far the median of the second half of several values lies from that of the first, in any direction."""
    half = len(values) // 2
    return abs(float(np.median(values[-half:]) - np.median(values[:half])))
