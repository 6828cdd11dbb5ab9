"""What is done about running out of memory: the same batch in smaller pieces, and not to try what cannot fit."""

from __future__ import annotations

import torch

from harness.hardware import free_mib


def halved(micro_batch: int) -> int:
    """Return the next smaller micro-batch to try."""
    return max(1, (micro_batch + 1) // 2)


class Growth:
    """How the memory of a step grows with its batch, to know before a larger one is tried that it does not fit.

    Of a host alone: there the kernel kills whoever takes too much, where a GPU's allocator raises an error.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._seen: list[tuple[int, float]] = []

    def add(self, batch: int, memory_mib: float) -> None:
        """Learn what a step in batches of this size took beyond what was allocated before it; NaN says nothing."""
        if memory_mib > 0:
            self._seen = [*self._seen[-1:], (batch, memory_mib)]

    def fits(self, batch: int) -> bool:
        """Tell whether a larger batch fits in what is free now, by the line through the last two sizes."""
        if self._device.type != "cpu" or len(self._seen) < 2:
            return True
        fixed_mib, sample_mib = straight(*self._seen)
        return fixed_mib + sample_mib * batch <= free_mib(self._device)


def straight(first: tuple[int, float], second: tuple[int, float]) -> tuple[float, float]:
    """Return start and slope of the line through two points, neither below zero; one point: all of it is slope."""
    (x1, y1), (x2, y2) = first, second
    slope = (y2 - y1) / (x2 - x1) if x2 > x1 else y2 / x2
    # Two sizes may take the same time, or by chance the larger one less.
    slope = min(max(slope, 0.0), y2 / x2)
    return y2 - slope * x2, slope
