"""How well a median over blocks of time is known, by the bootstrap."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from harness.records import NAN

Floats = npt.NDArray[np.float64]

RESAMPLES = 2000
ROUND_RESAMPLES = 400
LEVEL = 0.95
_SEED = 0


class Interval(NamedTuple):
    """A median with its 95 % interval; NaN bounds: too few blocks to tell."""

    median: float
    low: float
    high: float

    @property
    def half_width(self) -> float:
        """Half the width of the interval, relative to the median."""
        return (self.high - self.low) / 2 / self.median


def median_interval(blocks: Sequence[float]) -> Interval:
    """Return the median of the blocks with its percentile bootstrap interval, the same for the same blocks.

    Blocks, not single calls, are drawn anew, as calls next to each other in time are alike (Efron and Tibshirani, 1993,
    "An Introduction to the Bootstrap", chapters 8 and 13). A single block tells nothing of its own spread.
    """
    values = np.asarray(blocks, dtype=np.float64)
    middle = float(np.median(values))
    if len(values) < 2:
        return Interval(middle, NAN, NAN)
    medians = np.median(values[_draws(len(values))], axis=1)
    low, high = np.quantile(medians, ((1 - LEVEL) / 2, (1 + LEVEL) / 2))
    return Interval(middle, float(low), float(high))


def rounds_interval(rounds: Sequence[Sequence[float]]) -> Interval:
    """Return the median over the blocks of several rounds, with an interval that knows of both.

    Rounds are drawn anew, and of each its blocks (the two-level bootstrap of Kalibera and Jones, 2013, "Rigorous
    benchmarking in reasonable time", ISMM, section 6). One round has the interval of its blocks.
    """
    if len(rounds) == 1:
        return median_interval(rounds[0])
    sizes_R = np.array([len(blocks) for blocks in rounds])
    blocks_RB = np.full((len(rounds), max(sizes_R)), np.nan)
    for place, blocks in enumerate(rounds):
        blocks_RB[place, : len(blocks)] = blocks
    generator = np.random.default_rng(_SEED)
    rounds_NR = generator.integers(0, len(rounds), (ROUND_RESAMPLES, len(rounds)))
    drawn_NRB = generator.integers(0, sizes_R[rounds_NR][:, :, None], (*rounds_NR.shape, blocks_RB.shape[1]))
    values_NRB = blocks_RB[rounds_NR[:, :, None], drawn_NRB]
    # A round that is shorter than the longest is drawn from as often as it has blocks.
    values_NRB[np.arange(blocks_RB.shape[1]) >= sizes_R[rounds_NR][:, :, None]] = np.nan
    medians_N = np.nanmedian(values_NRB.reshape(ROUND_RESAMPLES, -1), axis=1)
    low, high = np.quantile(medians_N, ((1 - LEVEL) / 2, (1 + LEVEL) / 2))
    return Interval(float(np.nanmedian(blocks_RB)), float(low), float(high))


def resampled_medians(values: Floats, generator: np.random.Generator) -> Floats:
    """Return the median of each circular block resample, drawn in stretches of about the cube root of their number.

    Values that follow each other in time are not independent, so neighbours are drawn together (Politis and Romano,
    1992, "A circular block-resampling procedure for stationary data").
    """
    length = max(1, round(len(values) ** (1 / 3)))
    stretches = -(-len(values) // length)
    starts = generator.integers(len(values), size=(RESAMPLES, stretches, 1))
    places = (starts + np.arange(length)).reshape(RESAMPLES, -1)[:, : len(values)] % len(values)
    medians: Floats = np.median(values[places], axis=1)
    return medians


@cache
def _draws(blocks: int) -> npt.NDArray[np.int16]:
    """Return for every resample which blocks it is made of (resamples, blocks)."""
    return np.random.default_rng(_SEED).integers(0, blocks, (RESAMPLES, blocks), dtype=np.int16)
