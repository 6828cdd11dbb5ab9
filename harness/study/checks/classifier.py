"""What a simple classifier, made without a sample, thinks of it: a forest of columns, a linear model of counts."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from harness.study.checks.sample import Floats, Indices

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

TREES = 32
PENALTY = 1.0
"""Of the linear model, for texts of length 1."""


class Opinion(NamedTuple):
    """Of each sample by a classifier that was made without it."""

    chances: Floats
    """``N x C``: how likely each class is."""
    importances: Floats
    """(F,): the share of each column in how classes are told apart."""
    whose: str
    """What the classifier is called."""


def opinion(inputs: Floats | csr_matrix, classes: Indices, seed: int) -> Opinion:
    """Return what a classifier thinks of samples, whose classes are numbered from 0."""
    return _of_forest(inputs, classes, seed) if isinstance(inputs, np.ndarray) else _of_counts(inputs, classes)


def _of_forest(inputs: Floats, classes: Indices, seed: int) -> Opinion:
    """Ask a random forest (Breiman, 2001) by its out-of-bag probabilities."""
    from sklearn.ensemble import RandomForestClassifier

    forest = RandomForestClassifier(TREES, oob_score=True, n_jobs=1, random_state=seed % 2**32).fit(inputs, classes)
    return Opinion(forest.oob_decision_function_, forest.feature_importances_, "forest")


def _of_counts(counts: csr_matrix, classes: Indices) -> Opinion:
    """Ask a least-squares model of TF-IDF, in which every sample is left out in turn.

    All of that follows from one matrix inverse (Rifkin and Lippert, 2007, Notes on regularized least squares). What the
    model says of a class is taken as its share: 0 to 1, summing up to 1.
    """
    from scipy.linalg import inv
    from sklearn.feature_extraction.text import TfidfTransformer

    x_NF = TfidfTransformer(sublinear_tf=True).fit_transform(counts)
    y_NC = np.eye(classes.max() + 1)[classes]
    kernel_NN = (x_NF @ x_NF.T).toarray() + 1.0  # of a column of ones as well
    inverse_NN = inv(kernel_NN + PENALTY * np.eye(len(classes)), overwrite_a=True)
    weights_NC = inverse_NN @ y_NC
    said_NC = np.clip(y_NC - weights_NC / np.diag(inverse_NN)[:, None], 1e-6, 1.0)
    by_class_FC = x_NF.T @ (y_NC / y_NC.sum(axis=0))
    told_F = np.abs((x_NF.T @ weights_NC) * (by_class_FC - by_class_FC.mean(axis=1, keepdims=True))).sum(axis=1)
    return Opinion(said_NC / said_NC.sum(axis=1, keepdims=True), told_F / max(told_F.sum(), 1e-300), "linear model")
