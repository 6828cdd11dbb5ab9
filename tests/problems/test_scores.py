"""Metrics that need all predictions at once, against scikit-learn's functions on the same arrays, and closed forms."""

import math
import warnings

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as reference

from harness.problems import Undefined, known_metrics, problems
from harness.problems.scoring import Scorer
from harness.records import TaskShape, table_inputs

CLASSES, VALUES = problems["classification"], problems["regression"]


def labelled(samples=150, classes=4, seed=0, missing=None):
    """Return classes, and float32 probabilities that are right more often than not; of one class there may be none."""
    rng = np.random.default_rng(seed)
    targets = rng.integers(0, classes, samples)
    if missing is not None:
        targets[targets == missing] = (missing + 1) % classes
    logits = rng.normal(size=(samples, classes)) + 1.5 * np.eye(classes)[targets]
    return targets, (np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)).astype(np.float32)


def valued(samples=120, seed=0):
    rng = np.random.default_rng(seed)
    targets = rng.normal(30.0, 9.0, samples)
    return targets, targets + rng.normal(1.0, 4.0, samples)


def expected_calibration_error(targets, probabilities, bins=15):
    """Guo et al.'s sum over bins, spelled out."""
    confidence, right = probabilities.max(axis=1), probabilities.argmax(axis=1) == targets
    total = 0.0
    for low in range(bins):
        inside = (confidence > low / bins) & (confidence <= (low + 1) / bins)
        if inside.any():
            total += inside.mean() * abs(right[inside].mean() - confidence[inside].mean())
    return total


@pytest.mark.parametrize("classes", [2, 3, 6])
def test_scores_of_classes_are_scikit_learns(classes):
    targets, answers = labelled(classes=classes)
    exact = answers.astype(np.float64)
    exact /= exact.sum(axis=1, keepdims=True)
    predicted, one_hot = answers.argmax(axis=1), np.eye(classes)[targets]
    second = exact[:, 1]
    expected = {
        "balanced_accuracy": reference.balanced_accuracy_score(targets, predicted),
        "mcc": reference.matthews_corrcoef(targets, predicted),
        "kappa": reference.cohen_kappa_score(targets, predicted),
        "roc_auc": reference.roc_auc_score(targets, second)
        if classes == 2
        else reference.roc_auc_score(targets, exact, multi_class="ovr", average="macro"),
        "average_precision": reference.average_precision_score(targets, second)
        if classes == 2
        else reference.average_precision_score(one_hot, exact, average="macro"),
        "log_loss": reference.log_loss(targets, exact),
        "brier": reference.brier_score_loss(targets, second)
        if classes == 2
        else reference.brier_score_loss(targets, exact, scale_by_half=False),
        "calibration_error": expected_calibration_error(targets, exact),
    }
    for count in (3, 5):
        if classes > count:
            expected[f"top_{count}_accuracy"] = reference.top_k_accuracy_score(targets, exact, k=count)
    found = Scorer("classification", tuple(metric.name for metric in CLASSES.metrics)).measure(targets, answers)
    assert {name: found.values[name] for name in expected} == pytest.approx(expected, rel=1e-9)
    assert set(found.reasons) == {f"top_{count}_accuracy" for count in (3, 5) if classes <= count}
    assert all(reason == f"there are only {classes} classes" for reason in found.reasons.values())
    summed = {name: found.values[name] for name in CLASSES.summed if name != "loss"}
    shape = TaskShape(kind="classification", outputs=classes, inputs=table_inputs(1))
    measure = CLASSES.quality(shape, torch.device("cpu"))
    measure.update(torch.from_numpy(answers), torch.from_numpy(targets))
    assert measure.metrics() == pytest.approx(summed, rel=1e-12)


def test_scores_of_values_are_scikit_learns():
    targets, answers = valued()
    expected = {
        "rmse": reference.root_mean_squared_error(targets, answers),
        "mae": reference.mean_absolute_error(targets, answers),
        "r2": reference.r2_score(targets, answers),
        "median_absolute_error": reference.median_absolute_error(targets, answers),
        "mape": reference.mean_absolute_percentage_error(targets, answers),
        "pinball_50": reference.mean_pinball_loss(targets, answers, alpha=0.5),
        "pinball_90": reference.mean_pinball_loss(targets, answers, alpha=0.9),
        "explained_variance": reference.explained_variance_score(targets, answers),
    }
    found = Scorer("regression", tuple(metric.name for metric in VALUES.metrics)).measure(targets, answers)
    assert not found.reasons
    assert found.values == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("metric", ["roc_auc", "average_precision"])
def test_a_class_without_samples_cannot_be_told_from_the_rest(metric):
    targets, answers = labelled(missing=2)
    with pytest.raises(Undefined, match="there is no sample of class 2"):
        CLASSES.score(metric, targets, answers)
    with pytest.raises(Undefined, match=r"no sample of class 1|no other sample of class 0"):
        CLASSES.score(metric, np.zeros(5, dtype=np.int64), labelled(5, 2)[1])


def test_a_class_without_samples_leaves_the_other_scores_as_they_are():
    targets, answers = labelled(classes=7, missing=2)
    found = Scorer("classification", CLASSES.unsummed).measure(targets, answers)
    assert set(found.reasons) == {"roc_auc", "average_precision"}
    exact = answers / answers.astype(np.float64).sum(axis=1, keepdims=True)
    assert found.values["log_loss"] == pytest.approx(reference.log_loss(targets, exact, labels=range(7)))
    expected = reference.top_k_accuracy_score(targets, exact, k=3, labels=range(7))
    assert found.values["top_3_accuracy"] == pytest.approx(expected)


def test_one_class_alone_has_no_kappa_and_the_rest_without_a_warning():
    targets, answers = np.ones(6, dtype=np.int64), np.tile(np.float32([0.2, 0.8]), (6, 1))
    found = Scorer("classification", tuple(metric.name for metric in CLASSES.metrics)).measure(targets, answers)
    assert found.reasons["kappa"] == "every target and every prediction is of one class"
    assert found.values["accuracy"] == found.values["balanced_accuracy"] == 1.0
    assert found.values["calibration_error"] == pytest.approx(0.2)
    assert found.values["brier"] == pytest.approx(0.04)
    assert found.values["log_loss"] == pytest.approx(-math.log(0.8))


def test_a_target_of_zero_has_no_relative_error():
    targets, answers = valued()
    targets[3] = 0.0
    found = Scorer("regression", VALUES.unsummed).measure(targets, answers)
    assert found.reasons == {"mape": "a target is 0"}
    assert math.isnan(found.values["mape"])


@settings(max_examples=30)
@given(st.lists(st.tuples(st.integers(0, 2), st.floats(-4, 4), st.floats(-4, 4)), min_size=2, max_size=25))
def test_every_score_of_classes_is_a_number_or_has_a_reason(rows):
    targets = np.array([row[0] for row in rows])
    logits = np.array([[0.0, *row[1:]] for row in rows])
    answers = (np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)).astype(np.float32)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = Scorer("classification", tuple(metric.name for metric in CLASSES.metrics)).measure(targets, answers)
    for name, value in found.values.items():
        assert math.isfinite(value) != (name in found.reasons)


def test_a_metric_has_one_direction_whatever_the_problem():
    directions = {}
    for problem in problems.values():
        assert problem.metric(problem.objective).summed
        for metric in problem.metrics:
            assert directions.setdefault(metric.name, metric.maximize) == metric.maximize
    assert set(known_metrics()) == {"loss", *directions}


@pytest.mark.slow
@pytest.mark.parametrize(("metric", "make"), [("roc_auc", labelled), ("brier", labelled), ("pinball_90", valued)])
def test_the_jackknife_is_as_unsure_as_new_samples_show(metric, make):
    kind = "classification" if make is labelled else "regression"
    scores = [problems[kind].score(metric, *make(200, seed=100 + repeat)) for repeat in range(60)]
    errors = [
        Scorer(kind, (metric,)).standard_error(metric, *make(200, seed=repeat), seed=repeat).values["value_se"]
        for repeat in range(10)
    ]
    assert np.mean(errors) == pytest.approx(np.std(scores), rel=0.3)


def test_the_jackknife_of_a_mean_is_its_standard_error():
    targets, answers = valued(40)
    scorer = Scorer("regression", own={"bias": lambda t, a: float((a - t).mean())})
    found = scorer.standard_error("bias", targets[:20], answers[:20], seed=0).values["value_se"]
    assert found == pytest.approx(np.std(answers[:20] - targets[:20], ddof=1) / math.sqrt(20))


def test_what_cannot_be_scored_without_some_samples_has_no_error():
    targets = np.array([0] * 30 + [1])
    found = Scorer("classification", ("roc_auc",)).standard_error("roc_auc", targets, labelled(31, 2)[1], seed=0)
    assert "no sample of class 1" in found.reasons["value_se"]
