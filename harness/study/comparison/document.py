"""``comparison.json``: what was compared, how, and what came of it."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from harness.data import Dataset, derive_seed
from harness.problems import problems
from harness.records import TrialRecord
from harness.statistics import Design, Margin, PairVerdict, Word, compare_paired
from harness.statistics.design import ALPHA
from harness.study.comparison.asked import Asked
from harness.study.comparison.prices import cheapest_not_worse, front, prices
from harness.study.comparison.winners import Winner
from harness.study.objectives import Objective
from harness.study.search import Opened

SCHEMA_VERSION = 1


def design_of(asked: Asked) -> Design:
    """Return when a comparison looks. Raises :class:`InputError` for fewer than two seeds."""
    return Design.auto() if asked.seeds == "auto" else Design.fixed(asked.seeds)


def margin_of(asked: Asked, opened: Opened) -> Margin | None:
    """Return the margin of equivalence, None where none was asked for. Raises :class:`InputError`."""
    if asked.margin is None:
        return None
    metric = opened.job.objectives[0].metric
    known = {each.name: each for each in problems[opened.dataset.shape.kind].metrics}.get(metric)
    return Margin.asked(asked.margin, share=known is not None and known.share, unit=metric)


def task_of(dataset: Dataset, objective: Objective) -> dict[str, Any]:
    """Return what the winners were compared on."""
    return {
        "name": dataset.name,
        "kind": str(dataset.shape.kind),
        "fingerprint": dataset.fingerprint,
        "metric": objective.metric,
        "direction": objective.direction,
        "test_samples": dataset.test_size,
    }


def family_of(
    winner: Winner,
    records: Sequence[TrialRecord],
    values: Sequence[float],
    seeds: Sequence[int],
    *,
    seed: int,
    folder: Path,
) -> dict[str, Any]:
    """Return a row of ``families``: a winner with its scores, in the metric's own direction, and its prices.

    Its run is named from the ``folder`` of the comparison where it is inside of it.
    The interval is that of the mean over seeds, as that of a difference.
    """
    cost = prices(records)
    low, high = _interval(values, derive_seed(seed, "interval", winner.name))
    return {
        "name": winner.name,
        "run": winner.run.relative_to(folder).as_posix() if winner.run.is_relative_to(folder) else str(winner.run),
        "trial": winner.trial,
        "params": dict(winner.params),
        "mean": float(np.mean(values)) if values else math.nan,
        "low": low,
        "high": high,
        "values": list(values),
        "seeds": list(seeds),
        **cost.values,
        "trials": winner.trials,
        "complete": winner.complete,
        "device_seconds": winner.device_seconds,
        "reasons": dict(cost.reasons),
    }


def concluded(
    families: Sequence[Mapping[str, Any]], verdicts: Iterable[PairVerdict], *, maximize: bool
) -> dict[str, Any]:
    """Return the pairs, the Pareto front and the cheapest that is not detectably worse than the best."""
    pairs = list(verdicts)
    better = {(pair.a, pair.b) for pair in pairs if pair.word is Word.BETTER}
    judged = all(pair.word is not Word.OPEN for pair in pairs)
    return {
        "pairs": [pair.as_dict() for pair in pairs],
        "front": front(families, maximize=maximize),
        "cheapest_not_worse": cheapest_not_worse(families, lambda a, b: (b, a) in better, maximize=maximize)
        if judged
        else None,
    }


def design_told(asked: Asked, design: Design, pairs_used: int) -> dict[str, Any]:
    """Return the design as it was fixed before the first look, and how far it went."""
    return {
        "seeds": asked.seeds,
        "looks": list(design.looks),
        "thresholds": list(design.thresholds),
        "pairs_used": pairs_used,
        "margin": asked.margin,
        "alpha": ALPHA,
        "seed": asked.seed,
    }


def _interval(values: Sequence[float], seed: int) -> tuple[float, float]:
    """Return the 95 % interval of a mean over seeds; NaN below two."""
    if len(values) < 2:
        return math.nan, math.nan
    found = compare_paired(values, [0.0] * len(values), seed=seed)
    return found.low, found.high
