"""The baselines against scikit-learn on the raw data, and what keeps them from harming a search."""

import json
import sys
import time
from contextlib import closing
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from sklearn import datasets
from sklearn.compose import make_column_transformer
from sklearn.dummy import DummyClassifier, DummyRegressor
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.linear_model import LogisticRegression, RidgeClassifierCV, RidgeCV
from sklearn.metrics import accuracy_score, f1_score, log_loss, mean_absolute_error, mean_squared_error, r2_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from harness.data import derive_seed, load, pooling
from harness.hardware.fork_server import ForkServer
from harness.problems import Estimator, classification, problems
from harness.problems.scoring import Scorer
from harness.records import Input, InputKind, TaskKind, TaskShape, image_inputs, table_inputs
from harness.spec import parse_spec
from harness.spec.task import BuiltinTask, CsvTask
from harness.study import baseline_models, baselines, minirocket
from harness.study.baseline_models import Columns, fit_model, fitting_rows, recipes
from harness.study.baselines import Fitting, Scene, drawn, run_baselines, seconds_aside
from harness.study.baselines_ahead import Ahead
from harness.study.contract import Helpers
from harness.study.stop import Stop

SEED = derive_seed(0, "baselines")


def scene_of(dataset):
    final = dataset.for_refit()
    kind = dataset.shape.kind
    scorer = Scorer(kind, tuple(metric.name for metric in problems[kind].metrics))
    return Scene(dataset.training_data(), final, final.open_test(), scorer)


def rows_of(scene, stop=None):
    return {row.name: row for row in run_baselines(scene, 0, stop or Stop())}


def raw_parts(dataset, inputs, targets):
    """Return fitting and scoring samples from the source itself: for validation, then for test."""
    index = dataset.split_index
    train, both = index["train"], np.concatenate([index["train"], index["validation"]])
    return [
        (inputs[fit], targets[fit], inputs[judge], targets[judge])
        for fit, judge in ((train, index["validation"]), (both, index["test"]))
    ]


def label_scores(model, inputs, targets):
    chances, predicted = model.predict_proba(inputs), model.predict(inputs)
    return {
        "loss": log_loss(targets, chances, labels=model.classes_),
        "accuracy": accuracy_score(targets, predicted),
        "f1_macro": f1_score(targets, predicted, average="macro"),
    }


@pytest.mark.parametrize("name", ["wine", "digits"])
def test_classifiers_reach_what_scikit_learn_reaches_on_the_raw_data(name, monkeypatch):
    rounds = 100 if name == "wine" else 10
    monkeypatch.setattr(baseline_models, "ROUNDS", rounds)
    monkeypatch.setattr(baseline_models, "LEAST_ROUNDS", rounds)
    raw = getattr(datasets, f"load_{name}")()
    dataset = load(BuiltinTask(builtin=name, limit=120), seed=0)
    rows = rows_of(scene_of(dataset))
    models = {
        "class prior": DummyClassifier(strategy="prior"),
        "logistic regression": make_pipeline(StandardScaler(), LogisticRegression()),
        "gradient boosting": HistGradientBoostingClassifier(max_iter=rounds, random_state=SEED % 2**32),
    }
    assert list(rows) == list(models)
    parts = raw_parts(dataset, raw.data, raw.target)
    for model_name, model in models.items():
        row = rows[model_name]
        assert row.note == ""
        assert row.rows == len(dataset.train)
        assert row.seconds > 0
        for found, (fit, known, inputs, targets) in zip((row.validation, row.test), parts, strict=True):
            assert set(found) == {"loss", *(metric.name for metric in problems["classification"].metrics)}
            expected = label_scores(model.fit(fit, known), inputs, targets)
            assert {key: found[key] for key in expected} == pytest.approx(expected, rel=2e-3), model_name


def test_regressors_reach_what_scikit_learn_reaches_on_the_raw_data():
    raw = datasets.load_diabetes(scaled=False)
    dataset = load(BuiltinTask(builtin="diabetes"), seed=0)
    rows = rows_of(scene_of(dataset))
    models = {
        "mean": DummyRegressor(),
        "ridge regression": make_pipeline(StandardScaler(), RidgeCV(alphas=[0.01, 0.1, 1, 10, 100, 1000, 10000])),
        "gradient boosting": HistGradientBoostingRegressor(random_state=SEED % 2**32),
    }
    assert list(rows) == list(models)
    parts = raw_parts(dataset, raw.data, raw.target)
    for name, model in models.items():
        for found, (fit, known, inputs, targets) in zip((rows[name].validation, rows[name].test), parts, strict=True):
            assert set(found) == {"loss", *(metric.name for metric in problems["regression"].metrics)}
            predicted, squared = model.fit(fit, known).predict(inputs), known.var()
            expected = {
                "loss": mean_squared_error(targets, predicted) / squared,
                "rmse": mean_squared_error(targets, predicted) ** 0.5,
                "mae": mean_absolute_error(targets, predicted),
                "r2": r2_score(targets, predicted),
            }
            assert {key: found[key] for key in expected} == pytest.approx(expected, rel=1e-2, abs=1e-4), name


@pytest.fixture
def towns(tmp_path):
    """A table with a number and two categories, one of them with many values."""
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"size": rng.normal(size=300), "town": rng.choice(list("abcd"), 300)})
    frame["street"] = [f"s{code % 60}" for code in range(300)]
    frame["price"] = frame["size"] + frame["town"].map({"a": 5.0}).fillna(0.0) + rng.normal(0, 0.1, 300)
    frame.to_csv(tmp_path / "towns.csv", index=False)
    return frame, load(CsvTask(csv=tmp_path / "towns.csv", target="price"), seed=0)


def test_categories_are_one_hot_for_ridge_and_rare_ones_share_a_column(towns):
    frame, dataset = towns
    row = rows_of(scene_of(dataset))["ridge regression"]
    one_hot = OneHotEncoder(max_categories=20, handle_unknown="infrequent_if_exist", sparse_output=False)
    inputs = make_column_transformer((StandardScaler(), ["size"]), (one_hot, ["town", "street"]))
    model = make_pipeline(inputs, RidgeCV(alphas=np.logspace(-2, 4, 7)))
    index = dataset.split_index
    train, validation = frame.iloc[index["train"]], frame.iloc[index["validation"]]
    predicted = model.fit(train, train["price"]).predict(validation)
    assert row.note == ""
    assert row.validation["r2"] == pytest.approx(r2_score(validation["price"], predicted), abs=2e-3)
    assert row.validation["r2"] > 0.9


def test_gradient_boosting_takes_categories_as_such_where_it_can(towns):
    _, dataset = towns
    (boosting,) = [each for each in recipes(Columns.of(dataset.shape, 0), 200, 0) if each.name == "gradient boosting"]
    assert boosting.model.categorical_features == [1, 2]
    shape = replace(dataset.shape, inputs=table_inputs(1, cardinalities=(300, 5)))
    (boosting,) = [each for each in recipes(Columns.of(shape, 0), 200, 0) if each.name == "gradient boosting"]
    assert boosting.model.categorical_features == [2]


@pytest.mark.parametrize("values", [1, 2, 17, 400])
def test_fewer_bins_than_the_columns_may_have_make_the_same_trees(values):
    rng = np.random.default_rng(0)
    inputs, known = rng.integers(values, size=(600, 5)) / 7.0, rng.integers(3, size=600)
    inputs[rng.random(inputs.shape) < 0.05] = np.nan
    options = {"max_iter": 5, "random_state": 0, "categorical_features": None}
    ours, usual = (HistGradientBoostingClassifier(**options) for _ in range(2))
    fit_model(ours, inputs, known)
    usual.fit(inputs, known)
    assert 2 <= ours.max_bins <= min(255, values + 1)
    np.testing.assert_array_equal(ours.predict_proba(inputs), usual.predict_proba(inputs))


def test_large_inputs_are_reduced_and_it_is_told(monkeypatch):
    monkeypatch.setattr(pooling, "PIXELS", 20)
    monkeypatch.setattr(baseline_models, "ROWS", 60)
    monkeypatch.setattr(baseline_models, "LEAST_ROWS", 60)
    monkeypatch.setattr(classification, "MOST_CLASSES", 9)
    dataset = load(BuiltinTask(builtin="digits", limit=200), seed=0)
    row = rows_of(scene_of(dataset))["class prior"]
    size = len(dataset.train)
    assert row.rows == 60
    assert row.note == f"images average-pooled by 2 x 2 pixels; fitted on 60 of {size} rows, drawn from the seed"
    columns = Columns.of(dataset.shape, 0)
    images = dataset.train.inputs[0][:, 0].astype(float)
    pooled = images.reshape(size, 4, 2, 4, 2).mean(axis=(2, 4)).reshape(size, 16)
    assert np.allclose(columns.inputs(dataset.train), pooled)
    inputs, known = drawn(columns, (dataset.train, dataset.validation), 60, 0)
    everything = np.concatenate([columns.inputs(dataset.train), columns.inputs(dataset.validation)])
    assert len(inputs) == len(known) == 60
    assert {tuple(row) for row in inputs} <= {tuple(row) for row in everything}


def test_images_that_no_square_divides_are_pooled_to_their_edge():
    columns = Columns.of(TaskShape(kind=TaskKind.CLASSIFICATION, outputs=2, inputs=image_inputs(3, 33, 21)), 0)
    assert columns.pool == 3
    assert columns.numbers == 3 * 11 * 7


def test_many_columns_are_drawn():
    columns = Columns.of(TaskShape(kind=TaskKind.REGRESSION, outputs=1, inputs=table_inputs(5000)), 7)
    assert columns.numbers == len(set(columns.chosen)) == 2000
    assert columns.note == "2,000 of 5,000 numeric columns, drawn from the seed"
    assert np.array_equal(columns.chosen, Columns.of(columns.shape, 7).chosen)


@pytest.mark.parametrize(
    ("shape", "name", "reason"),
    [
        ({"outputs": 51, "inputs": table_inputs(4)}, "gradient boosting", "51 classes"),
        ({"outputs": 10, "inputs": image_inputs(1, 28, 28)}, "gradient boosting", "100 rounds would take about"),
        ({"outputs": 1000, "inputs": table_inputs(500)}, "logistic regression", "1,000 classes take too long"),
    ],
)
def test_what_would_take_long_is_skipped(shape, name, reason):
    columns = Columns.of(TaskShape(kind=TaskKind.CLASSIFICATION, **shape), 0)
    rows = fitting_rows(columns)
    (recipe,) = [each for each in recipes(columns, rows, 0) if each.name == name]
    assert recipe.model is None
    assert reason in recipe.note


@pytest.mark.parametrize("outputs", [1, 2, 50, 1000])
@pytest.mark.parametrize("features", [1, 30, 10_000])
def test_all_that_is_fitted_is_expected_to_take_seconds(outputs, features):
    kind = TaskKind.CLASSIFICATION if outputs > 1 else TaskKind.REGRESSION
    columns = Columns.of(TaskShape(kind=kind, outputs=outputs, inputs=table_inputs(features)), 0)
    most = fitting_rows(columns)
    assert sum(each.seconds for each in recipes(columns, most, 0) if each.model is not None) < 12


def test_what_cannot_be_fitted_says_so_in_its_row():
    scene = scene_of(load(BuiltinTask(builtin="wine"), seed=0))
    one_class = replace(scene.search.train, targets=np.zeros_like(scene.search.train.targets))
    rows = rows_of(replace(scene, search=replace(scene.search, train=one_class)))
    failed = rows["logistic regression"]
    assert failed.note.startswith("failed: ")
    assert failed.test is None
    assert np.isnan(list(failed.validation.values())).all()
    assert rows["class prior"].validation["accuracy"] < 0.5


def test_a_fit_that_does_not_converge_is_told(monkeypatch):
    lazy = Estimator("lazy", LogisticRegression(max_iter=1), 0.1)
    monkeypatch.setattr(baselines, "recipes", lambda *_arguments: (lazy,))
    row = rows_of(scene_of(load(BuiltinTask(builtin="wine"), seed=0)))["lazy"]
    assert row.note.startswith("ConvergenceWarning: lbfgs failed to converge")
    assert row.test["accuracy"] > 0


def test_a_request_to_stop_skips_what_is_left():
    stop = Stop()
    stop.request(2)
    rows = rows_of(scene_of(load(BuiltinTask(builtin="wine"), seed=0)), stop)
    assert {row.note for row in rows.values()} == {"skipped: the run was asked to stop"}
    assert all(row.test is None and row.rows == 0 and np.isnan(row.seconds) for row in rows.values())


def test_nothing_is_begun_without_the_time_for_it():
    rows = rows_of(scene_of(load(BuiltinTask(builtin="wine"), seed=0)), Stop(1e-9))
    assert all(row.note.startswith("skipped: takes about ") for row in rows.values())
    assert all(row.note.endswith("of the run's time 0.0 s are left") for row in rows.values())


@pytest.mark.parametrize(
    ("keys", "expected"),
    [("", (0, 0)), ("budget: {time: 2s}", (0.1, 0.1)), ("budget: {time: 10m}", (0.3, 12))],
)
def test_a_twentieth_of_the_time_is_set_aside_at_most(keys, expected):
    text = f"task: wine\n{keys}\nspace: {{architecture: {{mlp: {{}}}}}}"
    spec = parse_spec(text, origin="space.yaml")
    dataset = load(spec.task, seed=0).training_data()
    low, high = expected
    assert low <= seconds_aside(spec, dataset) <= high
    off = parse_spec(text + "\nsearch: {baselines: false}", origin="space.yaml")
    assert seconds_aside(off, dataset) == 0


def test_baselines_are_fitted_on_one_thread_however_many_there_are(monkeypatch):
    from sklearn.utils._openmp_helpers import _openmp_effective_n_threads
    from threadpoolctl import threadpool_info, threadpool_limits

    used = []
    fit = HistGradientBoostingClassifier.fit

    def watched(self, *data):
        used.append((_openmp_effective_n_threads(), *(pool["num_threads"] for pool in threadpool_info())))
        return fit(self, *data)

    monkeypatch.setattr(HistGradientBoostingClassifier, "fit", watched)
    with threadpool_limits(2):
        rows_of(scene_of(load(BuiltinTask(builtin="wine"), seed=0)))
    assert len(used) == 2
    assert {count for counts in used for count in counts} == {1}


@pytest.fixture(scope="module")
def source():
    found = ForkServer(["harness.study.baselines"], {"OMP_NUM_THREADS": "1"})
    yield found
    found.close()


@pytest.fixture
def helpers(source):
    assert Helpers(source, 2).ready, "an earlier test has ended it"
    return Helpers(source, 2)


@pytest.fixture
def made_here(monkeypatch):
    """The parts on which this process has scored fits."""
    scored, fit = [], Fitting.fit

    def counted(self, number):
        scored.append(self.scored)
        return fit(self, number)

    monkeypatch.setattr(Fitting, "fit", counted)
    return scored


def as_scored(rows):
    """Return rows as text, in which what is not a number is the same as itself."""
    return json.dumps([{**row.as_dict(), "seconds": None} for row in rows])


def test_a_helper_fits_for_validation_and_the_rows_are_the_same(helpers, made_here, monkeypatch):
    monkeypatch.setattr(baselines, "_PATIENCE_S", 300.0)  # what it comes from may still be loading
    scene = scene_of(load(BuiltinTask(builtin="wine"), seed=0))
    beside = run_baselines(scene, 0, Stop(), helpers)
    assert all(part is scene.test for part in made_here)
    assert len(made_here) == len(beside) == 3
    assert as_scored(beside) == as_scored(run_baselines(scene, 0, Stop()))


def test_what_a_helper_that_died_has_left_is_fitted_here(helpers, made_here):
    scene = scene_of(load(BuiltinTask(builtin="wine"), seed=0))
    fitting = Fitting(scene.search, (scene.search.train,), scene.search.validation, scene.scorer, SEED)
    with closing(Ahead(fitting, [0, 1, 2], helpers)) as ahead:
        ahead._helper.kill()
        fits = [ahead.fit(number, Stop(), within_s=60.0) for number in range(3)]
    assert 0 < len(made_here) <= 3
    assert repr([fit.metrics for fit in fits]) == repr([fitting.fit(number).metrics for number in range(3)])


def test_what_a_helper_does_not_come_to_is_fitted_here(helpers, made_here):
    scene = scene_of(load(BuiltinTask(builtin="wine"), seed=0))
    fitting = Fitting(scene.search, (scene.search.train,), scene.search.validation, scene.scorer, SEED)
    with closing(Ahead(fitting, [0] * 10_000, helpers)) as ahead:
        began = time.monotonic()
        assert ahead.fit(2, Stop(), within_s=0.5).metrics["accuracy"] > 0
        assert 0.5 <= time.monotonic() - began < 20
    assert len(made_here) == 1


def test_large_data_are_not_copied_for_a_helper(helpers, made_here, monkeypatch):
    monkeypatch.setattr(baselines, "_MOST_MIB", 0.001)
    rows = run_baselines(scene_of(load(BuiltinTask(builtin="wine"), seed=0)), 0, Stop(), helpers)
    assert len(made_here) == 2 * len(rows)


def test_a_request_to_stop_does_not_wait_for_a_helper(helpers):
    scene = scene_of(load(BuiltinTask(builtin="wine"), seed=0))
    stop = Stop()

    class Interrupted(Fitting):
        def fit(self, number):
            stop.request(2)
            return super().fit(number)

    final = Interrupted(scene.final, (scene.final.train, scene.final.validation), scene.test, scene.scorer, SEED)
    with closing(Ahead(replace(final, dataset=scene.search), [], helpers)) as ahead:
        row = baselines._row(0, scene, final, ahead, stop)
    assert row.note == "not scored on validation: the run was asked to stop"
    assert np.isnan(list(row.validation.values())).all()
    assert row.test["accuracy"] > 0


@pytest.fixture(scope="module")
def of_series():
    return load(BuiltinTask(builtin="digits-series", limit=200), seed=0)


def test_series_are_seen_as_their_values_side_by_side(of_series):
    columns = Columns.of(of_series.shape, SEED)
    np.testing.assert_array_equal(columns.inputs(of_series.train), of_series.train.inputs[0].reshape(-1, 64))


def test_without_its_package_minirocket_says_how_to_get_it(of_series, monkeypatch):
    monkeypatch.setattr(minirocket, "find_spec", lambda _name: None)
    found = recipes(Columns.of(of_series.shape, SEED), 100, SEED)[-1]
    assert (found.name, found.model) == ("MiniRocket", None)
    assert found.note == "skipped: it needs the package aeon: pip install 'harness-automl[series]'"
    monkeypatch.setattr(minirocket, "find_spec", lambda _name: object())
    assert (
        recipes(Columns.of(of_series.shape, SEED), 100, SEED)[-1].note == "skipped: the series have fewer than 9 steps"
    )


@pytest.mark.parametrize("classes", [2, 3])
def test_shares_order_classes_as_the_ridge_classifier_does(classes):
    inputs, known = datasets.load_wine(return_X_y=True)
    kept = known < classes
    ours = minirocket.RidgeShares().fit(inputs[kept], known[kept])
    shares = ours.predict_proba(inputs)
    np.testing.assert_allclose(shares.sum(axis=1), 1.0)
    np.testing.assert_array_equal(
        shares.argmax(axis=1), RidgeClassifierCV().fit(inputs[kept], known[kept]).predict(inputs)
    )


@pytest.mark.slow
@pytest.mark.parametrize("classes", [True, False])
def test_minirocket_is_that_of_aeon(classes):
    aeon = pytest.importorskip("aeon.classification.convolution_based", reason="needs aeon: pip install aeon")
    rng = np.random.default_rng(0)
    series_NTC = rng.normal(size=(60, 20, 2))
    known = rng.integers(0, 3, 60)
    series_NTC[known == 1, 5:9] += 2.0
    shape = Input(kind=InputKind.SERIES, shape=(20, 2))
    ours = minirocket.minirocket(shape, 60, 7, whole=True, classes=classes).model
    flat = series_NTC.reshape(60, 40)
    ours.fit(flat[:40], known[:40] if classes else series_NTC[:40, 6].sum(axis=1))
    if not classes:
        assert np.corrcoef(ours.predict(flat[40:]), series_NTC[40:, 6].sum(axis=1))[0, 1] > 0.5
        return
    theirs = aeon.MiniRocketClassifier(random_state=7)
    cubes = series_NTC.swapaxes(1, 2).astype(np.float32)
    np.testing.assert_array_equal(ours.predict(flat[40:]), theirs.fit(cubes[:40], known[:40]).predict(cubes[40:]))


def test_a_package_that_cannot_be_imported_ends_nothing(of_series, monkeypatch):
    monkeypatch.setattr(minirocket, "find_spec", lambda _name: object())
    monkeypatch.setattr(minirocket, "LEAST_STEPS", 1)
    monkeypatch.setitem(sys.modules, "aeon", None)
    row = rows_of(scene_of(of_series))["MiniRocket"]
    assert row.note == "failed: MiniRocket needs the package aeon: pip install 'harness-automl[series]'"
