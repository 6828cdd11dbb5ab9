"""A trial's epochs, fold by fold; a trial on one holdout has one fold, and of repeats each seed is one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import groupby
from statistics import fmean

from harness.records import NAN, EpochRecord, Outcome
from harness.spec import Spec
from harness.study.objectives import Objective

WHOLE = (Outcome.COMPLETE, Outcome.PRUNED)
"""Outcomes of trials whose last fold was not cut off."""


def by_fold(epochs: Sequence[EpochRecord]) -> list[list[EpochRecord]]:
    """Return the epochs of each fold that was begun."""
    return [list(fold) for _, fold in groupby(epochs, key=lambda epoch: epoch.fold)]


def in_order(epochs: Sequence[EpochRecord]) -> bool:
    """Tell whether these are the first epochs of each of the first folds."""
    folds = enumerate(by_fold(epochs), start=1)
    expected = [(number, epoch) for number, fold in folds for epoch in range(1, len(fold) + 1)]
    return [(epoch.fold, epoch.epoch) for epoch in epochs] == expected


def best_epochs(objective: Objective, epochs: Sequence[EpochRecord]) -> list[EpochRecord]:
    """Return the best epoch of each fold, the first of equals."""
    return [_best(objective, fold) for fold in by_fold(epochs)]


def means(metrics: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Return the mean of each metric; of one set these are its own values, to the bit."""
    return {name: fmean(each.get(name, NAN) for each in metrics) for name in metrics[0]} if metrics else {}


def running_means(objective: Objective, epochs: Sequence[EpochRecord]) -> list[EpochRecord]:
    """Return a record for each fold, ``epoch`` being its number: the mean of what it and those before it reached."""
    best = best_epochs(objective, epochs)
    return [
        replace(
            best[count - 1],
            epoch=count,
            train=means([epoch.train for epoch in best[:count]]),
            validation=means([epoch.validation for epoch in best[:count]]),
        )
        for count in range(1, len(best) + 1)
    ]


def steps(spec: Spec, objective: Objective, outcome: Outcome, epochs: Sequence[EpochRecord]) -> Sequence[EpochRecord]:
    """Return what a pruner goes by of a trial that has ended: its epochs, or its running means fold by fold."""
    if spec.evaluation.trainings == 1:
        return epochs
    found = running_means(objective, epochs)
    return found if outcome in WHOLE else found[:-1]


def _best(objective: Objective, epochs: Sequence[EpochRecord]) -> EpochRecord:
    best = epochs[0]
    for epoch in epochs[1:]:
        if objective.better(epoch.validation[objective.metric], best.validation[objective.metric]):
            best = epoch
    return best
