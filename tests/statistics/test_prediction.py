"""Where one more value is to be expected."""

import numpy as np
import pytest
import statsmodels.api as sm

from harness.errors import InputError
from harness.statistics import prediction_interval


@pytest.mark.parametrize("confidence", [0.9, 0.95])
def test_the_interval_is_that_of_a_regression_on_nothing_but_its_mean(confidence):
    values = np.random.default_rng(0).normal(0.9, 0.02, 9)
    told = sm.OLS(values, np.ones(9)).fit().get_prediction([1.0]).conf_int(obs=True, alpha=1 - confidence)
    assert prediction_interval(values, confidence=confidence) == pytest.approx(told[0])


def test_it_holds_the_next_draw_as_often_as_it_says():
    draws = np.random.default_rng(1).normal(size=(500, 8))
    held = [low <= row[7] <= high for row in draws for low, high in [prediction_interval(row[:7])]]
    # Four standard errors of 95 % of 500.
    assert np.mean(held) == pytest.approx(0.95, abs=4 * np.sqrt(0.95 * 0.05 / 500))


def test_a_margin_widens_it_and_equal_values_leave_nothing_else():
    assert prediction_interval([0.5, 0.5, 0.5], margin=0.1) == (0.4, 0.6)


@pytest.mark.parametrize("values", [[], [0.5], [0.5, float("nan")]])
def test_too_few_values_expect_nothing(values):
    with pytest.raises(InputError, match="two or more finite"):
        prediction_interval(values)
