"""What new samples have that training had not, counted by column or channel."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

import numpy as np


@dataclass
class Unusual:
    """How many values of each column were unknown to training, beyond its range, or missing; it adds up over chunks.

    >>> unusual = Unusual()
    >>> add(unusual.missing, "area", np.array([True, False, True]))
    >>> unusual.told()
    ["missing values: 2 of 'area'"]
    """

    unseen: Counter[str] = field(default_factory=Counter)
    """Categories that training did not see: they count as unknown."""
    clipped: Counter[str] = field(default_factory=Counter)
    """Numbers so far outside of the training range that they count as if they lay at its edge."""
    missing: Counter[str] = field(default_factory=Counter)
    """Numbers are filled in with the median of training, those of series interpolated; a category that is missing
    counts as unknown."""

    cut: Counter[str] = field(default_factory=Counter)
    """Samples longer than any of training, under what they are called: their ends are left out."""

    def as_dict(self) -> dict[str, dict[str, int]]:
        """Return the counts by kind and column."""
        kinds = {"unseen": self.unseen, "clipped": self.clipped, "missing": self.missing, "cut": self.cut}
        return {kind: dict(counts) for kind, counts in kinds.items()}

    def told(self) -> list[str]:
        """Return a line for each kind."""
        words = {
            "categories that training did not see, taken as unknown": self.unseen,
            "values far outside the training range, clipped": self.clipped,
            "missing values": self.missing,
            "longer than any in training, cut at the end": self.cut,
        }
        return [f"{what}: {_listed(counts)}" for what, counts in words.items() if counts]


def add(counts: Counter[str], column: str, where: np.ndarray) -> None:
    """Count the rows of a column where something is so."""
    if count := int(np.count_nonzero(where)):
        counts[column] += count


def _listed(counts: Counter[str]) -> str:
    return ", ".join(f"{count:,} of {column!r}" for column, count in counts.items())
