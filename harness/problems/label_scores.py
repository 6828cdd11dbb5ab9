"""Scores of classes from all predictions of a part at once, by scikit-learn.

Shape legend: N samples, C classes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn import metrics
from sklearn.calibration import calibration_curve

from harness.problems.problem import Undefined

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

BINS = 15
"""Of confidence, for the calibration error; as Guo et al. have it."""


def score(metric: str, targets_N: NDArray[Any], answers_NC: NDArray[np.floating]) -> float:
    """Return a metric of ``N x C`` probabilities. Raises :class:`Undefined`."""
    targets_N, answers_NC = targets_N.astype(np.int64), answers_NC.astype(np.float64)
    if metric in _OF_CLASSES:
        return float(_OF_CLASSES[metric](targets_N, answers_NC.argmax(axis=1)))
    # Rounded to float32, probabilities do not add up to 1 as nearly as float64 would have it.
    return float(_OF_PROBABILITIES[metric](targets_N, answers_NC / answers_NC.sum(axis=1, keepdims=True)))


def _balanced_accuracy(targets_N: Ints, predicted_N: Ints) -> float:
    known = np.unique(targets_N)
    return float(metrics.recall_score(targets_N, predicted_N, average="macro", labels=known, zero_division=0.0))


def _mcc(targets_N: Ints, predicted_N: Ints) -> float:
    # scikit-learn warns where there is one class only, and gives 0 as well.
    several = len(np.union1d(targets_N, predicted_N)) > 1
    return float(metrics.matthews_corrcoef(targets_N, predicted_N)) if several else 0.0


def _kappa(targets_N: Ints, predicted_N: Ints) -> float:
    if len(np.union1d(targets_N, predicted_N)) < 2:
        raise Undefined("every target and every prediction is of one class")
    return float(metrics.cohen_kappa_score(targets_N, predicted_N))


def _one_hot(targets_N: Ints, answers_NC: Floats) -> Floats:
    one_hot_NC: Floats = np.eye(answers_NC.shape[1])[targets_N]
    return one_hot_NC


def _ranked(function: Callable[..., float], targets_N: Ints, answers_NC: Floats) -> float:
    """Return a score of how well each class is told from the rest, the mean over the classes; of two, the second's."""
    one_hot_NC = _one_hot(targets_N, answers_NC)
    for name, sums in (("no sample", one_hot_NC.sum(axis=0)), ("no other sample", (1.0 - one_hot_NC).sum(axis=0))):
        if (sums == 0).any():
            raise Undefined(f"there is {name} of class {int(sums.argmin())}")
    if answers_NC.shape[1] == 2:
        return function(targets_N, answers_NC[:, 1])
    return function(one_hot_NC, answers_NC, average="macro")


def _log_loss(targets_N: Ints, answers_NC: Floats) -> float:
    return float(metrics.log_loss(targets_N, answers_NC, labels=range(answers_NC.shape[1])))


def _brier(targets_N: Ints, answers_NC: Floats) -> float:
    """Return the mean squared distance from the right answer (Brier, 1950); of two classes that of one of them."""
    squares_C = metrics.mean_squared_error(_one_hot(targets_N, answers_NC), answers_NC, multioutput="raw_values")
    return float(squares_C.sum() / (2 if len(squares_C) == 2 else 1))


def _calibration_error(targets_N: Ints, answers_NC: Floats) -> float:
    """Return how far confidence is from accuracy, the mean over bins of confidence by their samples.

    Guo et al., 2017, arXiv:1706.04599. The bins are scikit-learn's.
    """
    confidence_N = answers_NC.max(axis=1)
    right_N = (answers_NC.argmax(axis=1) == targets_N).astype(np.int64)
    accuracy, mean_confidence = calibration_curve(right_N, confidence_N, pos_label=1, n_bins=BINS)
    bins_N = np.searchsorted(np.linspace(0.0, 1.0, BINS + 1)[1:-1], confidence_N)
    _, counts = np.unique(bins_N, return_counts=True)
    return float(np.average(np.abs(accuracy - mean_confidence), weights=counts))


def _among_first(count: int, targets_N: Ints, answers_NC: Floats) -> float:
    classes = answers_NC.shape[1]
    if classes <= count:
        raise Undefined(f"there are only {classes} classes")
    return float(metrics.top_k_accuracy_score(targets_N, answers_NC, k=count, labels=range(classes)))


def _averaged(function: Callable[..., float], average: str) -> Callable[[Ints, Ints], float]:
    return partial(function, average=average, zero_division=0.0)


_OF_CLASSES: Mapping[str, Callable[[Ints, Ints], float]] = {
    "accuracy": metrics.accuracy_score,
    "f1_macro": _averaged(metrics.f1_score, "macro"),
    "f1_weighted": _averaged(metrics.f1_score, "weighted"),
    "precision_macro": _averaged(metrics.precision_score, "macro"),
    "recall_macro": _averaged(metrics.recall_score, "macro"),
    "balanced_accuracy": _balanced_accuracy,
    "mcc": _mcc,
    "kappa": _kappa,
}
_OF_PROBABILITIES: Mapping[str, Callable[[Ints, Floats], float]] = {
    "roc_auc": partial(_ranked, metrics.roc_auc_score),
    "average_precision": partial(_ranked, metrics.average_precision_score),
    "log_loss": _log_loss,
    "brier": _brier,
    "calibration_error": _calibration_error,
    "top_3_accuracy": partial(_among_first, 3),
    "top_5_accuracy": partial(_among_first, 5),
}
