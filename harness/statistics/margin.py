"""The difference that does not matter, as a user asks for it."""

from __future__ import annotations

import math
from dataclasses import dataclass

from harness.errors import InputError


@dataclass(frozen=True, slots=True)
class Margin:
    """A margin of equivalence."""

    value: float
    """In the units of the scores."""
    text: str
    """As a verdict names it, such as ``0.5 points``."""

    @classmethod
    def asked(cls, margin: float, *, share: bool, unit: str = "") -> Margin:
        """Return the margin that was asked for: percentage points of scores that are shares, else in their units.

        ``unit`` is what the scores are measured in. Raises :class:`InputError` unless it is above 0.

        >>> Margin.asked(0.5, share=True)
        Margin(value=0.005, text='0.5 points')
        """
        if not (math.isfinite(margin) and margin > 0):
            raise InputError(f"a margin of {margin:g} leaves no room for equivalence: give one above 0")
        if share:
            return cls(margin / 100, f"{margin:g} {'point' if margin == 1 else 'points'}")
        return cls(margin, f"{margin:g} {unit}".strip())
