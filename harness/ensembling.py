"""The best trials of a search averaged: ``harness.ensemble``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from harness.api import source_of
from harness.problems.scoring import Function
from harness.report import write_report
from harness.study.ensemble.story import SIZE, Asked, average


def ensemble(
    run: str | Path,
    *,
    top: int | None = None,
    size: int = SIZE,
    metric: str = "loss",
    force: bool = False,
    device: str = "auto",
    trust: bool = False,
    data: Any = None,
    target: str | Sequence[str] | None = None,
    metrics: Mapping[str, Function] | None = None,
) -> Mapping[str, Any]:
    """Average the best trials of a search, and score that once beside its final model on the test samples.

    Of the ``top`` trials (None: all whose predictions of the validation samples the run has kept) those are selected
    whose average is best by ``metric``, greedily and with replacement, up to a sum of ``size``. The model is written to
    the run's folder ``ensemble/``, for ``harness.load(run, model="ensemble")``. What is returned stands in
    ``ensemble/score.json``, which docs/results.md describes. Its ``test`` is None where no average is better on
    validation than one trial alone: then nothing is written and the test samples stay closed.

    An average that was scored is made anew only with ``force``, which opens the test samples once more. ``data``,
    ``target`` and ``metrics`` (functions by their names) are those of :func:`harness.search`, for a run that was given
    them from Python. Scores that follow from predicted classes are those of the most probable class, also where
    ``best/`` has a threshold.

    >>> import harness
    >>> grid = {**space, "search": {"sampler": "grid", "baselines": False}}
    >>> score = harness.ensemble(harness.search(grid, trials=2, workers=0).run)
    >>> {member["trial"] for member in score["members"]} <= {0, 1}, score["validation"]["samples"]
    (True, 27)

    Raises the errors of :mod:`harness.errors`.
    """
    asked = Asked(
        top=top,
        size=size,
        metric=metric,
        device=device,
        trust=trust,
        force=force,
        data=source_of(data, target),
        metrics=metrics or {},
    )
    score = average(Path(run), asked)
    if score["test"] is not None:
        write_report(Path(run))
    return score
