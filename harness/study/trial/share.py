"""What each trial takes of a program that trains several at once."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from harness.records import Figures

DIVIDED = (
    "energy_j",
    "memory_allocated_peak_mib",
    "memory_device_peak_mib",
    "memory_process_peak_mib",
    "memory_rss_peak_mib",
)
"""Figures that are a trial's share, as its seconds are; means, such as power, are those of the program."""


@dataclass(slots=True)
class Share:
    """Divides what a program takes among the ``members`` that it trains; a trial alone takes all of it.

    One that ends takes an equal part of what nobody has taken yet, and the rest is left to those that go on. So each
    has its part of the time that it was there, and the sum over all members is what the program took.
    """

    members: int = 1
    _ended: int = 0
    _taken: dict[str, float] = field(default_factory=dict)

    def of(self, name: str, total: float) -> float:
        """Return what a member that ended now would have of ``total``, taken by the program so far."""
        return (total - self._taken.get(name, 0.0)) / (self.members - self._ended)

    def divided(self, figures: Figures) -> Figures:
        """Return a member's figures of those of the program so far."""
        own = {name: self.of(name, figures.values[name]) for name in DIVIDED if name in figures.values}
        return figures | Figures(own)

    def end(self, own: Mapping[str, float]) -> None:
        """Let a member end with what it has taken, by name; NaN is not known."""
        known = {name: value for name, value in own.items() if not math.isnan(value)}
        self._taken |= {name: self._taken.get(name, 0.0) + value for name, value in known.items()}
        self._ended += 1
