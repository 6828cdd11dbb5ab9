"""Estimators in the places that scikit-learn has for one."""

import os
import pickle
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import make_column_transformer
from sklearn.datasets import load_wine
from sklearn.ensemble import VotingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

import harness
from harness import HarnessClassifier, HarnessRegressor

pytestmark = pytest.mark.slow
ROOT = Path(harness.__file__).parents[1]


@pytest.fixture
def wine():
    return load_wine(return_X_y=True, as_frame=True)


def test_behind_a_column_transformer_and_searched_by_a_grid(animals, options):
    frame, kind = animals
    prepared = make_column_transformer(
        (OneHotEncoder(sparse_output=False), ["coat", "water"]), (StandardScaler(), ["weight"])
    ).set_output(transform="pandas")
    pipeline = make_pipeline(prepared, HarnessClassifier(**options))
    choices = {"harnessclassifier__overrides": [["budget.epochs=1"], ["budget.epochs=8"]]}
    search = GridSearchCV(pipeline, choices, cv=2, error_score="raise").fit(frame, kind)
    assert search.best_params_ == {"harnessclassifier__overrides": ["budget.epochs=8"]}
    assert search.score(frame, kind) > 0.9
    assert "onehotencoder__coat_long" in search.best_estimator_[-1].feature_names_in_


def test_cross_validated_in_other_processes(wine, options, monkeypatch, tmp_path):
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    scores = cross_val_score(HarnessClassifier(**options), *wine, cv=2, n_jobs=2, error_score="raise")
    assert scores.min() > 0.85
    assert not list(tmp_path.glob("harness-*"))


def test_votes_beside_another(wine, options):
    x, y = wine
    names = np.array(["barolo", "grignolino", "barbera"])[y]
    voters = [("net", HarnessClassifier(**options)), ("line", make_pipeline(StandardScaler(), LogisticRegression()))]
    model = VotingClassifier(voters, voting="soft").fit(x, names)
    each = np.mean([voter.predict_proba(x) for voter in model.estimators_], axis=0)
    assert np.allclose(model.predict_proba(x), each)
    assert model.score(x, names) > 0.95


def test_is_calibrated_by_scikit_learn(wine, options):
    model = CalibratedClassifierCV(HarnessClassifier(**options), cv=2).fit(*wine)
    assert model.score(*wine) > 0.9


def test_is_unpickled_in_a_process_that_knows_nothing_of_its_run(animals, options, tmp_path):
    frame, _ = animals
    y = frame["weight"].fillna(4.0)
    model = HarnessRegressor(**options).fit(frame, y)
    (tmp_path / "model.pickle").write_bytes(pickle.dumps((model, frame)))
    code = (
        "import pickle, sys; model, frame = pickle.load(open('model.pickle', 'rb'))\n"
        "print(*model.predict(frame).tolist(), sep='\\n')"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert np.allclose(np.array(done.stdout.split(), float), model.predict(frame), rtol=1e-6)
