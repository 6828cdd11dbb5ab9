"""scikit-learn's own checks of what an estimator is."""

import pytest
from sklearn.utils.estimator_checks import parametrize_with_checks

from harness import HarnessClassifier, HarnessRegressor

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("default::sklearn.exceptions.SkipTestWarning")]
SPACE = {
    "space": {
        "architecture": {"mlp": {"depth": 1, "width": 32}},
        "optimizer": {"adamw": {"lr": 0.02}},
        "batch_size": 16,
    },
    "budget": {"epochs": 4},
    "search": {"checks": False},
    "training": {"final": "keep", "precision": "fp32"},
}
OPTIONS = {"trials": 1, "random_state": 0}


@parametrize_with_checks([HarnessClassifier(SPACE, **OPTIONS), HarnessRegressor(SPACE, **OPTIONS)])
def test_every_check(estimator, check):
    check(estimator)
