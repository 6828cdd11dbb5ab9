import math

import pytest

from harness.records import TaskKind
from harness.train.diagnosis import overfitting, underfitting, vanishing_gradients


@pytest.mark.parametrize(
    ("norm", "depth_ratio", "losses", "noted"),
    [
        (1.0, 1e-5, [1.0], True),
        (1.0, 1e-3, [1.0], False),
        (1.0, math.nan, [1.0], False),
        (1e-8, 1.0, [1.0, 0.999], True),
        (1e-8, 1.0, [1.0, 0.5], False),  # small because it has converged
        (1e-8, 1.0, [1.0], False),
        (math.nan, math.nan, [1.0, 1.0], False),
    ],
)
def test_gradients_vanish_by_depth_or_altogether(norm, depth_ratio, losses, noted):
    assert vanishing_gradients(norm, depth_ratio, losses).startswith("vanishing") == noted


@pytest.mark.parametrize(
    ("training", "validation", "noted"),
    [
        ([9, 4, 3, 2, 1], [9, 1, 2, 3, 4], True),
        ([4, 3, 2, 1], [1, 2, 3, 4], True),
        ([3, 2, 1], [2, 3, 4], False),
        ([4, 3, 2, 1], [1, 2, 2, 4], False),
        ([4, 3, 3, 1], [1, 2, 3, 4], False),
        ([4, 3, 2, 1], [], False),
    ],
)
def test_overfitting_takes_three_epochs_of_rising_validation_and_falling_training_loss(training, validation, noted):
    assert overfitting(training, validation).startswith("overfitting") == noted


@pytest.mark.parametrize(
    ("kind", "metrics", "counts", "noted"),
    [
        (TaskKind.CLASSIFICATION, {"accuracy": 0.904}, (90, 10), True),
        (TaskKind.CLASSIFICATION, {"accuracy": 0.91}, (50, 50), False),
        (TaskKind.CLASSIFICATION, {"accuracy": 0.4}, None, False),
        (TaskKind.CLASSIFICATION, {"accuracy": 1.0}, (5, 0), False),
        (TaskKind.REGRESSION, {"r2": 0.01}, None, True),
        (TaskKind.REGRESSION, {"r2": -3.0}, None, True),
        (TaskKind.REGRESSION, {"r2": 0.2}, None, False),
    ],
)
def test_underfitting_is_hardly_better_than_the_trivial_predictor(kind, metrics, counts, noted):
    assert underfitting(kind, metrics, counts).startswith("underfitting") == noted
