"""Where trials come from: what a coordinator asks, and tells, whoever decides what is trained next.

It is the ask-and-tell of Bayesian optimisation, with two more questions. A source is asked for a stretch of a trial,
the coordinator has it trained, and the source is told the result; it may be asked for more before that. Meanwhile it
may be asked, after every epoch, whether to prune the trial. Where a run is resumed it knows what earlier parts found.

Samplers are one source (:mod:`harness.study.decide.decisions`), a fixed list another
(:mod:`harness.study.decide.fixed`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from optuna.distributions import BaseDistribution

from harness.records import EpochRecord, Outcome, Plan, TrialRecord
from harness.spec.parameters import Scalar
from harness.study.contract import Report


@dataclass(frozen=True, slots=True)
class Proposal:
    """The parameters of a new trial, with the ranges they were chosen from."""

    params: dict[str, Scalar]
    distributions: dict[str, BaseDistribution]


@dataclass(frozen=True, slots=True)
class Result:
    """A trial's record with its epochs."""

    record: TrialRecord
    epochs: Sequence[EpochRecord]


@dataclass(frozen=True, slots=True)
class Known:
    """A trial of an earlier part of the run."""

    params: Mapping[str, Any]
    result: Result | None
    """None: it was begun and never ended."""
    seed: int | None = None
    """Its own, where it is one of several replicates."""

    @property
    def final(self) -> Result | None:
        """Its result, unless it is still to be trained."""
        result = self.result
        return None if result is None or result.record.outcome is Outcome.INTERRUPTED else result


@dataclass(frozen=True, slots=True)
class Stretch:
    """One decision: train this trial up to this epoch."""

    number: int
    """Of the stretch."""
    trial: int
    params: Mapping[str, Any]
    until: int
    proposal: Proposal | None
    """Of a trial that is new to the study, else None."""
    horizon: int = -1
    """The last trial whose results the pruner may look at."""
    seed: int | None = None
    """Of a replicate, which is trained although its candidate was before. None: the seed follows from those of the
    search and the trial, and a candidate that comes up again takes the earlier result."""
    plan: Plan | None = None
    """How it is trained, where that is not to be chosen anew."""


class TrialSource(Protocol):
    """Decides what is trained next, and which trials to give up on the way."""

    @property
    def prunes(self) -> bool:
        """Whether it may prune: each epoch of a trial then waits for its answer."""

    def ask(self, total: int) -> Stretch | None:
        """Return the next stretch of a search of ``total`` trials; None: there is none before another result."""

    def earlier(self, stretch: Stretch) -> Result | None:
        """Return the result of a stretch that an earlier part of the run has trained; it is told like any other."""

    def tell(self, stretch: Stretch, result: Result | None) -> None:
        """Take in how a stretch ended; None: there is no time for it, and others go on without its result.

        One that was interrupted otherwise is not told.
        """

    def should_prune(self, stretch: Stretch, report: Report, epochs: Sequence[EpochRecord]) -> str:
        """Return why the trial of a stretch is to be pruned after the last of its epochs, or ``""``."""
