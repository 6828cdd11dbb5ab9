"""Which workload is timed next: all advance alike, so that each one's blocks spread over the whole time."""

from __future__ import annotations

import time
from collections.abc import Sequence

from harness.bench.timing.timed import MIN_BLOCKS, Timed


def take_turns(runs: Sequence[Timed], seconds: float) -> None:
    """Time a block of the run that is least far, until all have enough, in about so many seconds together."""
    start = time.perf_counter()
    share_s = fair_share([MIN_BLOCKS * run.block_s for run in runs if run.active], seconds)
    while active := [run for run in runs if run.active]:
        run = min(active, key=lambda run: run.progress(share_s))
        run.attempt(run.time_block)
        run.judge(run.progress(share_s), (time.perf_counter() - start) / seconds)


def fair_share(least_s: Sequence[float], seconds: float) -> float:
    """Return the time of each of several pieces of work, so that all end together after ``seconds``.

    A piece that takes longer at the least has what it takes, and the others share the rest: the sum of
    ``max(share, least)`` is ``seconds``. 0 where there is not even the least for all.
    """
    left_s = seconds
    for number, least in enumerate(sorted(least_s, reverse=True)):
        share_s = left_s / (len(least_s) - number)
        if least <= share_s:
            return share_s
        left_s -= least
    return 0.0
