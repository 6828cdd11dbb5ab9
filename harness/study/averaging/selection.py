"""Which models to average, and how often each counts: greedy selection by what they predict of the same samples.

Caruana, Niculescu-Mizil, Crew and Ksikes, 2004, "Ensemble selection from libraries of models" (ICML), with its sorted
initialisation and with replacement. Bagging is left out: it is for libraries of thousands.

Shape legend: M models, N samples, C outputs.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from harness.data import derive_seed

Outputs = NDArray[np.floating]
Cost = Callable[[Outputs], float]
"""Of ``N x C`` outputs, to be made small."""


def select(outputs_MNC: Outputs, cost: Cost, size: int) -> NDArray[np.int64]:
    """Return how often each model counts in the average: ``M`` whole numbers, ``size`` at most in sum, 1 at least.

    It begins with as many of the best as make the best average, and adds the model that makes the average better by
    most, until none does.
    """
    outputs_MNC = outputs_MNC.astype(np.float64)
    order = sorted(range(len(outputs_MNC)), key=lambda model: cost(outputs_MNC[model]))
    sums = np.cumsum(outputs_MNC[order], axis=0)[:size]
    costs = [cost(total / count) for count, total in enumerate(sums, start=1)]
    count = next(number for number, each in enumerate(costs, start=1) if not _better(min(costs), each))
    total, least = sums[count - 1], costs[count - 1]
    counts = np.zeros(len(outputs_MNC), np.int64)
    counts[order[:count]] = 1
    while count < size:
        costs = [cost((total + each) / (count + 1)) for each in outputs_MNC]
        added = int(np.argmin(costs))
        if not _better(costs[added], least):
            break
        total, least, count = total + outputs_MNC[added], costs[added], count + 1
        counts[added] += 1
    return counts


def _better(cost: float, other: float) -> bool:
    """Tell whether a cost is less, and not by rounding alone."""
    return cost < other - 1e-9 * abs(other)


def mean_of(outputs_MNC: Outputs, counts_M: NDArray[np.int64]) -> Outputs:
    """Return the average in which each model counts so often."""
    mean: Outputs = np.average(outputs_MNC.astype(np.float64), axis=0, weights=counts_M)
    return mean


def crossed(outputs_MNC: Outputs, judge: Callable[[NDArray[np.int64]], Cost], size: int, seed: int) -> Outputs:
    """Return, for each sample, the average that was selected without it: one half selects for the other.

    What is measured of it tells what selection is worth, which on the samples that it looked at is told too well.
    ``judge`` gives the cost on some of the samples alone.
    """
    order = np.random.default_rng(derive_seed(seed, "halves")).permutation(outputs_MNC.shape[1])
    halves = np.sort(order[: len(order) // 2]), np.sort(order[len(order) // 2 :])
    found = np.empty(outputs_MNC.shape[1:])
    for looked_at, others in (halves, halves[::-1]):
        counts = select(outputs_MNC[:, looked_at], judge(looked_at), size)
        found[others] = mean_of(outputs_MNC[:, others], counts)
    return found
