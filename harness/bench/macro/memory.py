"""How much memory a batch takes on a CPU, from two batches, without driving the machine into swap."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass

from harness.bench.macro.largest import WARM_CALLS
from harness.measure import ResidentPeak
from harness.measure.resident import rss_mib
from harness.records import memory_mib

SHARE = 0.8
"""Of the free memory that a batch may take: the line is rough, and others need memory too."""
GROWTH_MIB = 64.0
"""Growth from the smaller to the larger batch from which the slope is more than what an allocator keeps back."""


@dataclass(frozen=True, slots=True)
class MemoryLine:
    """Peak memory of the process as a straight line through two batches, of which ``batch`` is the larger."""

    batch: int
    peak_mib: float
    mib_per_sample: float

    def peak(self, batch: int) -> float:
        """Return the predicted peak in MiB."""
        return self.peak_mib + self.mib_per_sample * (batch - self.batch)


def memory_line(
    peak_mib: Callable[[int], float],
    *,
    cap: int,
    room_mib: float,
    seconds: float = math.inf,
    clock: Callable[[], float] = time.monotonic,
) -> MemoryLine | None:
    """Return the line through two batches: one of 4, 16, 64, ..., and its double.

    The first is the least whose peak is GROWTH_MIB above that of batch 1: it has outgrown what the allocator kept back
    of earlier work. Up to there new tensors take no new memory, and a line through batch 1 would be too flat. A
    sixteenth of the way to ``room_mib`` will do as well, so that the double fits too. The line ends, flat, at ``cap``,
    if that is reached first. None when ``seconds`` end before.
    """
    deadline = clock() + seconds
    peak_mib(1)  # loads what stays loaded
    lowest_mib = peak_mib(1)
    enough_mib = min(GROWTH_MIB, (room_mib - lowest_mib) / 16)
    batch, reached_mib = 1, lowest_mib
    while batch < cap and reached_mib - lowest_mib < enough_mib:
        if clock() >= deadline:
            return None
        batch = min(4 * batch, cap)
        reached_mib = peak_mib(batch)
    double = min(2 * batch, cap)
    if double == batch:
        return MemoryLine(batch, reached_mib, 0.0)
    peak = peak_mib(double)
    return MemoryLine(double, peak, max(peak - reached_mib, 0.0) / (double - batch))


def peak_rss_mib(make: Callable[[], Callable[[], object]]) -> float:
    """Make the work, call it, and return the largest resident memory of this process meanwhile, in MiB.

    Where the system keeps no account of it, what is resident at the end.
    """
    with ResidentPeak() as peak:
        work = make()
        for _ in range(WARM_CALLS):
            work()
        at_end_mib = rss_mib()
    return max(at_end_mib, memory_mib(peak.figures.values))


def room_mib(free_mib: float) -> float:
    """Return what this process may grow to: what it has, and SHARE of what is free."""
    return rss_mib() + SHARE * free_mib
