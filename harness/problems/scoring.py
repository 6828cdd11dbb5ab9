"""Metrics that need all predictions of a part at once: those of a problem that are asked for, and the user's own."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.errors import MetricFailed, described
from harness.problems import Undefined, problems
from harness.records import Figures, Target
from harness.registry import Registry

Function = Callable[[NDArray[Any], NDArray[np.floating]], float]
"""Takes targets and answers: class codes and ``N x C`` probabilities, or values in the targets' own units."""

scores: Registry[Function] = Registry("metric")
"""Metrics that installed packages or modules add; a space names them without a path, and their direction.

>>> @scores.register("mean_miss")
... def mean_miss(targets, answers):
...     return float(np.abs(targets - answers).mean())
>>> scores["mean_miss"](np.array([1.0, 2.0]), np.array([1.5, 2.0]))
0.25
"""

GROUPS = 20
"""Of samples that are left out in turn to see how far a metric may be off."""


@dataclass(frozen=True)
class Scorer:
    """Scores answers to one kind of problem."""

    kind: str = ""
    """The name of the problem."""
    names: tuple[str, ...] = ()
    """Metrics of the problem."""
    own: Mapping[str, Function] = field(default_factory=dict)
    """The user's, by name."""
    target: Target | None = None
    """What answers are to; None: the problem need not know."""

    def __bool__(self) -> bool:
        return bool(self.names or self.own)

    def __contains__(self, name: str) -> bool:
        return name in self.names or name in self.own

    def measure(self, targets: NDArray[Any], answers: NDArray[np.floating]) -> Figures:
        """Return every metric, both arguments in the targets' own units; NaN with a reason where one has no value."""
        found = Figures()
        for name in (*self.names, *self.own):
            try:
                found |= Figures({name: self.score(name, targets, answers)})
            except Undefined as error:
                found |= Figures.missing(str(error), name)
        return found

    def measure_all(self, targets: NDArray[Any], answers: NDArray[np.floating]) -> Figures:
        """Return every metric as :meth:`measure` does. Raises :class:`MetricFailed` where one of the user's fails."""
        found = self.measure(targets, answers)
        for name in self.own:
            if name in found.reasons:
                raise MetricFailed(f"metric {name}: {found.reasons[name]}")
        return found

    def score(self, name: str, targets: NDArray[Any], answers: NDArray[np.floating]) -> float:
        """Return one metric. Raises :class:`Undefined`, for whatever the user's own function raises too."""
        if name not in self.own:
            return problems[self.kind].of(self.target).score(name, targets, answers)
        try:
            # Copies: what a function of the user's changes is its own.
            value = float(self.own[name](targets.copy(), answers.copy()))
        except Exception as error:
            raise Undefined(f"it raised {described(error)}") from error
        if not math.isfinite(value):
            raise Undefined(f"it returned {value}, and must return a finite number")
        return value

    def standard_error(self, name: str, targets: NDArray[Any], answers: NDArray[np.floating], seed: int) -> Figures:
        """Return the standard error of a metric as ``value_se``: by leaving out one of some groups of samples in turn.

        The delete-a-group jackknife (Shao and Wu, 1989); the groups are drawn from the seed.
        """
        count = min(GROUPS, len(targets))
        group = np.random.default_rng(seed).permutation(len(targets)) % count
        try:
            scores = [self.score(name, targets[group != left], answers[group != left]) for left in range(count)]
        except Undefined as error:
            return Figures.missing(f"not known: without a part of the samples, {error}", "value_se")
        if len(set(scores)) < 2:
            return Figures.missing("not known: the score is the same without any part of the samples", "value_se")
        spread = np.square(np.array(scores) - np.mean(scores)).sum() * (count - 1) / count
        return Figures({"value_se": math.sqrt(spread)})
