import math
import time

import numpy as np
import pytest
import scipy.stats
from sklearn.metrics import f1_score, precision_score, r2_score, recall_score

from harness.measure import standard_error
from harness.problems import problems

VALUE_METRICS = ("rmse", "mae", "r2")
CLASSES, VALUES = problems["classification"], problems["regression"]


def error_of(metric, outputs, targets, *, seed=0, loss="cross_entropy", scale=(1.0,)):
    problem = VALUES if outputs.ndim == 1 or metric in VALUE_METRICS or loss in VALUES.losses else CLASSES
    figures = standard_error(problem, metric, outputs, targets, seed=seed, loss=loss, scale=scale)
    assert not figures.reasons
    return figures.values["value_se"]


def labelled(samples, classes=4, seed=0):
    """Return probabilities that are right more often than not, and the classes."""
    rng = np.random.default_rng(seed)
    targets = rng.integers(0, classes, samples)
    logits = rng.normal(size=(samples, classes)) + 1.5 * np.eye(classes)[targets]
    return (np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)).astype(np.float32), targets


def valued(samples, seed=0):
    rng = np.random.default_rng(seed)
    targets = rng.normal(3.0, 2.0, samples)
    return (targets + rng.normal(0.0, 0.7, samples)).astype(np.float32), targets


def spread(score, samples, make, repeats=400):
    """Return how much a score differs between samples that are drawn anew: what the standard error estimates."""
    return float(np.std([score(*make(samples, seed=1000 + repeat)) for repeat in range(repeats)]))


@pytest.mark.parametrize("hits", [0, 3, 250, 500])
def test_accuracy_has_an_error_like_that_of_a_wilson_interval(hits):
    targets = np.zeros(500, dtype=np.int64)
    probabilities = np.eye(2)[(np.arange(500) >= hits).astype(int)]
    interval = scipy.stats.binomtest(hits, 500).proportion_ci(math.erf(math.sqrt(2.0)), method="wilson")
    error, two_sides = error_of("accuracy", probabilities, targets), interval.high - interval.low
    # Of two standard errors to either side; Agresti and Coull's is the wider one at the ends.
    assert two_sides / 4.0 <= error * (1 + 1e-9)
    assert error < 1.5 * two_sides / 4.0
    if hits == 250:
        assert error == pytest.approx(math.sqrt(0.25 / 500), rel=0.01)


@pytest.mark.parametrize("metric", ["accuracy", "f1_macro", "recall_macro"])
def test_samples_that_are_all_told_right_leave_some_doubt(metric):
    targets = np.arange(120) % 3
    error = error_of(metric, np.eye(3)[targets], targets)
    # Of 120 hits in 120, a share of 3 / 120 misses is still within 95 % (the rule of three).
    assert 0.25 * 3 / 120 < error < 3 / 120


@pytest.mark.parametrize(
    ("metric", "score"),
    [
        ("f1_macro", lambda y, p: f1_score(y, p, average="macro")),
        ("f1_weighted", lambda y, p: f1_score(y, p, average="weighted")),
        ("precision_macro", lambda y, p: precision_score(y, p, average="macro")),
        ("recall_macro", lambda y, p: recall_score(y, p, average="macro")),
    ],
)
def test_scores_of_classes_are_as_unsure_as_new_samples_show(metric, score):
    expected = spread(lambda p, y: score(y, p.argmax(axis=1)), 300, labelled, repeats=80)
    assert error_of(metric, *labelled(300)) == pytest.approx(expected, rel=0.3)


def test_the_bootstrap_of_a_score_is_that_of_scikit_learn():
    probabilities, targets = labelled(200, classes=3)
    predicted, rng = probabilities.argmax(axis=1), np.random.default_rng(5)
    drawn = (rng.integers(0, 200, 200) for _ in range(150))
    scores = [f1_score(targets[rows], predicted[rows], average="macro") for rows in drawn]
    assert error_of("f1_macro", probabilities, targets) == pytest.approx(np.std(scores), rel=0.25)


@pytest.mark.parametrize(
    ("metric", "score"),
    [
        ("rmse", lambda p, y: math.sqrt(np.mean((p - y) ** 2))),
        ("mae", lambda p, y: np.abs(p - y).mean()),
        ("r2", lambda p, y: r2_score(y, p)),
    ],
)
def test_scores_of_values_are_as_unsure_as_new_samples_show(metric, score):
    assert error_of(metric, *valued(400)) == pytest.approx(spread(score, 400, valued), rel=0.25)


def test_r2_agrees_with_the_delta_method():
    outputs, targets = valued(2000)
    squares, centred = (outputs - targets) ** 2, (targets - targets.mean()) ** 2
    parts = (squares - centred * squares.mean() / centred.mean()) / centred.mean()
    assert error_of("r2", outputs, targets) == pytest.approx(parts.std() / math.sqrt(2000), rel=0.2)


def test_the_loss_has_the_error_of_a_mean():
    probabilities, targets = labelled(300)
    losses = -np.log(probabilities[np.arange(300), targets])
    assert error_of("loss", probabilities, targets) == pytest.approx(losses.std(ddof=1) / math.sqrt(300), rel=1e-5)
    outputs, wanted = valued(300)
    squares = ((outputs - wanted) / 2.0) ** 2
    found = error_of("loss", outputs, wanted, loss="mse", scale=(2.0,))
    assert found == pytest.approx(squares.std(ddof=1) / math.sqrt(300), rel=1e-5)
    distances = np.abs(outputs - wanted) / 0.5
    huber = np.where(distances <= 1, distances**2 / 2, distances - 0.5)
    found = error_of("loss", outputs, wanted, loss="huber", scale=(0.5,))
    assert found == pytest.approx(huber.std(ddof=1) / math.sqrt(300), rel=1e-5)


def test_a_probability_of_zero_leaves_the_loss_finite():
    probabilities = np.array([[1.0, 0.0], [0.5, 0.5], [0.0, 1.0]], dtype=np.float32)
    assert math.isfinite(error_of("loss", probabilities, np.array([1, 0, 1])))


def test_several_values_are_averaged():
    outputs, targets = valued(200)
    twice = (np.stack([outputs, outputs], axis=1), np.stack([targets, targets], axis=1))
    for metric in VALUE_METRICS:
        assert error_of(metric, *twice) == pytest.approx(error_of(metric, outputs, targets))


@pytest.mark.parametrize("metric", VALUE_METRICS)
def test_what_is_exact_is_sure(metric):
    assert error_of(metric, np.arange(9.0), np.arange(9.0)) == 0.0


def test_the_seed_decides_the_bootstrap():
    found = [error_of("f1_macro", *labelled(100), seed=seed) for seed in (1, 1, 2)]
    assert found[0] == found[1] != found[2]


@pytest.mark.parametrize(
    ("metric", "samples", "reason"), [("accuracy", 1, "one validation sample"), ("my_score", 5, "is known of my_score")]
)
def test_what_has_no_error_says_why(metric, samples, reason):
    figures = standard_error(CLASSES, metric, *labelled(samples), seed=0, loss="cross_entropy")
    assert math.isnan(figures.values["value_se"])
    assert reason in figures.reasons["value_se"]


def test_values_that_are_not_finite_have_no_error():
    figures = standard_error(VALUES, "rmse", np.array([1.0, np.inf]), np.zeros(2), seed=0, loss="mse")
    assert math.isnan(figures.values["value_se"])
    assert "not finite" in figures.reasons["value_se"]


@pytest.mark.parametrize("metric", ["f1_macro", "r2"])
def test_ten_thousand_samples_take_a_moment(metric):
    given = labelled(10_000, classes=100) if metric == "f1_macro" else valued(10_000)
    taken = []
    for _ in range(3):
        start = time.process_time()
        error_of(metric, *given)
        taken.append(time.process_time() - start)
    assert min(taken) < 0.5
