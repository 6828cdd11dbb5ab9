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
import yaml
from sklearn.metrics import mean_absolute_error, r2_score, root_mean_squared_error

import harness
from harness.errors import DataError, InputError, SpecError
from harness.store import read_json

SPACE = [
    "space={architecture: {mlp: {width: {int: [8, 64]}}}}",
    "budget.epochs=2",
    "search.baselines=false",
    "search.checks=false",
]


@pytest.mark.slow
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


@pytest.mark.slow
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
        "tabular", overrides=[*space, "search.first=[]", "budget={epochs: 20}"], trials=1, out=tmp_path, workers=0
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


SMALL = {
    "task": {"drop": ["id"], "split": {"validation": 0.2}},
    "budget": {"epochs": 2, "trials": np.int64(2)},
    "search": {"baselines": False, "checks": False},
    "training": {"final": "keep"},
    "space": {"architecture": {"mlp": {"width": {"int": (8, 16)}}}, "optimizer": {"adamw": {"lr": np.float64(0.01)}}},
}


def houses():
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"id": range(80), "area": rng.normal(50, 9, 80), "town": rng.choice(["Bern", "Chur"], 80)})
    return frame.assign(price=frame["area"] * 3 + (frame["town"] == "Bern") * 50)


@pytest.mark.slow
def test_a_search_of_data_from_python_is_resumed_with_it(tmp_path):
    frame = houses()
    result = harness.search(SMALL, data=frame, target="price", out=tmp_path, device="cpu", workers=1)
    assert result.stats["task"]["name"] == "data"
    assert result.trials["outcome"].tolist() == ["complete"] * 2
    kept = yaml.safe_load((result.run / "space.yaml").read_text())["task"]
    assert (kept["frame"], kept["target"], kept["drop"], kept["split"]["validation"]) == ("data", "price", ["id"], 0.2)
    part = read_json(result.run / "parts" / "0001.json")["environment"]
    assert part["argv"] == []
    asked = {"data": "DataFrame", "target": "price", "device": "cpu", "out": str(tmp_path), "workers": 1}
    assert {name: value for name, value in part["asked"].items() if name != "space"} == asked
    assert part["asked"]["space"]["space"]["architecture"] == {"mlp": {"width": {"int": [8, 16]}}}
    assert "harness.search(data=DataFrame, device='cpu', " in (result.run / "report.md").read_text()
    with pytest.raises(
        DataError, match="frame 'data': this task's data was given from Python and is in no file; give it"
    ):
        harness.search(resume=result.run, trials=3)
    with pytest.raises(DataError, match="cannot be resumed: the data of task 'data' has changed since"):
        harness.search(resume=result.run, data=frame.assign(area=1.5 * frame["area"]), trials=3)
    with pytest.raises(InputError, match=r"cannot be resumed with another space: task\.target differs"):
        harness.search(resume=result.run, data=frame, target="area", trials=3)
    resumed = harness.search(resume=result.run, data=frame, trials=3, device="cpu", workers=0)
    assert resumed.trials["outcome"].tolist() == ["complete"] * 3
    assert len(list((result.run / "parts").glob("*.json"))) == 2


@pytest.mark.parametrize(
    ("space", "message"),
    [
        ({**SMALL, "bugdet": {}}, "^space: bugdet: unknown key; did you mean 'budget'"),
        ({**SMALL, "task": "wine", "budget": {"trials": 0}}, r"^space: budget\.trials: input should be greater"),
        ({**SMALL, "task": {"csv": "x.csv"}, "space": {}}, r"^space: task\.target: Field required"),
        ({"task": "wine", "space": {"architecture": {"mlp": {"wid": 8}}}}, r"^space: space\.architecture\.mlp\.wid: "),
        ({"space": SMALL["space"]}, "^space: the key `task:` is missing"),
        ({**SMALL, "space": {"architecture": len}}, r"^space: space\.architecture: expected a mapping, .* builtin"),
    ],
)  # fmt: skip
def test_mistakes_in_a_space_from_python_are_told_with_the_path_of_keys(space, message):
    with pytest.raises(SpecError, match=message):
        harness.search(space)


def test_a_space_from_python_that_holds_itself_is_refused():
    space = dict(SMALL)
    space["space"] = space
    with pytest.raises(SpecError, match=r"^space: nested deeper than 32 levels"):
        harness.search(space)
    with pytest.raises(InputError, match=r"target 'y': names a column of `data`, which is not given"):
        harness.search(SMALL, target="y")


@pytest.mark.parametrize("use", [harness.ensemble, harness.reproduce])
def test_a_target_of_no_data_is_told_by_what_uses_a_run_as_well(use):
    with pytest.raises(InputError, match=r"target 'y': names a column of `data`, which is not given"):
        use("results/RUN", target="y")


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
