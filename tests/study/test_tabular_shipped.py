"""The shipped space for tables against scikit-learn's gradient boosting, where few trials must do."""

import numpy as np
import pandas as pd
import pytest
from sklearn.datasets import make_friedman1
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.metrics import root_mean_squared_error

import harness
from harness.spec import load_spec

TRIALS = 4


def test_a_search_of_four_trials_tries_each_family():
    families = [next(iter(candidate["architecture"])) for candidate in load_spec("tabular").search.first[:TRIALS]]
    assert set(families) == {"tabm", "realmlp", "mlp"}


@pytest.mark.slow
def test_four_trials_predict_smooth_values_far_better_than_gradient_boosting(tmp_path):
    x, y = make_friedman1(700, noise=1.0, random_state=0)
    overrides = ["search.baselines=false", "search.checks=false"]
    result = harness.search(
        "tabular", data={"inputs": x.astype(np.float32), "targets": y.astype(np.float32)}, overrides=overrides,
        trials=TRIALS, device="cpu", precision="fp32", workers=0, out=tmp_path,
    )  # fmt: skip
    predicted = pd.read_parquet(result.run / "predictions.parquet")
    rows = predicted["index"].to_numpy()
    known = np.setdiff1d(np.arange(len(y)), rows)
    boosting = HistGradientBoostingRegressor(random_state=0).fit(x[known], y[known])
    ours = root_mean_squared_error(y[rows], predicted["predicted"])
    assert ours < 0.9 * root_mean_squared_error(y[rows], boosting.predict(x[rows]))
    assert result.test["rmse"] == pytest.approx(ours, rel=1e-4)
