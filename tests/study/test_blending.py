"""``training.final: {trials: N}``: the best trials averaged into the final model of their search."""

from __future__ import annotations

import shutil
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from sklearn.datasets import load_breast_cancer, load_diabetes
from sklearn.metrics import accuracy_score, log_loss, mean_squared_error

import harness
from harness.data import derive_seed
from harness.errors import InputError
from harness.measure.temperature import fit_temperature, tempered
from harness.spec import parse_spec
from harness.store.files import read_json
from harness.store.run import read_status
from harness.study import Request, open_search
from harness.study.averaging.blending import Blending
from harness.study.averaging.judging import judge_of
from harness.study.averaging.selection import select
from harness.study.final import time_aside_s
from harness.study.final.decision import KEPT
from harness.study.final.mixing import Mixing
from harness.study.final.mixture import Selected
from harness.study.final.outcome import Made
from harness.study.keeping import read_predictions

pytestmark = pytest.mark.usefixtures("without_charts")

COMMON = {"search": {"baselines": False, "checks": False, "sampler": "grid", "seed": 6}}
SPACE = {
    "task": "breast-cancer",
    "objective": "loss",
    "budget": {"epochs": 4},
    "training": {"precision": "fp32", "final": {"trials": 8}, "threshold": "f1"},
    "space": {
        "architecture": {"mlp": {"width": [4, 8, 12], "depth": 1}},
        "loss": ["cross_entropy", "binary"],
        "optimizer": {"adamw": {"lr": 0.05}},
    },
    **COMMON,
}
VALUES = {
    "task": "diabetes",
    "budget": {"epochs": 8},
    "training": {"precision": "fp32", "final": {"trials": 4}},
    "space": {
        "architecture": {"mlp": {"width": [8, 16], "depth": [1, 2]}},
        "optimizer": {"adamw": {"lr": 0.02}},
        "batch_size": 32,
    },
    **COMMON,
}


def searched_in(folder, space=SPACE, trials=6, **options):
    return harness.search(space, trials=trials, workers=0, device="cpu", out=folder, **options).run


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A search whose final model averages trials, to be read only."""
    return searched_in(tmp_path_factory.mktemp("blended"))


def rows(run, part, found):
    """Return raw rows and targets of a part, by what the run says of its split."""
    split = pd.read_parquet(run / "splits.parquet")
    places = split.loc[split["part"] == part, "index"].to_numpy()
    return found.data.iloc[places], found.target.to_numpy()[places]


def cancer(run, part):
    return rows(run, part, load_breast_cancer(as_frame=True))


def kept_mean(run):
    """Return what the kept predictions of the members come to, by their weights."""
    kept = {each.record.trial: each.outputs.astype(float) for each in read_predictions(run)}
    return sum(each["weight"] * kept[each["trial"]] for each in read_json(run / "stats.json")["test"]["trials"])


def test_the_final_model_is_the_average_of_what_its_members_predict(run):
    test = read_json(run / "stats.json")["test"]
    assert test["final"] == "trials"
    assert test["members"] == len(test["trials"]) > 1
    assert sum(each["weight"] for each in test["trials"]) == pytest.approx(1.0)
    losses = {each["candidate"]["loss"] for each in read_json(run / "best/candidate.json")["members"]}
    assert losses == {"cross_entropy", "binary"}, "else this shows nothing of members with one output"
    x, y = cancer(run, "validation")
    mean = kept_mean(run)
    assert test["temperature"] == pytest.approx(fit_temperature(mean, y), rel=1e-4)
    found = harness.load(run).predict_proba(x)
    np.testing.assert_allclose(found, tempered(mean, test["temperature"]), atol=1e-5)
    x, y = cancer(run, "test")
    found = harness.load(run).predict_proba(x)
    normal = found / found.sum(axis=1, keepdims=True)
    assert test["metrics"]["loss"] == pytest.approx(log_loss(y, normal), rel=1e-4)
    assert test["metrics"]["accuracy"] == accuracy_score(y, found[:, 1] >= test["threshold"]["value"])
    parameters = sum(p.numel() for p in harness.load(run).model.parameters())
    assert test["figures"]["parameters"] == parameters


def test_it_is_judged_on_samples_that_it_was_not_selected_on(run):
    kept, average = read_json(run / "stats.json")["test"]["decision"]
    assert (kept["what"], average["what"]) == (KEPT, f"average of {average['members']} trials")
    _, y = cancer(run, "validation")
    predicted = {each.record.trial: each.outputs.astype(float) for each in read_predictions(run)}
    ranked = sorted(predicted, key=lambda trial: log_loss(y, predicted[trial][:, 1]))
    outputs = np.stack([predicted[trial] for trial in ranked])
    temperature = fit_temperature(outputs[0], y)
    order = np.random.default_rng(derive_seed(6, "halves")).permutation(len(y))
    parts, halves = (np.sort(order[: len(y) // 2]), np.sort(order[len(y) // 2 :])), np.empty_like(outputs[0])
    for looked_at, others in (parts, parts[::-1]):
        counts = select(
            outputs[:, looked_at],
            lambda mean, seen=y[looked_at]: log_loss(seen, tempered(mean, temperature)[:, 1], labels=[0, 1]),
            8,
        )
        halves[others] = np.average(outputs[:, others], axis=0, weights=counts)
    expected = log_loss(y, tempered(halves, fit_temperature(halves, y))[:, 1])
    assert average["loss"] == pytest.approx(expected, rel=1e-4)
    assert average["difference"] == pytest.approx(average["loss"] - kept["loss"], abs=1e-9)


def test_it_stands_in_the_report_and_the_run_agrees_with_itself(run):
    text = (run / "report.md").read_text()
    members = read_json(run / "stats.json")["test"]["members"]
    assert f"averaged over {members} trials with the weights kept from the search" in text
    assert "Averaged: trial " in text
    assert "rehearsal" not in text.partition("## The final model")[2].partition("\n## ")[0]
    assert harness.verify(run).findings == ()


def test_it_is_reproduced_to_the_bit_with_all_that_it_averages(run, tmp_path):
    made = harness.reproduce(run, out=tmp_path)
    averaged = {each["trial"] for each in read_json(run / "stats.json")["test"]["trials"]}
    assert averaged <= {each.trial for each in made.trials}
    assert str(made.level) == "exact", [each.differs for each in made.trials]


def test_all_samples_train_each_member_by_its_own_recipe(run, tmp_path):
    again = shutil.copytree(run, tmp_path / "run")
    harness.refit(again)
    best, full = (read_json(again / name / "candidate.json") for name in ("best", "full"))
    assert full["members"] == best["members"]
    assert full["trained_on"] == 569
    x, y = cancer(again, "test")
    found = harness.load(again, model="full").predict_proba(x)
    assert not np.allclose(found, harness.load(again).predict_proba(x))
    assert accuracy_score(y, found.argmax(axis=1)) > 0.9
    assert harness.verify(again).findings == ()


def test_values_have_intervals_from_its_errors(tmp_path):
    run = searched_in(tmp_path, VALUES, trials=4)
    test = read_json(run / "stats.json")["test"]
    assert test["final"] == "trials", test["note"]
    x, y = rows(run, "test", load_diabetes(as_frame=True, scaled=False))
    model = harness.load(run)
    assert test["metrics"]["rmse"] == pytest.approx(mean_squared_error(y, model.predict(x)) ** 0.5, rel=1e-4)
    x, y = rows(run, "validation", load_diabetes(as_frame=True, scaled=False))
    told = read_json(run / "best/residuals.json")
    errors = np.abs(y - model.predict(x))
    np.testing.assert_allclose(np.sort(np.ravel(told["absolute"])), np.sort(errors), rtol=1e-3)
    assert harness.verify(run).findings == ()


def test_one_trial_alone_is_kept_and_that_is_said(tmp_path):
    run = searched_in(tmp_path, trials=1)
    test = read_json(run / "stats.json")["test"]
    assert (test["final"], test["members"], test["decision"]) == ("keep", 1, [])
    assert test["note"] == "no average of trials: 1 of them kept weights and predictions"
    assert str(harness.reproduce(run, out=tmp_path / "again").level) == "exact"


def test_without_test_samples_it_is_made_and_reproduced_all_the_same(tmp_path):
    task, search = {"builtin": "breast-cancer", "split": {"test": 0.0}}, {**COMMON["search"], "seed": 1}
    run = searched_in(tmp_path, {**SPACE, "task": task, "search": search})
    assert len(read_json(run / "best/candidate.json")["members"]) > 1
    assert read_json(run / "stats.json")["test"] is None
    assert harness.verify(run).findings == ()
    assert str(harness.reproduce(run, out=tmp_path / "again").level) == "exact"


def test_more_trials_are_selected_from_anew_and_none_leave_it_as_it_is(tmp_path):
    run = searched_in(tmp_path, trials=3)
    before = read_json(run / "stats.json")["test"]
    harness.search(resume=run, trials=3, workers=0, device="cpu")
    assert read_json(run / "stats.json")["test"] == before
    harness.search(resume=run, trials=6, workers=0, device="cpu")
    assert read_status(run)["test_opened"] == 2
    assert harness.verify(run).findings == ()


def test_an_average_that_breaks_a_limit_gives_way(tmp_path):
    free = searched_in(tmp_path / "free")
    parameters = read_json(free / "stats.json")["test"]["figures"]["parameters"]
    run = searched_in(tmp_path / "held", {**SPACE, "limits": {"parameters": int(parameters) - 1}})
    test = read_json(run / "stats.json")["test"]
    assert "breaks a limit of the space: parameters" in test["note"]
    assert test["figures"].get("parameters", 0) < parameters


class Given:
    """Has selected already."""

    def __init__(self, selected):
        self.selected = selected

    def mix(self):
        return self.selected


def test_an_average_that_validation_speaks_against_is_not_used(run):
    opened = open_search(Request(parse_spec((run / "space.yaml").read_text(), origin="x"), device="cpu"))
    kept = read_predictions(run)
    blending = Blending(opened.job, opened.dataset, SimpleNamespace(path=run, file=run.joinpath), 8)
    selected = blending.mix()
    wrong = Selected(selected.mixture, selected.halves[:, ::-1])
    made = Made("keep", KEPT, None, None, opened.dataset)
    mixing = Mixing(opened.job, opened.dataset, Given(wrong))
    assert mixing.made(made, kept[0].outputs).how == "keep"
    assert [row["chosen"] for row in mixing.decision.rows(KEPT)] == [True, False]
    assert Mixing(opened.job, opened.dataset, Given(selected)).made(made, kept[0].outputs).how == "trials"


def test_unsure_trials_are_judged_at_the_temperature_that_they_ask_for(run):
    opened = open_search(Request(parse_spec((run / "space.yaml").read_text(), origin="x"), device="cpu"))
    unsure = read_predictions(run)[0].outputs * 0.6 + 0.2
    judge = judge_of(opened.job, unsure)
    temperature = fit_temperature(unsure, judge.targets)
    assert temperature < 0.9
    expected = log_loss(judge.targets, tempered(unsure, temperature)[:, 1])
    assert judge.losses(unsure).mean() == pytest.approx(expected)
    assert expected < log_loss(judge.targets, unsure[:, 1])


def test_time_is_kept_for_looking_at_the_samples_with_each(run):
    request = Request(parse_spec((run / "space.yaml").read_text(), origin="x"), device="cpu")
    job, winner = open_search(request).job, read_predictions(run)[0].record
    epoch_s = winner.figures.get("epoch_s", winner.seconds / winner.epochs)
    assert time_aside_s(job, winner) == pytest.approx(8 * 0.35 * epoch_s)
    job = replace(job, spec=parse_spec((run / "space.yaml").read_text(), origin="x", overrides=["budget.time=1h"]))
    assert time_aside_s(job, winner) == pytest.approx(8 * 0.35 * epoch_s)
    assert time_aside_s(job, winner, trials=2) == pytest.approx(2 * 0.35 * epoch_s), "there are no more to average"


@pytest.mark.parametrize("evaluation", [{"folds": 3}, {"folds": "auto"}, {"repeats": 2}])
def test_trials_of_several_trainings_are_not_averaged(evaluation, tmp_path):
    with pytest.raises(InputError, match=r"training\.final: \{trials: N\} averages trials that were trained once each"):
        searched_in(tmp_path, {**SPACE, "evaluation": evaluation})
