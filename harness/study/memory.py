"""What is done about running out of memory: the same batch in smaller pieces."""

from __future__ import annotations


def halved(micro_batch: int) -> int:
    """Return the next smaller micro-batch to try."""
    return max(1, (micro_batch + 1) // 2)
