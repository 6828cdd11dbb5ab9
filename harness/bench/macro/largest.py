"""The largest batch that fits in memory: doubling until one does not, then bisection."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch

from harness.measure import free_memory, is_out_of_memory, synchronize

WARM_CALLS = 2
"""The first call also makes what stays: the optimiser's state, workspaces of libraries. The second shows the peak."""


@dataclass(frozen=True, slots=True)
class Found:
    """The largest batch known to fit, 0 when none is, and the smallest known not to, None when none is."""

    batch: int
    too_large: int | None
    tries: int
    stop_reason: Literal["precise", "cap", "time"]


def largest(
    fits: Callable[[int], bool],
    *,
    cap: int,
    within: float = 0.0,
    seconds: float = math.inf,
    clock: Callable[[], float] = time.monotonic,
) -> Found:
    """Return the largest batch up to ``cap`` for which ``fits`` holds, if it holds for every smaller one too.

    Doubles from 1, then halves the gap until it is at most ``within`` of the batch (0: until the batch is exact): at
    most ``2 + 2 log2(cap)`` tries. No try is begun after ``seconds``; then the answer is what is known by then.
    """
    if cap < 1:
        raise ValueError(f"cap must be at least 1, not {cap}")
    deadline = clock() + seconds
    low, tries = 0, 0
    high: int | None = None
    while low < cap and (high is None or high - low > max(1.0, within * low)):
        if clock() >= deadline:
            return Found(low, high, tries, "time")
        batch = min(max(1, 2 * low), cap) if high is None else (low + high) // 2
        tries += 1
        if fits(batch):
            low = batch
        else:
            high = batch
    return Found(low, high, tries, "cap" if low == cap else "precise")


def fits_by_trying(make: Callable[[int], Callable[[], object]], device: torch.device) -> Callable[[int], bool]:
    """Return a ``fits`` that makes the work for a batch, calls it WARM_CALLS times, and sees whether memory runs out.

    Only for a device with memory of its own: on a CPU a try that is too large drives the machine into swap. Errors
    other than of memory pass through. Memory is given back after every try, which is quick only within
    :func:`harness.measure.only_new_garbage`.
    """

    def fits(batch: int) -> bool:
        try:
            return _runs(make, batch, device)
        finally:
            free_memory(device)

    return fits


def _runs(make: Callable[[int], Callable[[], object]], batch: int, device: torch.device) -> bool:
    # A function of its own: with it end the names that keep tensors alive, and the error with its frames.
    try:
        work = make(batch)
        for _ in range(WARM_CALLS):
            work()
        synchronize(device)
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        return False
    return True
