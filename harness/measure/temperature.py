"""How far probabilities of classes are to be softened or sharpened: the temperature of their logits.

Guo et al., 2017, arXiv:1706.04599. It changes no order of classes, so no accuracy; it changes losses.

Shape legend: N samples, C classes.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax, softmax

from harness.problems.label_errors import Floats, log_probabilities

SPREAD = 0.5
"""Standard deviation of the normal prior of the temperature's logarithm: few samples leave it near 1. Without it,
samples that are all told right would ask for probabilities of 0 and 1."""
_BOUND = math.log(20.0)


def fit_temperature(probabilities: NDArray[np.floating], targets: NDArray[np.generic]) -> float:
    """Return the temperature at which ``N x C`` probabilities fit ``N`` class codes best: the mode of its posterior.

    The samples must be others than those of the training.
    """
    logits_NC = log_probabilities(probabilities)
    rows_N, targets_N = np.arange(len(targets)), targets.astype(np.int64)

    def cost(logarithm: float) -> float:
        likelihood = log_softmax(logits_NC * math.exp(-logarithm), axis=1)[rows_N, targets_N].sum()
        return float(-likelihood + 0.5 * (logarithm / SPREAD) ** 2)

    return math.exp(float(minimize_scalar(cost, bounds=(-_BOUND, _BOUND), method="bounded").x))


def tempered(probabilities: NDArray[np.floating], temperature: float) -> Floats:
    """Return ``N x C`` probabilities whose logits are divided by the temperature."""
    scaled_NC: Floats = softmax(log_probabilities(probabilities) / temperature, axis=1)
    return scaled_NC
