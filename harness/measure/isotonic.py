"""Probabilities of classes fitted by isotonic regression: the rising curve that is nearest to what happened.

Zadrozny and Elkan, 2002 (KDD, 694-699): one class against the rest, then normalised. It takes more samples than a
temperature does, and can mend more: any curve that rises.

Shape legend: N samples, C classes.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from harness.models.calibrated import Curve, Curves, Isotonic
from harness.problems import Undefined

SAMPLES = 1000
"""Fewer are overfitted (scikit-learn's advice on ``CalibratedClassifierCV``)."""
SAMPLES_OF_CLASS = 50


def fit_isotonic(probabilities: NDArray[np.floating], targets: NDArray[np.generic]) -> Curves:
    """Return the curves that fit ``N x C`` probabilities to ``N`` class codes; see :data:`Curves`.

    Nothing comes nearer to 0 or 1 than 1 / (N + 2), by Laplace's rule of succession: N samples without an exception do
    not show that there is none. The samples must be others than those of the training. Raises :class:`Undefined` where
    they are too few.
    """
    _check_enough(targets, probabilities.shape[1])
    classes = [1] if probabilities.shape[1] == 2 else range(probabilities.shape[1])
    return tuple(_curve(probabilities[:, k], targets == k) for k in classes)


def along_curves(probabilities: NDArray[np.floating], curves: Curves) -> NDArray[np.floating]:
    """Return what ``N x C`` probabilities become, as the module around the model has it."""
    shares = torch.from_numpy(probabilities.astype(np.float32))
    answers: NDArray[np.floating] = Isotonic(nn.Identity(), curves).of_probabilities(shares).numpy()
    return answers


def _curve(shares_N: NDArray[np.floating], hits_N: NDArray[np.bool_]) -> Curve:
    from sklearn.isotonic import IsotonicRegression

    least = 1.0 / (len(hits_N) + 2)
    fitted = IsotonicRegression(y_min=least, y_max=1.0 - least).fit(shares_N.astype(np.float64), hits_N)
    return Curve(tuple(fitted.X_thresholds_.tolist()), tuple(fitted.y_thresholds_.tolist()))


def _check_enough(targets: NDArray[np.generic], classes: int) -> None:
    if len(targets) < SAMPLES:
        raise Undefined(f"validation has {len(targets):,} samples, of which it takes {SAMPLES:,}")
    counts = np.bincount(targets.astype(np.int64), minlength=classes)
    if counts.min() < SAMPLES_OF_CLASS:
        raise Undefined(f"validation has {counts.min()} samples of a class, of which it takes {SAMPLES_OF_CLASS}")
