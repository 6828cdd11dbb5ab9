"""Parameters of an option that do nothing at some of its candidates, and need no value there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Idle:
    """Parameters without effect wherever each of some others is at most so much.

    >>> Idle(("width", "norm"), where={"depth": 0})  # a linear model has no hidden layers
    Idle(names=('width', 'norm'), where={'depth': 0})
    """

    names: tuple[str, ...]
    where: Mapping[str, float]

    def holds(self, values: Mapping[str, object]) -> bool:
        """Tell whether they have no effect, from the values of the option's parameters."""
        return all(_at_most(values.get(name), limit) for name, limit in self.where.items())


def _at_most(value: object, limit: float) -> bool:
    return isinstance(value, int | float) and value <= limit
