"""How far the score of a trial may be off, as far as that follows from single samples: its standard error.

Where there is a closed form it is taken: the standard error of a mean for losses, and what a problem knows of its own
metrics.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from harness.problems import LOSS, Problem
from harness.records import Figures
from harness.statistics import mean_error

NAME = "value_se"
"""The figure's name."""


def standard_error(
    problem: Problem,
    metric: str,
    answers: NDArray[np.floating],
    targets: NDArray[np.generic],
    *,
    seed: int,
    loss: str,
    scale: Sequence[float] = (1.0,),
) -> Figures:
    """Return the standard error of ``metric``, as the figure ``value_se``; NaN with a reason where it has none.

    ``answers`` and ``targets`` are as the problem takes them. The metric ``loss`` needs the name of the plain
    ``loss``, and of values the ``scale`` by which each was divided.
    """
    if len(targets) < 2:
        return Figures.missing("one validation sample has no standard error", NAME)
    if not np.isfinite(answers).all():
        return Figures.missing("the standard error is not known: a prediction is not finite", NAME)
    if metric == LOSS:
        return Figures({NAME: mean_error(problem.losses_of(answers, targets, loss=loss, scale=scale))})
    error = problem.standard_error(metric, targets, answers, seed)
    if error is None:
        return Figures.missing(f"no standard error is known of {metric}", NAME)
    return Figures({NAME: error})
