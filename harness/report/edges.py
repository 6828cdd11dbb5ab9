"""Parameters whose best values crowd at an end of their range: better ones may lie beyond it."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from harness.report.load import PARAMETER, RunFiles
from harness.report.statistics import LEAST_TRIALS, ranked
from harness.report.wording import setting
from harness.spec.parameters import Range
from harness.study.pareto import Floats

LEAST = 2 * LEAST_TRIALS
"""Complete trials below which the best of them crowd anywhere by luck."""
ZONE = 0.1
"""Share of a range, in the scale that it is sampled in, that counts as its end."""
CHANCE = 0.002
"""Most probability with which as many of the best trials would be there if the parameter did not matter."""
_BEST_SHARE, _FEWEST = 0.1, 6


class Edge(NamedTuple):
    """A parameter at an end of its range."""

    evidence: str
    remedy: str


def edges(run: RunFiles) -> Iterator[Edge]:
    """Yield the ranges at an end of which the best trial lies, and most of the best tenth (at least six) with it.

    Of several objectives none, since no trial is the best.
    """
    if len(run.stats["objective"]) > 1:
        return
    best = ranked(run.trials, run.stats["objective"])
    if len(best) < LEAST:
        return
    leaders = best.head(max(_FEWEST, math.ceil(_BEST_SHARE * len(best))))
    for path, space in run.ranges.items():
        column = f"{PARAMETER}{path}"
        if column not in leaders.columns or not np.isfinite(top := leaders[column].to_numpy(np.float64)).any():
            continue
        known = top[np.isfinite(top)]
        if np.isfinite(top[0]) and (edge := _edge(path, space, known)):
            yield edge


def _edge(path: str, space: Range, values: Floats) -> Edge | None:
    """Return the end at which the best value lies among most of the others; None where there is none."""
    from scipy.stats import binom

    places = _places(space, values)
    for upper in (False, True):
        away = 1.0 - places if upper else places
        there = int((away <= ZONE).sum())
        wider = _widened(space, upper=upper)
        if away[0] > ZONE or not wider:
            continue
        if binom.sf(there - 1, len(values), _share_of_end(space)) > CHANCE:
            continue
        which, end = ("upper", space.high) if upper else ("lower", space.low)
        evidence = (
            f"the best value of {path}, {setting(float(values[0]), 3)}, lies at the {which} end of its range, "
            f"{setting(end, 3)}, as in {there} of the {len(values)} best trials"
        )
        return Edge(evidence, f"Better ones may lie beyond: widen it to space.{path}: {wider}")
    return None


def _places(space: Range, values: Floats) -> Floats:
    """Return where values lie in their range, from 0 to 1."""
    if space.log:
        return np.log(values / space.low) / math.log(space.high / space.low)
    return (values - space.low) / (space.high - space.low)


def _share_of_end(space: Range) -> float:
    """Return the probability of an end where all values of a range are alike: that of its last value at least."""
    step = space.step or (1.0 if space.integer else 0.0)
    if not step:
        return ZONE
    if space.log:
        width = math.log((space.high + 0.5) / (space.low - 0.5))
        return max(ZONE, *(math.log((end + 0.5) / (end - 0.5)) / width for end in (space.low, space.high)))
    count = math.floor((space.high - space.low) / step + 1e-9) + 1
    return math.ceil(ZONE * count) / count


def _widened(space: Range, *, upper: bool) -> str:
    """Return a range that goes on beyond one of its ends; "" where there is nothing beyond.

    By half its width, on a log scale by the root of its ratio and at most tenfold; whole numbers stay whole, and what
    is positive positive.
    """
    low, high = space.low, space.high
    factor, width = min(10.0, math.sqrt(high / low)) if space.log else 1.0, (high - low) / 2
    width = space.step * math.ceil(width / space.step) if space.step else width
    if upper:
        high = high * factor if space.log else high + width
    elif space.log:
        low = low / factor
    elif low - width >= 0 or low < 0:
        low -= width
    else:
        low = low % space.step or (space.step if low > 0 else 0.0) if space.step else 0.0
    if space.integer:
        low, high = (max(1, math.floor(low)) if space.low >= 1 else math.floor(low)), math.ceil(high)
    if (low, high) == (space.low, space.high):
        return ""
    ends = ", ".join(str(end) if space.integer else f"{end:.3g}" for end in (low, high))
    extra = ", log: true" if space.log else f", step: {space.step:g}" if space.step else ""
    return f"{{{'int' if space.integer else 'float'}: [{ends}]{extra}}}"
