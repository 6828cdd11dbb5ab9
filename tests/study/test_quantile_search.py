"""A search of quantiles from end to end: what is learned of known quantiles, a real table, and a run that is used."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from sklearn.datasets import load_diabetes
from sklearn.metrics import mean_pinball_loss

import harness
from harness.data import load
from harness.errors import InputError, SpecError
from harness.prediction import predict_file
from harness.spec.task import parse_task

pytestmark = pytest.mark.usefixtures("without_charts")

HOUSES = Path(__file__).parents[2] / "examples" / "houses.csv"
LEVELS = (0.1, 0.5, 0.9)
COLUMNS = [f"quantile_{level}" for level in LEVELS]
QUICK = [
    "search.first=[]",
    "objective=null",
    "search.checks=false",
    "space.architecture={mlp: {depth: [1], width: 32}}",
    "space.optimizer={adamw: {lr: 0.02, weight_decay: 0.0001}}",
    "space.batch_size=32",
]
COMMON = {"seed": 1, "device": "cpu", "precision": "fp32"}


def asked_of(source, levels=LEVELS):
    return f"task={json.dumps({**source, 'quantiles': list(levels)})}"


@pytest.fixture(scope="module")
def diabetes(tmp_path_factory, without_charts):  # noqa: ARG001
    overrides = [*QUICK, asked_of({"builtin": "diabetes"}), "budget={epochs: 10}", "training.final={ensemble: 2}"]
    out = tmp_path_factory.mktemp("diabetes")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("harness.study.baseline_models.ROUNDS", 30)
        return harness.search("tabular", overrides=overrides, trials=2, workers=0, out=out, **COMMON)


def test_known_quantiles_are_learned(tmp_path):
    rng = np.random.default_rng(0)
    x = rng.uniform(-1.0, 1.0, 4000)
    spread = 0.3 + 0.9 * np.abs(x)  # heteroscedastic
    frame = pd.DataFrame({"x": x, "y": 2.0 * x + spread * rng.standard_normal(4000)})
    overrides = [*QUICK, "task.quantiles=[0.1, 0.5, 0.9]", "task.split={test: 0.5}", "budget={epochs: 15}"]
    overrides += ["training.final=keep", "search.baselines=false"]
    result = harness.search(
        "tabular", data=frame, target="y", overrides=overrides, trials=1, workers=0, out=tmp_path, **COMMON
    )
    # The shares of 2,000 samples have standard errors of 0.011 at most.
    assert result.test["coverage"] == pytest.approx(0.8, abs=0.05)
    samples = pd.read_parquet(result.run / "predictions.parquet")
    for level, name in zip(LEVELS, COLUMNS, strict=True):
        assert (samples["target"] <= samples[name]).mean() == pytest.approx(level, abs=0.05)
    at = samples["index"].to_numpy()
    known = 2.0 * x[at, None] + spread[at, None] * stats.norm.ppf(LEVELS)
    best = np.mean([mean_pinball_loss(frame["y"][at], known[:, q], alpha=level) for q, level in enumerate(LEVELS)])
    assert best < result.test["pinball"] < 1.03 * best
    # One interval for all x, as the quantiles of errors are, is worse than that.
    errors = frame["y"].to_numpy()[at] - 2.0 * x[at]
    alike = [mean_pinball_loss(errors, np.full(len(at), np.quantile(errors, level)), alpha=level) for level in LEVELS]
    assert result.test["pinball"] < np.mean(alike)


def test_a_small_network_beats_the_quantiles_of_the_training_targets(diabetes):
    rows = {row["name"]: row for row in diabetes.stats["baselines"]}
    assert list(rows) == ["training quantiles", "linear quantile regression", "gradient boosting"]
    dataset = load(parse_task({"builtin": "diabetes"}), seed=0)
    known, learned = dataset.open_test().truth, dataset.for_refit().train.truth
    constant = np.mean(
        [mean_pinball_loss(known, np.full(len(known), np.quantile(learned, q)), alpha=q) for q in LEVELS]
    )
    assert rows["training quantiles"]["test"]["pinball"] == pytest.approx(constant)
    assert diabetes.test["pinball"] < 0.9 * constant
    assert rows["linear quantile regression"]["test"]["pinball"] < constant
    assert rows["gradient boosting"]["test"]["pinball"] < constant


def test_scores_follow_from_predictions_and_the_report_has_them(diabetes):
    samples = pd.read_parquet(diabetes.run / "predictions.parquet")
    quantiles = samples[COLUMNS].to_numpy()
    assert (np.diff(quantiles, axis=1) >= 0.0).all()
    assert (samples["predicted"] == samples["quantile_0.5"]).all()
    pinball = np.mean([mean_pinball_loss(samples["target"], samples[f"quantile_{q}"], alpha=q) for q in LEVELS])
    assert diabetes.test["pinball"] == pytest.approx(pinball, rel=1e-5)
    scale = json.loads((diabetes.run / "best" / "preprocessing.json").read_text())["target"]["scale"]
    assert diabetes.test["loss"] == pytest.approx(pinball / scale, rel=1e-5)
    assert diabetes.test["interval_width"] == pytest.approx((quantiles[:, 2] - quantiles[:, 0]).mean(), rel=1e-5)
    assert diabetes.trials["value_se"].between(0.0, 5.0).all()
    report = (diabetes.run / "report.md").read_text()
    assert "interval_width" in report
    assert "No interval: none is computed for this kind of problem." in report
    plot = harness.open_run(diabetes.run).plot
    assert {"test: Values below each quantile", "test: Quantiles and actual values"} <= set(plot.names)
    shares = [(samples["target"] <= samples[name]).mean() for name in COLUMNS]
    assert plot["test: Values below each quantile"].data[1].y == pytest.approx(shares, abs=1e-5)


def test_a_run_is_verified_and_changes_of_its_quantiles_are_found(diabetes, tmp_path):
    from shutil import copytree

    from harness.integrity import verify

    assert verify(diabetes.run).state == "intact"
    copy = tmp_path / "copy"
    copytree(diabetes.run, copy)
    samples = pd.read_parquet(copy / "predictions.parquet")
    samples.loc[3, ["quantile_0.1", "quantile_0.9"]] = samples.loc[3, ["quantile_0.9", "quantile_0.1"]].to_numpy()
    samples.to_parquet(copy / "predictions.parquet")
    found = [finding.what for finding in verify(copy).findings]
    assert "the quantiles of row 3 do not ascend" in found
    assert "test.metrics.pinball does not follow from the predictions" in found


def test_new_rows_get_a_column_for_each_quantile(diabetes, tmp_path):
    rows = load_diabetes(as_frame=True, scaled=False).data
    model = harness.load(diabetes.run)
    found = model.predict(rows)
    assert found.shape == (442, 3)
    assert model.predict(rows[:0]).shape == (0, 3)
    rows.to_csv(tmp_path / "rows.csv", index=False)
    predict_file(model, tmp_path / "rows.csv", tmp_path / "told.csv")
    told = pd.read_csv(tmp_path / "told.csv")
    assert list(told) == ["index", "prediction", *COLUMNS]
    np.testing.assert_allclose(told[COLUMNS].to_numpy(), found)
    assert (told["prediction"] == told["quantile_0.5"]).all()
    predict_file(model, tmp_path / "rows.csv", tmp_path / "with.csv", coverage=0.8)
    told = pd.read_csv(tmp_path / "with.csv")
    np.testing.assert_allclose(told[["low", "high"]].to_numpy(), model.predict_interval(rows, 0.8))
    shifts = told[["low", "high"]].to_numpy() - found[:, [0, 2]]
    np.testing.assert_allclose(shifts, shifts[:1].repeat(442, axis=0), atol=1e-3)
    with pytest.raises(
        InputError, match=r"^coverage 0\.9: is not what two of the quantiles 0\.1, 0\.5, 0\.9 have between"
    ):
        model.predict_interval(rows, 0.9)


def test_trials_are_averaged(diabetes):
    found = harness.ensemble(diabetes.run, top=2)
    assert np.isfinite(found["test"]["metrics"]["ensemble"]["pinball"])
    rows = load_diabetes(as_frame=True, scaled=False).data[:4]
    assert harness.load(diabetes.run, model="ensemble").predict(rows).shape == (4, 3)


@pytest.mark.slow
@pytest.mark.parametrize("form", ["onnx", "torch"])
def test_exports_return_the_quantiles(diabetes, tmp_path, form):
    out = tmp_path / ("model.onnx" if form == "onnx" else "model.pt2")
    exported = harness.export(diabetes.run, format=form, out=out)
    assert exported.samples > 0
    assert "| quantiles | 0.1, 0.5, 0.9 |" in exported.card.read_text()


@pytest.mark.slow
def test_folds_worker_processes_and_quantiles_without_a_median(tmp_path):
    overrides = [*QUICK, asked_of({"builtin": "diabetes"}, [0.2, 0.9]), "budget={epochs: 3}", "evaluation={folds: 2}"]
    result = harness.search("tabular", overrides=overrides, trials=3, workers=2, out=tmp_path, **COMMON)
    assert result.trials["outcome"].tolist() == ["complete"] * 3
    assert result.trials["validation_rmse"].isna().all()
    assert np.isnan(result.test["rmse"])
    assert result.stats["test"]["reasons"]["rmse"] == "it is of the median, and 0.5 is not among the quantiles"
    from harness.integrity import verify

    assert verify(result.run).state == "intact"


CLASSICAL = {
    "hist_gradient_boosting": {"max_iter": 10},
    "linear": {},
    "nearest_neighbours": {"n_neighbors": 15},
    "random_forest": {"n_estimators": 20},
}


@pytest.fixture(scope="module")
def houses(tmp_path_factory, without_charts):  # noqa: ARG001
    """Return a run of each scikit-learn model on a table with categories."""
    runs = {}

    def search(name):
        if name not in runs:
            asked = {
                "task": {"csv": str(HOUSES), "target": "price", "quantiles": list(LEVELS)},
                "budget": {"trials": 1},
                "search": {"baselines": False, "checks": False, "sampler": "random"},
                "space": {"architecture": {name: CLASSICAL[name]}},
            }
            runs[name] = harness.search(asked, workers=0, out=tmp_path_factory.mktemp(name), seed=1, device="cpu")
        return runs[name]

    return search


@pytest.mark.parametrize("name", CLASSICAL)
def test_models_of_scikit_learn_are_searched_kept_and_used(houses, name, tmp_path):
    from harness.integrity import verify

    result = houses(name)
    samples = pd.read_parquet(result.run / "predictions.parquet")
    constant = samples["target"].std()
    assert result.test["pinball"] < 0.3 * constant
    assert (np.diff(samples[COLUMNS].to_numpy(), axis=1) >= 0.0).all()
    assert verify(result.run).state == "intact"
    predict_file(harness.load(result.run), HOUSES, tmp_path / "told.csv", coverage=0.8)
    told = pd.read_csv(tmp_path / "told.csv")
    assert (told["low"] <= told["high"]).all()


@pytest.mark.slow
@pytest.mark.parametrize("form", ["onnx", "torch"])
@pytest.mark.parametrize("name", CLASSICAL)
def test_they_are_exported(houses, name, form, tmp_path):
    exported = harness.export(
        houses(name).run, format=form, out=tmp_path / ("model.onnx" if form == "onnx" else "model.pt2")
    )
    assert exported.samples > 0
    assert exported.ties == 0


def test_a_space_that_has_a_family_without_quantiles_says_how_to_leave_it_out(tmp_path):
    overrides = [asked_of({"builtin": "diabetes"}), "search.checks=false"]
    with pytest.raises(InputError, match=r"or leave it out: --set '~space\.architecture\.svm'$"):
        harness.search("tabular-all", overrides=overrides, trials=1, workers=0, out=tmp_path, **COMMON)


def test_an_objective_that_such_quantiles_do_not_have_is_refused(tmp_path):
    overrides = [*QUICK, asked_of({"builtin": "diabetes"}, [0.2, 0.9]), "objective=[rmse]"]
    with pytest.raises(SpecError, match=r"objective.rmse: has no value on this task: it is of the median"):
        harness.search("tabular", overrides=overrides, trials=1, workers=0, out=tmp_path, **COMMON)
