"""The temperature of probabilities, against where they came from and scikit-learn's log loss."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import brute
from scipy.special import softmax
from sklearn.metrics import log_loss

from harness.measure.temperature import fit_temperature, tempered


def drawn(samples, classes=4, *, seed=0, sharpness=1.0):
    """Return probabilities that are too sure by ``sharpness``, and classes drawn from the true ones."""
    generator = np.random.default_rng(seed)
    logits = generator.normal(0, 1.5, (samples, classes))
    targets = np.array([generator.choice(classes, p=row) for row in softmax(logits, axis=1)])
    return softmax(sharpness * logits, axis=1).astype(np.float32), targets


@pytest.mark.parametrize("sharpness", [0.5, 1.0, 3.0])
def test_it_finds_by_how_much_probabilities_are_too_sure(sharpness):
    probabilities, targets = drawn(20_000, sharpness=sharpness)
    assert fit_temperature(probabilities, targets) == pytest.approx(sharpness, rel=0.05)


def test_with_many_samples_no_other_temperature_has_a_lower_log_loss():
    probabilities, targets = drawn(5_000, sharpness=2.0)

    def loss(temperature):
        return log_loss(targets, tempered(probabilities, float(np.squeeze(temperature))))

    best = float(brute(loss, [(0.5, 8.0)], Ns=50)[0])
    assert fit_temperature(probabilities, targets) == pytest.approx(best, rel=0.01)


def test_few_samples_that_are_all_right_are_not_taken_for_certainty():
    probabilities = np.array([[0.9, 0.1]] * 10)
    assert 0.5 < fit_temperature(probabilities, np.zeros(10, dtype=np.int64)) < 1.0


def test_probabilities_of_zero_and_one_that_are_wrong_have_a_finite_temperature():
    probabilities = np.array([[1.0, 0.0]] * 40, dtype=np.float32)
    targets = np.array([0] * 30 + [1] * 10)
    temperature = fit_temperature(probabilities, targets)
    assert 10.0 < temperature <= 20.0
    assert log_loss(targets, tempered(probabilities, temperature)) < 2.0


@given(st.integers(0, 99), st.floats(0.1, 10.0))
def test_it_keeps_the_order_of_classes_and_sums_to_one(seed, temperature):
    probabilities, _ = drawn(20, seed=seed)
    scaled = tempered(probabilities, temperature)
    np.testing.assert_allclose(scaled.sum(axis=1), 1.0)
    assert (np.argsort(scaled, axis=1) == np.argsort(probabilities, axis=1)).all()
    reference = softmax(np.log(probabilities.astype(np.float64)) / temperature, axis=1)
    np.testing.assert_allclose(scaled, reference)
