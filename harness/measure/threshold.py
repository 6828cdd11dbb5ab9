"""From which probability on the second of two classes is to be predicted.

By F1 of the second class, by Youden's J, which is sensitivity + specificity - 1 (Youden, 1950, Cancer 3:32), or by the
cost of the wrong answers; always the best that the samples have.

Shape legend: N samples, K thresholds.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.problems import Undefined
from harness.spec import Cost, Costs, Rule

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Threshold:
    """The probability of the second class from which on that one is predicted."""

    value: float
    by: str
    """``f1``, ``youden`` or ``cost`` where it was chosen, ``value`` where it was given."""
    false_positive: float | None = None
    """With ``cost``: what it costs to say the second class where it is the first."""
    false_negative: float | None = None

    @property
    def rule(self) -> float | Rule:
        """What asks for it: on the samples that it was chosen on, :func:`threshold_of` returns it again."""
        if self.by == "f1" or self.by == "youden":
            return "f1" if self.by == "f1" else "youden"
        if self.false_positive is not None and self.false_negative is not None:
            return Costs(cost=Cost(false_positive=self.false_positive, false_negative=self.false_negative))
        return self.value

    def as_dict(self) -> dict[str, Any]:
        """Return it as plain data, without what there is not."""
        costs = {"false_positive": self.false_positive, "false_negative": self.false_negative}
        return {"value": self.value, "by": self.by, **{name: cost for name, cost in costs.items() if cost is not None}}


def threshold_of(rule: float | Rule, second_N: NDArray[np.floating], targets_N: NDArray[np.generic]) -> Threshold:
    """Return the threshold that is given or, by a rule, the best one on samples that the model did not learn from.

    ``second_N`` are the probabilities of the second class. Of equally good ones the nearest to 0.5 is taken. Raises
    :class:`Undefined` where the samples cannot tell.
    """
    if isinstance(rule, float):
        return Threshold(rule, "value")
    thresholds_K, scores_K = scored(rule, second_N, targets_N)
    best_K = np.flatnonzero(np.isclose(scores_K, scores_K.max(), rtol=1e-12, atol=0.0))
    value = float(min(thresholds_K[best_K], key=lambda threshold: abs(threshold - 0.5)))
    if isinstance(rule, Costs):
        return Threshold(value, "cost", rule.cost.false_positive, rule.cost.false_negative)
    return Threshold(value, rule)


def scored(rule: Rule, second_N: NDArray[np.floating], targets_N: NDArray[np.generic]) -> tuple[Floats, Floats]:
    """Return a threshold between any two neighbouring probabilities, and one on either side, with its score.

    Scores are to be large: F1, J, or the mean cost of a sample below 0. Raises :class:`Undefined` where the samples are
    of one class, or all have one probability.
    """
    levels_K, place_N = np.unique(second_N.astype(np.float64), return_inverse=True)
    positive_N = targets_N == 1
    if positive_N.all() or not positive_N.any():
        raise Undefined("all validation samples are of one class")
    if len(levels_K) == 1:
        raise Undefined("the model gives all validation samples one probability")
    thresholds_K = (np.append(0.0, levels_K) + np.append(levels_K, 1.0)) / 2
    hits_K, misses_K = (_from_each(positive_N == wanted, place_N, len(levels_K)) for wanted in (True, False))
    known = thresholds_K > np.append(0.0, levels_K)  # above 1 is none, and 0 is none either
    return thresholds_K[known], _scores(rule, hits_K, misses_K)[known]


def _from_each(chosen_N: NDArray[np.bool_], place_N: NDArray[np.intp], levels: int) -> Floats:
    """Return how many of the chosen samples are at each level or above it, and above all of them."""
    counts = np.bincount(place_N, weights=chosen_N, minlength=levels)
    return np.append(counts[::-1].cumsum()[::-1], 0.0)


def _scores(rule: Rule, hits_K: Floats, false_K: Floats) -> Floats:
    """Return the scores by the true and the false positives; at the first threshold all are positive."""
    positives, negatives = hits_K[0], false_K[0]
    scores: Floats
    if rule == "f1":
        scores = 2.0 * hits_K / (hits_K + false_K + positives)
    elif rule == "youden":
        scores = hits_K / positives - false_K / negatives
    else:
        assert isinstance(rule, Costs)
        cost_K = rule.cost.false_positive * false_K + rule.cost.false_negative * (positives - hits_K)
        scores = -cost_K / (positives + negatives)
    return scores
