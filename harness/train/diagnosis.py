"""What an epoch's figures say about the training: vanishing gradients, overfitting, underfitting. Pure functions.

Each returns a note, empty when there is nothing to say.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise

from harness.problems import problems

VANISHING_RATIO = 1e-4
"""Of the first weight's to the last weight's mean gradient. Glorot and Bengio (2010, section 4.2) found gradients that
shrink from layer to layer on the way back to be what keeps deep networks from learning."""
VANISHING_NORM = 1e-7
"""Global norm that is about the rounding error of fp32 weights near 1."""
FALLEN = 0.99
"""Share of the first epoch's loss above which the loss has not fallen."""
RISING_EPOCHS = 3
"""Epochs in a row in which validation loss must rise and training loss fall."""
LEAST_SKILL = 0.05
"""Share of the trivial predictor's errors that training must at least have removed."""


def vanishing_gradients(norm: float, depth_ratio: float, losses: Sequence[float]) -> str:
    """Judge an epoch's mean gradient norm and depth ratio; ``losses`` are the training losses up to it."""
    if depth_ratio < VANISHING_RATIO:
        return f"vanishing gradients: the first layer's are {depth_ratio:.1e} of the last layer's"
    if norm < VANISHING_NORM and len(losses) > 1 and losses[-1] > FALLEN * losses[0]:
        return f"vanishing gradients: norm {norm:.1e} and a loss that does not fall"
    return ""


def overfitting(training: Sequence[float], validation: Sequence[float]) -> str:
    """Judge the losses of all epochs up to now."""
    seen, unseen = training[-RISING_EPOCHS - 1 :], validation[-RISING_EPOCHS - 1 :]
    if len(unseen) <= RISING_EPOCHS:
        return ""
    falls = all(after < before for before, after in pairwise(seen))
    rises = all(after > before for before, after in pairwise(unseen))
    if not (falls and rises):
        return ""
    return (
        f"overfitting: in {RISING_EPOCHS} epochs validation loss rose from {unseen[0]:.4g} to {unseen[-1]:.4g} "
        f"while training loss fell from {seen[0]:.4g} to {seen[-1]:.4g}"
    )


def underfitting(kind: str, training: Mapping[str, float], class_counts: Sequence[int] | None) -> str:
    """Judge the metrics on the training samples at the end of training.

    The trivial predictor says the commonest class, or the mean. Without ``class_counts`` its accuracy is unknown.
    """
    skill, figures = problems[kind].skill(training, class_counts)
    return f"underfitting: on the training samples {figures}" if skill < LEAST_SKILL else ""
