"""A search of forecasts from end to end: baselines beside it, new values predicted with their times, the report."""

import json
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

import harness
from harness.data import load
from harness.data.sources.builtin import AIRLINE
from harness.prediction import predict_file
from harness.problems import problems
from harness.spec.task import parse_task
from harness.study import forecast_baselines
from harness.study.averaging.judging import in_one_frame

PASSENGERS = pd.read_csv(AIRLINE)
QUICK = [
    "search.first=[]",
    "training.final=refit",
    "space.architecture={dlinear: {kernel: [1, 13]}}",
    "space.epochs=6",
    "space.batch_size=16",
    "space.optimizer={adamw: {lr: 0.01, weight_decay: 0.01}}",
]
QUANTILES = {"forecast": str(AIRLINE), "time": "month", "target": "passengers", "horizon": 6, "quantiles": [0.1, 0.9],
             "transform": "log"}  # fmt: skip


def searched(out, *overrides):
    return harness.search(
        "forecast", overrides=[*QUICK, *overrides], trials=2, seed=1, device="cpu", precision="fp32", workers=0, out=out
    )


@pytest.fixture(scope="module")
def point(tmp_path_factory):
    return searched(tmp_path_factory.mktemp("point"))


@pytest.fixture(scope="module")
def quantiles(tmp_path_factory):
    return searched(tmp_path_factory.mktemp("quantiles"), f"task={json.dumps(QUANTILES)}")


def test_baselines_stand_beside_it(point):
    rows = {row["name"]: row for row in point.stats["baselines"]}
    assert list(rows) == list(forecast_baselines.FORECASTS)
    values = PASSENGERS["passengers"].to_numpy(float)
    scale = np.abs(values[12:132] - values[:120]).mean()
    expected = np.abs(values[132:] - values[120:132]).mean() / scale
    assert rows["seasonal naive"]["test"]["mase"] == pytest.approx(expected)
    growth = values[120:132].sum() / values[108:120].sum()
    grown = np.abs(values[132:] - values[120:132] * growth).mean() / scale
    assert rows["seasonal naive with growth"]["test"]["mase"] == pytest.approx(grown)
    assert rows["naive"]["test"]["mae"] == pytest.approx(np.abs(values[132:] - values[131]).mean())
    assert 0.0 < rows["exponential smoothing"]["test"]["mase"] < rows["seasonal naive"]["test"]["mase"]
    assert rows["seasonal naive"]["test"]["loss"] > 0.0


def test_predictions_and_scores_agree(point):
    samples = pd.read_parquet(point.run / "predictions.parquet")
    truth = samples[[f"target_{step}" for step in range(1, 13)]].to_numpy()
    said = samples[[f"predicted_{step}" for step in range(1, 13)]].to_numpy()
    assert truth[0].tolist() == PASSENGERS["passengers"].tolist()[132:]
    assert point.test["mase"] == pytest.approx(np.abs(truth - said).mean() / samples["naive_error"][0], rel=1e-4)
    assert (point.run / "report.html").stat().st_size > 0
    assert "Forecast from 1960-01-01" in (point.run / "report.html").read_text()
    from harness.integrity import verify

    assert verify(point.run).state == "intact"


def test_a_file_of_the_history_gives_the_next_values_with_their_times(point, tmp_path):
    data, out = tmp_path / "history.csv", tmp_path / "next.csv"
    PASSENGERS.to_csv(data, index=False)
    assert predict_file(harness.load(point.run), data, out).rows == 1
    found = pd.read_csv(out)
    assert found["time"].tolist() == [f"1961-{month:02d}-01" for month in range(1, 13)]
    model = harness.load(point.run)
    np.testing.assert_allclose(found["prediction"], model.predict(PASSENGERS)[0])
    # As it predicted the test samples.
    before = model.predict(PASSENGERS.iloc[:132])[0]
    samples = pd.read_parquet(point.run / "predictions.parquet")
    np.testing.assert_allclose(before, samples[[f"predicted_{step}" for step in range(1, 13)]].to_numpy()[0], rtol=1e-5)
    with pytest.raises(harness.errors.InputError, match="name `quantiles` in the task"):
        predict_file(model, data, None, coverage=0.9)


@pytest.mark.slow
def test_quantiles_are_searched_scored_and_predicted(quantiles, tmp_path):
    assert quantiles.stats["task"]["kind"] == "quantile-forecasting"
    assert 0.0 <= quantiles.test["coverage"] <= 1.0
    assert quantiles.test["pinball"] > 0.0
    data, out = tmp_path / "history.csv", tmp_path / "next.csv"
    PASSENGERS.to_csv(data, index=False)
    predict_file(harness.load(quantiles.run), data, out)
    found = pd.read_csv(out)
    assert list(found.columns) == ["index", "time", "prediction", "quantile_0.1", "quantile_0.5", "quantile_0.9"]
    assert (found["quantile_0.1"] <= found["prediction"]).all()
    assert (found["prediction"] <= found["quantile_0.9"]).all()
    assert "lowest to highest quantile" in (quantiles.run / "report.html").read_text()


@pytest.mark.slow
def test_folds_roll_forward_to_the_test_part_and_their_models_are_averaged(tmp_path):
    architecture = "space.architecture={dlinear: {kernel: [1, 13], dropout: {float: [0.0, 0.4]}}}"
    run = searched(tmp_path, architecture, "evaluation.folds=3", f"task={json.dumps(QUANTILES)}").run
    splits = pd.read_parquet(run / "splits.parquet")
    firsts = splits[splits["part"] == "validation"].sort_values("fold")["index"].to_numpy()
    assert np.diff(firsts).tolist() == [6, 6]
    assert splits.loc[splits["part"] == "test", "index"].tolist() == [firsts[-1] + 6]
    assert (pd.read_parquet(run / "trials.parquet")["value_sd"] > 0.0).all()
    assert harness.ensemble(run)["validation"]["samples"] == 3


@pytest.mark.parametrize("quantiles", [[], [0.1, 0.9]])
def test_what_models_of_folds_say_is_put_into_one_frame(quantiles):
    """Each model says values less the mean of its own training steps: here it is right, so all must be right."""
    task = parse_task({**QUANTILES, "quantiles": quantiles})
    folds = load(task, seed=0).folds(task.split, 3)
    problem = problems[folds[0].shape.kind]
    right = [problem.learned(fold.validation.truth, fold.shape.target)[:, :-1] for fold in folds]
    said = np.concatenate(right)
    said = np.stack([said] * 3, axis=2) if quantiles else said
    framed = in_one_frame(SimpleNamespace(folds=folds, dataset=folds[-1]), said)
    truth = np.concatenate([fold.validation.truth for fold in folds])
    expected = problem.learned(truth, folds[-1].shape.target)[:, :-1]
    np.testing.assert_allclose(framed, np.stack([expected] * 3, axis=2) if quantiles else expected)
    assert np.abs(said - framed).max() > 0.0


def test_a_missing_package_is_said_with_how_to_install_it(monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "statsmodels", None)
    monkeypatch.setitem(sys.modules, "statsmodels.tsa.holtwinters", None)
    with pytest.raises(harness.errors.HardwareError, match=r"pip install 'harness-automl\[forecast\]'"):
        forecast_baselines.FORECASTS["exponential smoothing"](np.arange(1.0, 50.0), 12, 3)
