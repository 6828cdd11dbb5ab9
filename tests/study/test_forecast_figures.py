"""What the shipped space reaches on the airline passengers, beside the naive forecasts."""

import json

import pytest

import harness
from harness.data.sources.builtin import AIRLINE

TASK = {"forecast": str(AIRLINE), "time": "month", "target": "passengers", "transform": "log"}


@pytest.mark.slow
@pytest.mark.parametrize(("horizon", "seasonal", "grown", "bound"), [(12, 1.57, 0.44, 0.44), (24, 2.49, 1.80, 1.80)])
def test_airline_passengers_are_forecast_better_than_by_their_last_season(
    horizon, seasonal, grown, bound, tmp_path
):  # fmt: skip
    task = json.dumps({**TASK, "horizon": horizon})
    result = harness.search(
        "forecast", overrides=[f"task={task}"], seed=0, device="cpu", precision="fp32", workers=0, out=tmp_path
    )
    rows = {row["name"]: row["test"]["mase"] for row in result.stats["baselines"]}
    assert rows["seasonal naive"] == pytest.approx(seasonal, abs=0.006)
    assert rows["seasonal naive with growth"] == pytest.approx(grown, abs=0.006)
    assert result.test["mase"] <= bound
