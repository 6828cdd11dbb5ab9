"""The threshold of two classes, against scikit-learn and against trying every one."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import confusion_matrix, f1_score, roc_curve

from harness.measure.threshold import Threshold, threshold_of
from harness.problems import Undefined
from harness.problems.deciding import decide
from harness.spec import Cost, Costs

COSTS = Costs(cost=Cost(false_positive=1.0, false_negative=5.0))


def drawn(seed, samples=200, levels=None):
    generator = np.random.default_rng(seed)
    shares = generator.beta(0.7, 1.2, samples)
    targets = (generator.random(samples) < shares**1.5).astype(np.int64)
    targets[:2] = 0, 1
    return (shares if levels is None else np.round(shares * levels) / levels).astype(np.float32), targets


def predicted(shares, value):
    return decide(np.stack([1 - shares, shares], axis=1), value)


def cost(targets, answers, costs):
    (_, false_positive), (false_negative, _) = confusion_matrix(targets, answers, labels=[0, 1])
    return (costs.cost.false_positive * false_positive + costs.cost.false_negative * false_negative) / len(targets)


few = settings(max_examples=25)


def every_answer(shares):
    """Return the predictions of every threshold that tells any samples apart."""
    levels = np.unique(shares)
    return [(shares >= level).astype(np.int64) for level in levels] + [np.zeros(len(shares), np.int64)]


@few
@given(st.integers(0, 10_000), st.sampled_from([None, 4, 10]))
def test_by_f1_no_other_threshold_is_better(seed, levels):
    shares, targets = drawn(seed, 60, levels)
    best = max(2 * (answers * targets).sum() / (answers + targets).sum() for answers in every_answer(shares))
    found = threshold_of("f1", shares, targets)
    assert f1_score(targets, predicted(shares, found.value)) == pytest.approx(best, rel=1e-12)
    assert (found.by, 0.0 < found.value <= 1.0) == ("f1", True)


@few
@given(st.integers(0, 10_000), st.sampled_from([None, 4, 10]))
def test_by_youden_it_is_where_the_roc_curve_is_farthest_from_chance(seed, levels):
    shares, targets = drawn(seed, 60, levels)
    false_rate, true_rate, _ = roc_curve(targets, shares)
    answers = predicted(shares, threshold_of("youden", shares, targets).value)
    found = answers[targets == 1].mean() - answers[targets == 0].mean()
    assert found == pytest.approx((true_rate - false_rate).max(), abs=1e-12)


@few
@given(st.integers(0, 10_000), st.floats(0.1, 20.0), st.floats(0.1, 20.0))
def test_by_cost_no_other_threshold_costs_less(seed, false_positive, false_negative):
    shares, targets = drawn(seed, 60)
    costs = Costs(cost=Cost(false_positive=false_positive, false_negative=false_negative))
    wrong = [(answers * (1 - targets), (1 - answers) * targets) for answers in every_answer(shares)]
    least = min(false_positive * over.mean() + false_negative * missed.mean() for over, missed in wrong)
    found = threshold_of(costs, shares, targets)
    assert cost(targets, predicted(shares, found.value), costs) == pytest.approx(least, rel=1e-9)
    assert found.as_dict() == {
        "value": found.value,
        "by": "cost",
        "false_positive": false_positive,
        "false_negative": false_negative,
    }


def test_a_rare_class_that_must_not_be_missed_is_predicted_earlier():
    shares, targets = drawn(0)
    assert threshold_of(COSTS, shares, targets).value < threshold_of("f1", shares, targets).value < 1.0


def test_of_equally_good_thresholds_the_nearest_to_a_half_is_taken():
    shares = np.array([0.1, 0.2, 0.9, 0.95], dtype=np.float32)
    assert threshold_of("youden", shares, np.array([0, 0, 1, 1])).value == pytest.approx(0.55)
    shares = np.array([0.1, 0.2, 0.25, 0.3], dtype=np.float32)
    found = threshold_of(COSTS, shares, np.array([0, 1, 0, 0]))
    assert predicted(shares, found.value).tolist() == [0, 1, 1, 1]


def test_neighbours_in_float32_are_told_apart():
    low = np.float32(0.3)
    shares = np.array([low, np.nextafter(low, np.float32(1))])
    assert predicted(shares, threshold_of("f1", shares, np.array([0, 1])).value).tolist() == [0, 1]


@pytest.mark.parametrize("rule", ["f1", "youden", COSTS])
def test_where_samples_cannot_tell_there_is_none(rule):
    with pytest.raises(Undefined, match="all validation samples are of one class"):
        threshold_of(rule, np.array([0.2, 0.7]), np.array([1, 1]))
    with pytest.raises(Undefined, match="gives all validation samples one probability"):
        threshold_of(rule, np.array([0.4, 0.4]), np.array([0, 1]))
    certain = np.array([0.0, 0.0, 1.0, 1.0], dtype=np.float32)
    assert predicted(certain, threshold_of(rule, certain, np.array([0, 0, 1, 1])).value).tolist() == [0, 0, 1, 1]


def test_a_probability_that_is_given_needs_no_samples():
    assert threshold_of(0.3, np.array([]), np.array([])) == Threshold(0.3, "value")
    shares = np.array([[0.7, 0.3], [0.71, 0.29], [0.5, 0.5]])
    assert decide(shares, 0.3).tolist() == [1, 0, 1]
    assert decide(shares, None).tolist() == [0, 0, 0]
