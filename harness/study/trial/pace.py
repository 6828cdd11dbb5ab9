"""When checkpoints are taken in the course of a training."""

from __future__ import annotations

import time
from collections.abc import Callable

CHECKPOINT_SHARE = 0.05
"""Of the training time, what checkpoints may take."""


class Pace:
    """Has something done every so many seconds, and less often where that would take more than its share of them."""

    def __init__(self, every_s: float) -> None:
        self._every_s = every_s
        self._due = time.perf_counter() + every_s

    def keep(self, take: Callable[[], None]) -> None:
        """Do it if it is due."""
        if (start := time.perf_counter()) >= self._due:
            take()
            now = time.perf_counter()
            self._due = now + max(self._every_s, (now - start) / CHECKPOINT_SHARE)
