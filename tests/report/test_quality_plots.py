from __future__ import annotations

import numpy as np
import pytest
from sklearn.calibration import calibration_curve

from harness.report.quality_plots import reliability, residual_histogram, residuals


def test_the_reliability_diagram_is_scikit_learns_calibration_curve():
    rng = np.random.default_rng(0)
    confidence = rng.uniform(0.1, 1, 2000)
    right = rng.random(2000) < confidence**2
    figure = reliability(confidence, right)
    accuracy, mean = calibration_curve(right, confidence, n_bins=10)
    curve, bars = figure.as_plotly().data[1], figure.as_plotly().data[2]
    np.testing.assert_allclose(curve.y, accuracy, rtol=1e-5)
    np.testing.assert_allclose(curve.x, mean, rtol=1e-5)
    assert sum(bars.y) == 2000


def test_a_bin_of_one_sample_is_shown_as_uncertain_as_it_is():
    figure = reliability(np.array([0.95, 1.0, 0.55]), np.array([True, True, False]))
    error = figure.as_plotly().data[1].error_y
    assert error.array[0] > 0.7
    assert error.arrayminus[0] == 0


def test_predictions_that_are_no_numbers_are_left_out():
    confidence, right = np.array([0.95, np.nan, 0.55]), np.array([True, False, False])
    assert sum(reliability(confidence, right).as_plotly().data[2].y) == 2
    actual, predicted = np.zeros(4), np.array([1.0, np.nan, np.inf, 2.0])
    assert sum(residual_histogram(actual, predicted).as_plotly().data[0].y) == 2
    none = np.full(3, np.nan)
    assert sum(reliability(none, right).as_plotly().data[2].y) == 0
    assert residual_histogram(none, none).as_plotly().data == ()
    residuals(none, none)


def test_residuals_are_predicted_less_actual_and_every_sample_is_in_a_bar():
    rng = np.random.default_rng(0)
    actual = rng.normal(size=500)
    predicted = actual + rng.normal(size=500)
    predicted[3] = 1e6
    figure = residuals(actual, predicted)
    assert figure.as_plotly().data[0].y[0] == pytest.approx(predicted[0] - actual[0], rel=1e-5)
    histogram = residual_histogram(actual, predicted)
    assert sum(histogram.as_plotly().data[0].y) == 500
    assert max(histogram.as_plotly().data[0].x) < 10
