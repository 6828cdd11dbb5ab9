"""A recorded value beside those of new seeds, which may or may not be one of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from harness.data import derive_seed
from harness.errors import InputError
from harness.records import Outcome, TrialRecord
from harness.reproduction.levels import Check
from harness.statistics import prediction_interval
from harness.study.decide.fixed import Replicate

FEWEST = 7
"""New seeds: below, the interval is so wide that nearly every value lies in it (t of 5 degrees of freedom is 2.57)."""
CONFIDENCE = 0.95


def check_seeds(seeds: int | None) -> None:
    """Raise :class:`InputError` for fewer seeds than can show anything."""
    if seeds is not None and seeds < FEWEST:
        raise InputError(
            f"seeds {seeds}: expected {FEWEST} or more; of fewer values the next one may lie nearly anywhere"
        )


def with_new_seeds(replicate: Replicate, seeds: int) -> list[Replicate]:
    """Return the candidate with so many seeds of weights and orders, on the split and by the plan that it had."""
    each = range(seeds)
    return [replace(replicate, seed=derive_seed(replicate.seed, "reproduce", n), pruned_after=None) for n in each]


def compare_with_seeds(metric: str, recorded: float, trained: Sequence[TrialRecord], margin: float) -> Check:
    """Return whether the recorded value lies where one more of the new seeds' values is to be expected.

    ``margin`` is how far apart two values may be to count as alike, and widens the interval.
    """
    values = [record.values[0] for record in trained if record.outcome is Outcome.COMPLETE]
    what = f"{metric}, and where it is expected by {len(values)} new seeds ({CONFIDENCE:.0%} prediction interval)"
    if len(values) < FEWEST:
        return Check(f"{what}: {len(trained) - len(values)} trainings did not complete", recorded, None, equal=False)
    low, high = prediction_interval(values, confidence=CONFIDENCE, margin=margin)
    return Check(what, recorded, [low, high], equal=low <= recorded <= high)
