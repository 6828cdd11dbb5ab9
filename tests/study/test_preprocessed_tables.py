"""Searches, final models and exports of candidates that have a table preprocessed in ways of their own."""

import json

import numpy as np
import pandas as pd
import pytest
from safetensors import safe_open

import harness
from harness.errors import InputError

ROWS = 240
OPTIONS = {"numeric": ["quantile"], "rare": 20, "one_hot": 3}


def rows():
    drawn = np.random.default_rng(0)
    price, size = drawn.lognormal(2.0, 1.5, ROWS).round(2), drawn.normal(50.0, 9.0, ROWS)
    kind = drawn.choice(["a", "b", "c", "d", "e", "f", "g"], ROWS, p=[0.4, 0.3, 0.2, 0.04, 0.03, 0.02, 0.01])
    colour = drawn.choice(["red", "green"], ROWS)
    sold = (np.log(price) + (kind == "a") + drawn.normal(size=ROWS) > 2.0).astype(int)
    return pd.DataFrame({"price": price, "size": size, "kind": kind, "colour": colour, "sold": sold})


def search(folder, architecture, **more):
    rows().to_csv(folder / "homes.csv", index=False)
    asked = {
        "task": {"csv": str(folder / "homes.csv"), "target": "sold"},
        "budget": {"epochs": 3},
        "search": {"baselines": False, "checks": False},
        **more,
        "training": {"precision": "fp32", "final": "keep", **more.get("training", {})},
        "space": {
            "architecture": architecture,
            "optimizer": {"adamw": {"lr": 0.02}},
            "preprocessing": OPTIONS,
            **more.get("space", {}),
        },
    }
    return harness.search(asked, trials=2, workers=0, device="cpu", out=folder / "runs")


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    """A search of two small MLPs, trained as one program."""
    mlp = {"mlp": {"width": [4, 8], "depth": 1, "numeric": "piecewise_linear"}}
    return search(tmp_path_factory.mktemp("homes"), mlp)


def told(run):
    """Return what a run said of the rows that were its test samples, and these rows."""
    known = pd.read_parquet(run / "predictions.parquet")
    return known.filter(like="probability_").to_numpy(), rows().iloc[known["index"]]


def test_a_model_of_a_run_says_of_raw_rows_what_the_run_said(found):
    assert set(found.trials["outcome"]) == {"complete"}
    assert set(found.trials["arm"]) == {"stacked"}
    expected, raw = told(found.run)
    model = harness.load(found.run)
    np.testing.assert_allclose(model.predict_proba(raw), expected, atol=1e-6)
    unknown = raw.assign(kind="never seen", colour=None, price=1e9)
    assert np.isfinite(model.predict_proba(unknown)).all()
    candidate = json.loads((found.run / "best/candidate.json").read_text())["candidate"]
    assert candidate["preprocessing"] == {"numeric": "quantile", "rare": 20, "one_hot": 3}
    with safe_open(found.run / "best/model.safetensors", framework="np") as file:
        stem = next(file.get_tensor(name) for name in file.keys() if name.endswith("stem.weight"))  # noqa: SIM118
    # Two numbers with 14 bins each; of colours a column each; of kinds, a, b, c and all rare ones, a vector of 4.
    assert stem.shape[1] == 2 + 2 * 14 + 2 + 4
    assert harness.verify(found.run).findings == ()


@pytest.mark.slow
def test_a_torch_program_takes_raw_rows_through_it(found, tmp_path):
    exported = harness.export(found.run, format="torch", out=tmp_path / "homes.pt2")
    assert exported.difference < 1e-5
    assert exported.ties == 0


def test_a_task_without_columns_is_refused_before_anything_is_written(tmp_path):
    asked = {
        "task": "digits",
        "space": {"architecture": ["mlp", "linear"], "preprocessing": {"numeric": ["standard", "quantile"]}},
    }
    with pytest.raises(InputError, match=r"preprocessing\.numeric: is for the columns of a table, .* image inputs"):
        harness.search(asked, trials=1, workers=0, device="cpu", out=tmp_path / "runs")
    assert not (tmp_path / "runs").exists()


@pytest.mark.slow
@pytest.mark.parametrize("architecture", [{"tabm": {"members": 4, "width": 16}}, {"realmlp": {"width": 16}}], ids=str)
def test_folds_averages_refits_and_onnx_files_have_it_too(architecture, tmp_path):
    result = search(
        tmp_path,
        architecture,
        evaluation={"folds": 2},
        limits={"memory_mb": 100_000, "latency_ms": 1e6, "flops": 1e12},
        training={"final": {"ensemble": 2}},
        space={"preprocessing": {"numeric": ["quantile", "robust_clip"], "rare": [1, 20], "one_hot": 3}},
    )
    assert set(result.trials["outcome"]) == {"complete"}
    assert (result.trials["predicted_static_memory_mb"] > 0).all()
    expected, raw = told(result.run)
    np.testing.assert_allclose(harness.load(result.run).predict_proba(raw), expected, atol=1e-6)
    exported = harness.export(result.run, out=tmp_path / "homes.onnx")
    assert exported.difference < 1e-5
    harness.refit(result.run, device="cpu")
    assert np.isfinite(harness.load(result.run, model="full").predict_proba(raw)).all()
    assert harness.verify(result.run).findings == ()


@pytest.mark.slow
def test_a_search_is_the_same_with_workers_and_after_a_break(tmp_path):
    runs = []
    for workers, name in ((0, "one"), (1, "two")):
        folder = tmp_path / name
        folder.mkdir()
        rows().to_csv(folder / "homes.csv", index=False)
        space = {
            "task": {"csv": str(folder / "homes.csv"), "target": "sold"},
            "budget": {"epochs": 2},
            "search": {"baselines": False, "checks": False, "deterministic": True},
            "training": {"final": "keep"},
            "space": {
                "architecture": {"mlp": {"width": 8}, "realmlp": {"width": 8}, "linear": {}},
                "preprocessing": {"numeric": ["standard", "robust_clip", "quantile"], "one_hot": {"int": [0, 9]}},
            },
        }
        first = harness.search(space, trials=2, workers=workers, device="cpu", out=folder / "runs")
        again = harness.search(resume=first.run, trials=6, workers=workers)
        runs.append(again.trials)
    one, two = runs
    assert one["params"].tolist() == two["params"].tolist()
    assert one["value"].tolist() == two["value"].tolist()
    beside = one.loc[one["architecture"] != "mlp", "param.preprocessing.numeric"]
    assert beside.isna().all()
