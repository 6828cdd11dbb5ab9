"""Searches as estimators: what they take, what they predict, and what is left of them."""

import os
import pickle
import signal
import tempfile

import numpy as np
import pandas as pd
import pytest
from scipy.sparse import csr_array
from sklearn.base import clone
from sklearn.exceptions import NotFittedError

import harness
from harness import HarnessClassifier, HarnessRegressor
from harness.estimators import fitting


@pytest.fixture(scope="module")
def kept(animals, options, tmp_path_factory):
    """A classifier whose run is kept."""
    return HarnessClassifier(**options, out=tmp_path_factory.mktemp("runs")).fit(*animals)


@pytest.fixture(scope="module")
def several(options):
    """A regressor of two values, with its data."""
    x = np.random.default_rng(1).normal(size=(120, 3))
    y = np.column_stack([x[:, 0] - x[:, 1], 100.0 + 5.0 * x[:, 2]])
    return HarnessRegressor(**options, overrides=["budget.epochs=20"]).fit(x, y), x, y


def test_labels_are_learnt_from_numbers_categories_text_and_dates(kept, animals):
    frame, kind = animals
    assert kept.classes_.tolist() == ["cat", "dog", "eel"]
    assert kept.feature_names_in_.tolist() == list(frame.columns)
    assert kept.n_features_in_ == 5
    assert kept.score(frame, kind) > 0.9
    assert set(kept.predict(frame)) <= set(kind)
    learnt = kept._model.predictor.preprocessing
    assert [column["column"] for column in learnt["dates"]] == ["born"]
    assert {"coat", "water", "tame"} == {column["column"] for column in learnt["categorical"]}


def test_predictions_are_those_of_the_run(kept, animals):
    frame, _ = animals
    loaded = harness.load(kept.run_)
    assert np.array_equal(loaded.predict(frame), kept.predict(frame))
    probabilities = kept.predict_proba(frame)
    assert np.allclose(loaded.predict_proba(frame), probabilities, atol=1e-6)
    assert np.allclose(probabilities.sum(axis=1), 1.0, rtol=1e-12)
    assert np.array_equal(kept.classes_[probabilities.argmax(axis=1)], kept.predict(frame))


def test_all_rows_are_learnt_from_and_none_is_set_apart_for_a_test(kept):
    stats = kept.result_.stats
    assert stats["test"] is None
    assert stats["baselines"] == []
    assert stats["task"]["test"] == 0
    assert stats["task"]["train"] + stats["task"]["validation"] == 90
    assert stats["task"]["classes"] == ["cat", "dog", "eel"]
    assert kept.trials_["outcome"].tolist() == ["complete"]
    assert "not evaluated" in kept.result_.report.read_text()
    assert not list(kept.run_.glob("predictions*"))


def test_it_predicts_when_its_run_is_gone(kept, animals, tmp_path):
    before = kept.predict_proba(animals[0])
    content = pickle.dumps(kept)
    kept.run_.rename(tmp_path / "elsewhere")
    again = pickle.loads(content)
    assert b"torch.nn" not in content
    assert b"torch._utils" not in content
    assert np.array_equal(again.predict_proba(animals[0]), before)
    (tmp_path / "elsewhere").rename(kept.run_)


@pytest.mark.slow
def test_a_refit_takes_all_rows_and_no_column_that_is_dropped(animals, options):
    frame, kind = animals
    numbered = frame.assign(id=np.arange(len(frame)))
    model = HarnessClassifier(**options, overrides=["training.final=refit", "task.drop=[id]"]).fit(numbered, kind)
    learnt = model._model.predictor.preprocessing
    assert learnt["numeric"][0]["mean"] == pytest.approx(frame["weight"].fillna(frame["weight"].median()).mean())
    assert "id" not in learnt["columns"]
    assert model.score(numbered, kind) > 0.9


def test_without_out_no_folder_is_left(several, monkeypatch, tmp_path, options, capfd):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    _, x, y = several
    model = HarnessRegressor(**options, verbose=1).fit(x, y[:, 0])
    assert (model.run_, model.result_, len(model.trials_)) == (None, None, 1)
    assert model.predict(x).shape == (120,)
    assert list(tmp_path.iterdir()) == []
    printed = capfd.readouterr()
    assert printed.out == ""
    assert printed.err.splitlines()[-1].startswith("trial 0: complete, ")


def test_several_values_are_predicted_by_one_model(several):
    model, x, y = several
    assert model.predict(x).shape == (120, 2)
    assert model.score(x, y) > 0.9
    assert model.n_features_in_ == 3
    assert not hasattr(model, "feature_names_in_")


def test_quantiles_are_learnt_and_the_median_is_predicted(several, options):
    _, x, y = several
    model = HarnessRegressor(**options, quantiles=(0.1, 0.5, 0.9)).fit(x, y[:, 0])
    quantiles = model.predict_quantiles(x)
    assert quantiles.shape == (120, 3)
    assert (np.diff(quantiles, axis=1) >= 0).all()
    np.testing.assert_array_equal(model.predict(x), quantiles[:, 1])
    assert model.get_params()["quantiles"] == (0.1, 0.5, 0.9)
    with pytest.raises(ValueError, match="quantiles are of one"):
        clone(model).fit(x, y)
    with pytest.raises(ValueError, match=r"^no quantiles were learnt; say which"):
        HarnessRegressor(**options).fit(x, y).predict_quantiles(x)


@pytest.mark.parametrize(
    "labels",
    [
        pytest.param(["1.0", "01"], marks=pytest.mark.slow, id="text"),
        pytest.param([2.0, 10.0], marks=pytest.mark.slow, id="float"),
        pytest.param([False, True], id="bool"),
    ],
)
def test_labels_come_back_as_they_were_given(labels, options):
    x = np.repeat([[0.0, 1.0], [1.0, 0.0]], 12, axis=0) + np.random.default_rng(2).normal(0.0, 0.05, (24, 2))
    y = np.repeat(labels, 12)
    model = HarnessClassifier(**options).fit(x, y)
    assert model.classes_.dtype == y.dtype
    assert model.classes_.tolist() == sorted(labels)
    assert model.predict(x).tolist() == y.tolist()


@pytest.mark.slow
def test_the_only_row_of_a_class_is_learnt_from(options):
    x = np.repeat([[0.0, 1.0], [1.0, 0.0], [9.0, 9.0]], [12, 12, 1], axis=0)
    model = HarnessClassifier(**options, overrides=["budget.epochs=20"]).fit(x, [0] * 12 + [1] * 12 + [2])
    assert model.predict(x[[0, 12, 24]]).tolist() == [0, 1, 2]


def test_parameters_are_kept_as_given_and_cloned(options):
    overrides = ["budget.epochs=2"]
    model = HarnessClassifier(**options, overrides=overrides, time="20m")
    assert model.get_params()["overrides"] is overrides
    assert clone(model).get_params() == model.get_params()
    assert model.set_params(trials=7).trials == 7
    with pytest.raises(NotFittedError):
        model.predict([[1.0]])


def test_it_is_shown_fitted_or_not(kept):
    assert "HarnessClassifier" in kept._repr_html_()
    assert "fitted" in kept._repr_html_()
    assert "not fitted" in clone(kept)._repr_html_().lower()


X, Y = np.random.default_rng(3).normal(size=(40, 2)), np.arange(40) % 2


@pytest.mark.parametrize(
    ("x", "y", "changed", "message"),
    [
        (X, np.where(Y, np.nan, 1.0), {}, "Input y contains NaN"),
        (X, None, {}, "requires y to be passed"),
        (X, np.ones(40), {}, "holds only one class, .1.0.; HarnessClassifier needs two"),
        (X[:4], Y[:4], {}, "4 samples are too few to split; it takes 5"),
        (X, Y[:-1], {}, "inconsistent numbers of samples"),
        (X[:1], Y[:1], {}, "only one class"),
        (np.where(X > 2.0, np.inf, X), Y, {}, "Input X contains infinity"),
        (pd.DataFrame(X)[:0], Y[:0], {}, "0 sample"),
        (X, Y, {"space": "tabularr"}, "did you mean 'tabular'"),
        (X, Y, {"overrides": ["budget.epocs=2"]}, "did you mean 'epochs'"),
        (X, Y, {"trials": 0}, "budget.trials"),
        (X, Y, {"random_state": "no"}, "cannot be used to seed"),
    ],
)
def test_what_cannot_be_learnt_is_a_value_error(x, y, changed, message, options):
    with pytest.raises(ValueError, match=message):
        HarnessClassifier(**{**options, **changed}).fit(x, y)


def test_what_does_not_fit_what_was_learnt_is_a_value_error(kept, animals, several):
    model, x, _ = several
    with pytest.raises(TypeError, match="Sparse data was passed"):
        model.predict(csr_array(x))
    with pytest.raises(ValueError, match="X has 2 features, but HarnessRegressor is expecting 3"):
        model.predict(x[:, :2])
    frame, _ = animals
    with pytest.raises(ValueError, match="feature names should match"):
        kept.predict(frame.rename(columns={"coat": "fur"}))
    with pytest.raises(ValueError, match="column 'weight' was numeric in training, and holds 'heavy'"):
        kept.predict(frame.assign(weight="heavy"))


def test_ctrl_c_ends_it_cleanly(several, options, monkeypatch, tmp_path):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    presses = iter([signal.SIGINT])  # a second one would end it at once

    def press(*_):
        for number in presses:
            os.kill(os.getpid(), number)

    monkeypatch.setattr(fitting.Lines, "trial_ended", press)
    _, x, y = several
    rates = "space.optimizer.adamw.lr={float: [0.001, 0.1]}"
    model = HarnessRegressor(**{**options, "trials": 10_000}, overrides=[rates], verbose=1)
    with pytest.raises(KeyboardInterrupt):
        model.fit(x, y)
    assert list(tmp_path.iterdir()) == []
    assert not hasattr(model, "trials_")
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
