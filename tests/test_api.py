"""The Python face gives the same objects as the command line."""

import pydoc
import signal
import subprocess
import sys
import threading
from importlib.metadata import version

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import mean_absolute_error, r2_score, root_mean_squared_error

import harness
from harness.errors import InputError

SPACE = ["space={architecture: {mlp: {width: {int: [8, 64]}}}}", "budget.epochs=2", "search.baselines=false"]


def test_a_search_from_python(tmp_path):
    before = signal.getsignal(signal.SIGINT)
    result = harness.search("digits", overrides=SPACE, trials=2, out=tmp_path)
    assert isinstance(result, harness.SearchResult)
    assert result.state == "complete"
    assert list(result.trials["outcome"]) == ["complete", "complete"]
    assert list(result.epochs["trial"]) == [0, 0, 1, 1]
    assert result.best["trial"] in (0, 1)
    assert 0 < result.test["accuracy"] <= 1
    assert result.report.read_text().startswith("<!doctype html>")
    line = (
        f"<SearchResult complete: digits: 2 of 2 trials complete; winner: trial {result.best['trial']}; test accuracy"
    )
    assert repr(result).startswith(line)
    assert "\n" not in repr(result)
    assert result._repr_html_().count("<tr>") == 3
    assert f"Report: {result.report}" in result._repr_html_()
    assert signal.getsignal(signal.SIGINT) is before, "the program's own handler is back"
    resumed = harness.search(resume=result.run, trials=3, workers=0)
    assert len(resumed.trials) == 3


def test_several_values_are_predicted_together_each_in_its_own_units(tmp_path):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(200, 4))
    y = np.column_stack([1e6 + 1e4 * x[:, 0], 1e-3 * (x[:, 1] + 0.1 * rng.normal(size=200)), rng.normal(size=200)])
    np.savez(tmp_path / "many.npz", x=x, y=y)
    space = [
        f"task={{npz: {tmp_path / 'many.npz'}}}",
        "space={architecture: {mlp: {depth: 0}}, optimizer: {adamw: {lr: 0.05}}, batch_size: 32}",
    ]
    result = harness.search(
        "tabular", overrides=[*space, "search.first=[]", "budget.epochs=20"], trials=1, out=tmp_path, workers=0
    )
    predictions = pd.read_parquet(result.run / "predictions.parquet")
    names = ("0", "1", "2")
    known, predicted = (
        predictions[[f"{what}_{name}" for name in names]].to_numpy() for what in ("target", "predicted")
    )
    assert np.array_equal(known, y[predictions["index"]]), "exactly as they were read"
    assert result.test["r2"] == pytest.approx(r2_score(known, predicted), abs=1e-4)
    assert result.test["rmse"] == pytest.approx(root_mean_squared_error(known, predicted), rel=1e-4)
    assert result.test["mae"] == pytest.approx(mean_absolute_error(known, predicted), rel=1e-4)
    each = r2_score(known, predicted, multioutput="raw_values")
    assert each[0] > 0.99, "far from zero, and none the worse for it"
    assert each[1] > 0.9, "small, and not drowned by the large one"
    scored = {row["name"]: row for row in result.stats["baselines"]}
    assert scored["ridge regression"]["test"]["loss"] == pytest.approx(result.test["loss"], rel=0.2)
    assert scored["gradient boosting"]["test"]["r2"] > 0.3
    text = result.report.read_text()
    assert all(f"Predicted and actual values of {name}" in text for name in names)
    assert 0.0 < result.trials["value_se"].item() < 1e4


def test_a_search_in_a_thread_leaves_signals_alone(tmp_path):
    results = []
    thread = threading.Thread(
        target=lambda: results.append(harness.search("digits", overrides=SPACE, trials=1, out=tmp_path, workers=0))
    )
    thread.start()
    thread.join()
    assert results[0].state == "complete"


def test_what_is_public_is_seen_before_it_is_loaded():
    code = "import harness, sys; print(*dir(harness)); print('pandas' in sys.modules, harness.__version__)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    names, rest = done.stdout.splitlines()
    assert {"search", "SearchResult", "__version__"} <= set(names.split())
    assert rest == f"False {version('harness-automl')}"
    shown = pydoc.plain(pydoc.render_doc(harness))
    assert "search(space: " in shown
    assert "class SearchResult" in shown


def test_mistakes_are_exceptions(tmp_path):
    with pytest.raises(InputError, match="did you mean 'digits'"):
        harness.search("digitz", out=tmp_path)
    with pytest.raises(AttributeError, match="serach"):
        harness.serach  # noqa: B018
