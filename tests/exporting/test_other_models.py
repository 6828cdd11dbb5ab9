"""Exports of averages of trials, of the refit on all samples, of calibrations and thresholds: what ``predict`` says."""

import json
import shutil
from functools import partial

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.datasets import load_breast_cancer, load_diabetes, load_wine

import harness
from harness.report.wording import number
from harness.study.averaging import making
from harness.study.final.saved import read_saved

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("without_charts")]
COMMON = {
    "budget": {"epochs": 4},
    "training": {"precision": "fp32", "final": "keep"},
    "search": {"baselines": False, "checks": False, "sampler": "grid", "seed": 1},
}
TASKS = {"breast-cancer": load_breast_cancer, "diabetes": partial(load_diabetes, scaled=False), "wine": load_wine}
OWN = {
    "breast-cancer": {"loss": ["cross_entropy", "binary"]},
    "diabetes": {"loss": ["mse", "huber"]},
    "wine": {"activation": ["relu", "tanh"]},
}
FORMS = {"onnx": "model.onnx", "torch": "model.pt2"}


@pytest.fixture(scope="module")
def searched(tmp_path_factory):
    """Return a run of a task with an average of trials of several architectures and losses, and a refit on all."""
    runs = {}

    def search(task):
        if task not in runs:
            own = dict(OWN[task])
            mlp = {"width": [4, 8], "depth": 1, "activation": own.pop("activation", "relu")}
            space = {"architecture": {"mlp": mlp}, "optimizer": {"adamw": {"lr": 0.05}}, **own}
            asked = {**COMMON, "task": task, "objective": "loss", "space": space}
            runs[task] = harness.search(asked, trials=4, workers=0, device="cpu", out=tmp_path_factory.mktemp(task)).run
            with pytest.MonkeyPatch.context() as patch:  # members of each kind, whatever is best
                patch.setattr(making, "select", lambda outputs, *_: np.arange(1, len(outputs) + 1))
                harness.ensemble(runs[task], device="cpu")
            harness.refit(runs[task], device="cpu")
        return runs[task]

    return search


@pytest.fixture
def copy(searched, tmp_path):
    return lambda task: shutil.copytree(searched(task), tmp_path / "run")


def rows_of(task):
    bunch = TASKS[task](as_frame=True)
    return bunch.data.iloc[:60]


def check(run, task, model, tmp_path, exporting):
    """Both formats say of raw rows what the model of the run says of them."""
    rows, predictor = rows_of(task), harness.load(run, model=model, device="cpu")
    known = predictor.predict_proba(rows) if predictor.class_names else predictor.predict(rows)[:, None]
    for form, name in FORMS.items():
        exported = harness.export(run, format=form, out=tmp_path / f"{model}-{name}", model=model)
        assert exported.ties == 0
        if form == "onnx":
            found = exporting.run_onnx(exported.path, {each: rows[[each]].to_numpy(np.float64) for each in rows})
            labels, answers = found.get("label"), found.get("probabilities", found.get("value"))
        else:
            *codes, answers = torch.export.load(exported.path).module()(torch.tensor(rows.to_numpy(np.float64)))
            labels = np.array(predictor.class_names, dtype=object)[codes[0]] if codes else None
        np.testing.assert_allclose(
            answers, known, rtol=1e-5, atol=1e-5 * (1.0 if predictor.class_names else known.std())
        )
        if labels is not None:
            assert labels.tolist() == predictor.predict(rows).tolist()
    return exported


@pytest.mark.parametrize(
    ("task", "model"), [("breast-cancer", "ensemble"), ("diabetes", "ensemble"), ("diabetes", "full")]
)
def test_every_model_of_a_run_is_exported_as_it_predicts(searched, task, model, tmp_path, exporting):
    run = searched(task)
    members = read_saved(run / "ensemble/candidate.json").members
    assert len({json.dumps(member.candidate.as_dict()) for member in members}) > 1
    if task == "breast-cancer":
        losses = {member.candidate.training.loss for member in members}
        assert losses == {"cross_entropy", "binary"}, "else no member of one output stands among those of two"
    check(run, task, model, tmp_path, exporting)


@pytest.mark.parametrize("task", ["breast-cancer", "wine"])
def test_isotonic_curves_around_an_average_are_inside(copy, task, tmp_path, exporting):
    run = copy(task)
    file = run / "ensemble/candidate.json"
    saved = json.loads(file.read_text())
    saved.pop("temperature", None)
    curves = [{"x": [0.1, 0.5 + k / 20, 0.9], "y": [0.02, 0.3, 0.95]} for k in range(3)]
    saved["isotonic"] = curves[:1] if task == "breast-cancer" else curves
    plain = harness.load(run, model="ensemble").predict_proba(rows_of(task))
    file.write_text(json.dumps(saved))
    assert not np.allclose(harness.load(run, model="ensemble").predict_proba(rows_of(task)), plain, atol=0.01)
    check(run, task, "ensemble", tmp_path, exporting)


@pytest.mark.parametrize("model", ["best", "full"])
def test_a_threshold_decides(copy, model, tmp_path, exporting):
    run = copy("breast-cancer")
    second = harness.load(run, model=model, device="cpu").predict_proba(rows_of("breast-cancer"))[:, 1]
    ranked = np.sort(second)
    middle = int(np.argmax(np.diff(ranked) * (ranked[1:] < 0.5) + np.diff(ranked) * (ranked[:-1] > 0.5)))
    value = float(ranked[middle : middle + 2].mean())
    harness.set_threshold(run, value)
    predicted = harness.load(run, model=model, device="cpu").predict(rows_of("breast-cancer"))
    assert not np.array_equal(predicted == "benign", second > 0.5), "else this shows nothing of a threshold"
    exported = check(run, "breast-cancer", model, tmp_path, exporting)
    assert (
        f"| second class | predicted from a probability of {number(value)} on (by value) |" in exported.card.read_text()
    )
    ensemble = harness.load(run, model="ensemble", device="cpu")
    assert ensemble.threshold is None, "it belongs to the final model alone"


def test_the_card_of_an_average_has_its_own_scores(searched, tmp_path):
    run = searched("wine")
    average = json.loads((run / "ensemble/score.json").read_text())
    card = harness.export(run, format="card", out=tmp_path / "average.md", model="ensemble").card.read_text()
    assert "This is ensemble/, an average of trials, whose scores stand under 'Average of the best trials'." in card
    (row,) = [line for line in card.splitlines() if line.startswith("| average of trials (ensemble/) |")]
    assert f"{average['test']['metrics']['ensemble']['loss']:.4f}" in row
    assert f"| models that are averaged | {len(average['members'])} |" in card
    full = harness.export(run, format="card", out=tmp_path / "full.md", model="full").card.read_text()
    assert "it has no score of its own. What follows is of best/, whose scores stand for it." in full


def test_values_of_every_model_have_intervals(searched):
    run, rows = searched("diabetes"), rows_of("diabetes")
    for model in ("ensemble", "full"):
        predictor = harness.load(run, model=model, device="cpu")
        low, high = predictor.predict_interval(rows, 0.9).T
        np.testing.assert_allclose((low + high) / 2, predictor.predict(rows))
        assert (high > low).all()
    said = [json.loads((run / model / "residuals.json").read_text()) for model in ("best", "full", "ensemble")]
    assert said[0] == said[1], "nothing is left to measure the refit on all samples on"
    split = pd.read_parquet(run / "splits.parquet")
    assert len(said[2]["absolute"][0]) == (split["part"] == "validation").sum()
