"""How many pairs of seeds a comparison takes, when it looks at them, and what it may then say.

Who looks after every pair and stops at p < 5 % calls a false winner in a fifth of all comparisons of equals. A design
fixes its looks before the first pair, and thresholds for them that together call one in at most 5 %; a look after which
every pair of candidates is decided is the last. With several candidates Holm's correction over their pairs (Holm, 1979,
Scand. J. Stat. 6:65) comes on top, at every look over the pairs that are not decided yet (Maurer and Bretz, 2013, Stat.
Biopharm. Res. 5:311). Equivalence is tested the same way, with the same thresholds.

The thresholds of :meth:`Design.auto` come from simulation: ``python benchmarks/verdicts.py`` has the error rates.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import combinations
from typing import Any

import numpy as np

from harness.errors import InputError
from harness.records import NAN
from harness.statistics.margin import Margin
from harness.statistics.paired import Paired, compare_paired, equivalence_p, paired_differences, two_sided

ALPHA = 0.05
"""How often a comparison of equals may name a better one."""

AUTO_LOOKS = (7, 10, 20)
AUTO_THRESHOLDS = (0.0157, 0.0196, 0.022)

Values = Mapping[str, Sequence[float]]
"""Scores by candidate, the same seed at the same place; more is better."""


class Word(StrEnum):
    """What is said of two candidates."""

    BETTER = "better"
    UNDETECTED = "no difference detected"
    EQUIVALENT = "equivalent"
    """Within a margin, which a verdict names."""
    OPEN = "no verdict yet"
    """There are fewer pairs than the first look takes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PairVerdict:
    """What is said of two candidates, A the one with the better mean, and by which figures."""

    a: str
    b: str
    word: Word
    paired: Paired
    """Of the pairs up to the look that decided, else to the last one; the interval is that of this look's threshold."""
    p_adjusted: float
    """Over all pairs of candidates, to be held against the look's threshold; NaN before the first look."""
    margin: Margin | None = None

    @property
    def verdict(self) -> str:
        """The words, such as ``equivalent within 0.5 points``."""
        return f"{self.word} within {self.margin.text}" if self.word is Word.EQUIVALENT and self.margin else self.word

    def as_dict(self) -> dict[str, Any]:
        """Return plain JSON values."""
        found = self.paired
        return {
            "a": self.a,
            "b": self.b,
            "difference": found.difference,
            "low": found.low,
            "high": found.high,
            "p": found.p,
            "p_adjusted": self.p_adjusted,
            "p_better": found.p_better,
            "verdict": self.verdict,
            "pairs_used": found.pairs,
        }


@dataclass(frozen=True, slots=True)
class Call:
    """What one pair of candidates came to, without its figures: the word, at which look, by which adjusted p-value."""

    word: Word = Word.OPEN
    look: int = 0
    threshold: float = ALPHA
    p_adjusted: float = NAN

    @property
    def decided(self) -> bool:
        """Whether more pairs change nothing of it."""
        return self.word in (Word.BETTER, Word.EQUIVALENT)


@dataclass(frozen=True, slots=True)
class Design:
    """Numbers of pairs at which a comparison looks, and the adjusted p-value that decides at each.

    >>> Design.auto().next_look({"mlp": [], "cnn": []})
    7
    """

    looks: tuple[int, ...]
    thresholds: tuple[float, ...]

    @classmethod
    def auto(cls) -> Design:
        """Return the design that looks at 7, 10 and 20 pairs."""
        return cls(AUTO_LOOKS, AUTO_THRESHOLDS)

    @classmethod
    def fixed(cls, pairs: int) -> Design:
        """Return the design that looks once. Raises :class:`InputError` below two pairs."""
        if pairs < 2:
            raise InputError(f"{pairs} seeds show nothing of the spread between seeds: use 2 or more, or auto")
        return cls((pairs,), (ALPHA,))

    def least_pairs(self, candidates: int) -> int | None:
        """Return the first look that can tell candidates apart at all; None where none can.

        The smallest p-value of ``n`` pairs is 2 / 2**n, and the correction multiplies it by the pairs of candidates.
        """
        compared = math.comb(candidates, 2)
        able = (look for look, most in zip(self.looks, self.thresholds, strict=True) if 2 * compared / 2**look <= most)
        return next(able, None)

    def next_look(self, values: Values, *, margin: Margin | None = None) -> int | None:
        """Return how many pairs there must be before the next look; None when the comparison has come to its end."""
        calls = self.calls(values, margin=margin)
        if all(call.decided for call in calls.values()):
            return None
        return next((look for look in self.looks if look > _pairs(values)), None)

    def judge(self, values: Values, *, margin: Margin | None = None, seed: int = 0) -> tuple[PairVerdict, ...]:
        """Return what may be said of every two candidates; the same scores give the same verdicts, whoever asks when.

        Of more pairs than a look takes those of the look count, so that trainings which happened to be done already
        decide nothing. Raises :class:`InputError` for scores that are no pairs.
        """
        calls = self.calls(values, margin=margin)
        return tuple(_with_figures(values, pair, call, margin, seed) for pair, call in calls.items())

    def calls(self, values: Values, *, margin: Margin | None = None) -> dict[tuple[str, str], Call]:
        """Return what every two candidates came to, look after look; a pair that is decided stays so."""
        pairs = _pairs(values)
        calls = dict.fromkeys(combinations(values, 2), Call())
        for look, threshold in zip(self.looks, self.thresholds, strict=True):
            if look > pairs or all(call.decided for call in calls.values()):
                break
            seen = {name: scores[:look] for name, scores in values.items()}
            _look(calls, seen, threshold, margin)
        return calls


def holm(p_values: Sequence[float]) -> list[float]:
    """Return p-values adjusted for their number by Holm's step-down method (Holm, 1979).

    >>> holm([0.01, 0.04, 0.03])
    [0.03, 0.06, 0.06]
    """
    given = np.asarray(p_values, dtype=np.float64)
    order = np.argsort(given)
    stepped = np.maximum.accumulate(given[order] * np.arange(len(given), 0, -1))
    adjusted = np.empty_like(given)
    adjusted[order] = np.minimum(stepped, 1.0)
    return [float(p) for p in adjusted]


def _pairs(values: Values) -> int:
    """Return how many scores each has. Raises :class:`InputError` for fewer than two candidates, or no pairs."""
    if len(values) < 2:
        raise InputError(f"{len(values)} candidate cannot be compared: name two or more")
    counts = {name: len(scores) for name, scores in values.items()}
    if len(set(counts.values())) > 1:
        told = ", ".join(f"{name} {count}" for name, count in counts.items())
        raise InputError(f"the seeds are not paired ({told}): every candidate needs a score under every seed")
    return next(iter(counts.values()))


def _look(calls: dict[tuple[str, str], Call], seen: Values, threshold: float, margin: Margin | None) -> None:
    """Decide what one look can decide. A pair that was found equivalent still counts among those that might differ."""
    look = _pairs(seen)
    rivals = [pair for pair, call in calls.items() if call.word is not Word.BETTER]
    differing = dict(
        zip(rivals, holm([two_sided(paired_differences(seen[a], seen[b])) for a, b in rivals]), strict=True)
    )
    close: dict[tuple[str, str], float] = {}
    if margin is not None:
        apart = [pair for pair, call in calls.items() if call.word is not Word.EQUIVALENT]
        tested = holm([equivalence_p(seen[a], seen[b], margin.value) for a, b in apart])
        close = dict(zip(apart, tested, strict=True))
    for pair in [pair for pair, call in calls.items() if not call.decided]:
        word = Word.BETTER if differing[pair] <= threshold else Word.UNDETECTED
        if close.get(pair, 1.0) <= threshold:  # who names a margin says that less does not matter
            word = Word.EQUIVALENT
        calls[pair] = Call(word, look, threshold, differing[pair])


def _with_figures(values: Values, pair: tuple[str, str], call: Call, margin: Margin | None, seed: int) -> PairVerdict:
    used = call.look or _pairs(values)
    seen = {name: values[name][:used] for name in pair}
    a, b = sorted(pair, key=lambda name: -sum(seen[name]))
    if used < 2:
        found = Paired(sum(seen[a]) - sum(seen[b]) if used else NAN, NAN, NAN, NAN, NAN, used)
    else:
        found = compare_paired(seen[a], seen[b], confidence=1 - call.threshold, seed=seed)
    return PairVerdict(a=a, b=b, word=call.word, paired=found, p_adjusted=call.p_adjusted, margin=margin)
