"""``harness.ensemble``: the best trials averaged as one model, scored once, and a run that stays true."""

from __future__ import annotations

import shutil

import numpy as np
import pandas as pd
import pytest
from sklearn.datasets import load_breast_cancer, load_diabetes
from sklearn.metrics import accuracy_score, log_loss, mean_squared_error

import harness
from harness.errors import DataError, InputError, StorageError
from harness.measure.temperature import fit_temperature, tempered
from harness.store.files import read_json, write_json
from harness.store.run import changed_files, listing, read_status, refresh_manifest, sealed_files
from harness.study.averaging import making
from harness.study.final.saved import models_of
from harness.study.keeping import read_predictions

pytestmark = pytest.mark.usefixtures("without_charts")

COMMON = {
    "training": {"precision": "fp32", "final": "keep"},
    "search": {"baselines": False, "checks": False, "sampler": "grid", "seed": 1},
}
SPACE = {
    "task": "breast-cancer",
    "objective": "loss",
    "budget": {"epochs": 4},
    "space": {
        "architecture": {"mlp": {"width": [4, 8, 12], "depth": 1}},
        "loss": ["cross_entropy", "binary"],
        "optimizer": {"adamw": {"lr": 0.05}},
    },
    **COMMON,
    "search": {**COMMON["search"], "seed": 6},  # whose members have one output and two
}


@pytest.fixture(scope="module")
def searched(tmp_path_factory):
    """A search whose trials have one output or two."""
    return harness.search(SPACE, trials=6, workers=0, device="cpu", out=tmp_path_factory.mktemp("searched")).run


@pytest.fixture(scope="module")
def averaged(searched, tmp_path_factory):
    """The same with the average of its trials, and what was said of it."""
    run = tmp_path_factory.mktemp("averaged") / "run"
    shutil.copytree(searched, run)
    return run, harness.ensemble(run, device="cpu")


@pytest.fixture
def copy(searched, tmp_path):
    """A copy of the search to be harmed."""
    run = tmp_path / "run"
    shutil.copytree(searched, run)
    return run


def rows(run, part):
    """Return raw rows and classes of a part, by what the run says of its split."""
    split = pd.read_parquet(run / "splits.parquet")
    places = split.loc[split["part"] == part, "index"].to_numpy()
    found = load_breast_cancer(as_frame=True)
    return found.data.iloc[places], found.target.to_numpy()[places]


def normal(probabilities):
    """Return probabilities in float64 whose sums are 1 as scikit-learn wants them to be."""
    return probabilities / probabilities.sum(axis=1, keepdims=True)


def mixture(run, score):
    """Return what the kept predictions of the members come to, before the temperature."""
    kept = {each.record.trial: each.outputs.astype(float) for each in read_predictions(run)}
    return sum(member["weight"] * kept[member["trial"]] for member in score["members"])


def test_it_averages_what_its_members_predict(averaged):
    run, score = averaged
    assert len(score["members"]) > 1
    losses = {member["candidate"]["loss"] for member in read_json(run / "ensemble/candidate.json")["members"]}
    assert losses == {"cross_entropy", "binary"}, "else this shows nothing of members with one output"
    assert sum(member["weight"] for member in score["members"]) == pytest.approx(1.0)
    x, y = rows(run, "validation")
    mean = mixture(run, score)
    temperature = fit_temperature(mean, y)
    assert score["temperature"] == pytest.approx(temperature)
    found = harness.load(run, model="ensemble").predict_proba(x)
    np.testing.assert_allclose(found, tempered(mean, temperature), atol=1e-5)
    single = {each.record.trial: each.outputs for each in read_predictions(run)}[score["validation"]["single_trial"]]
    judged = tempered(mean, fit_temperature(single, y))
    assert score["validation"]["ensemble"] == pytest.approx(log_loss(y, normal(judged)), rel=1e-5)
    assert score["validation"]["ensemble"] <= score["validation"]["single"]


def test_it_is_scored_on_the_test_samples_beside_the_final_model(averaged):
    run, score = averaged
    x, y = rows(run, "test")
    test, losses = score["test"], {}
    for name in ("ensemble", "best"):
        found = harness.load(run, model=name).predict_proba(x)
        losses[name] = -np.log(found[np.arange(len(y)), y])
        assert test["metrics"][name]["loss"] == pytest.approx(log_loss(y, normal(found)), rel=1e-4)
        assert test["metrics"][name]["accuracy"] == accuracy_score(y, found.argmax(axis=1))
    told, differences = read_json(run / "stats.json")["test"]["metrics"], losses["ensemble"] - losses["best"]
    assert test["metrics"]["best"]["loss"] == pytest.approx(told["loss"], rel=1e-5)
    assert test["differences"]["best"]["mean"] == pytest.approx(differences.mean(), abs=1e-5)
    error = differences.std(ddof=1) / np.sqrt(len(y))
    assert test["differences"]["best"]["standard_error"] == pytest.approx(error, abs=1e-5)


def test_each_model_has_its_cost(averaged):
    run, score = averaged
    models = score["models"]
    members = len(score["members"])
    parameters = sum(p.numel() for p in harness.load(run, model="ensemble").model.parameters())
    assert models["ensemble"]["parameters"] == parameters
    assert models["best"]["parameters"] < parameters
    assert members * models["best"]["latency_p50_ms"] > 0.0
    assert models["ensemble"]["weights_mib"] == pytest.approx(4 * parameters / 2**20)


def test_the_look_is_counted_and_the_run_stays_sealed(averaged):
    run, score = averaged
    assert score["test"]["opened"] == read_status(run)["test_opened"] == 2
    (opening,) = read_json(run / "openings.json")["openings"]
    assert sorted(opening["trials"]) == sorted(member["trial"] for member in score["members"])
    assert changed_files(run) == []
    assert set(sealed_files(run)) == set(listing(run))
    assert "Average of the best trials" in (run / "report.md").read_text()
    with pytest.raises(InputError, match=r"ensemble: is there and scored; --force makes it anew"):
        harness.ensemble(run, device="cpu")


def test_a_second_average_is_a_second_look(averaged, tmp_path):
    run = tmp_path / "run"
    shutil.copytree(averaged[0], run)
    score = harness.ensemble(run, top=2, size=4, metric="accuracy", force=True, device="cpu")
    assert (score["trials"], score["metric"]) == (2, "accuracy")
    assert read_status(run)["test_opened"] == 2 + (score["test"] is not None)
    assert changed_files(run) == []


def test_killed_while_it_replaces_one_it_leaves_a_true_manifest(averaged, tmp_path, monkeypatch):
    run = tmp_path / "run"
    shutil.copytree(averaged[0], run)

    def killed(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(making, "save_weights", killed)
        with pytest.raises(KeyboardInterrupt):
            harness.ensemble(run, top=2, force=True, device="cpu")
    assert changed_files(run) == []
    assert models_of(run) == ["best"], "half a model is none"
    assert harness.ensemble(run, top=2, device="cpu")["test"]["opened"] == 4
    assert changed_files(run) == []


@pytest.mark.slow
def test_the_average_of_an_earlier_winner_is_removed(averaged, tmp_path):
    run = tmp_path / "run"
    shutil.copytree(averaged[0], run)
    harness.search(resume=run, trials=6, workers=0, device="cpu")
    assert models_of(run) == ["best", "ensemble"], "the same winner keeps it"
    stats = read_json(run / "stats.json")
    stats["best"]["trial"] = (stats["best"]["trial"] + 1) % 6
    write_json(run / "stats.json", stats)
    refresh_manifest(run, ["stats.json"])
    harness.search(resume=run, trials=6, workers=0, device="cpu")
    assert models_of(run) == ["best"]
    assert changed_files(run) == []
    assert "Average of the best trials" not in (run / "report.md").read_text()


@pytest.mark.slow
def test_a_run_with_isotonic_curves_and_a_threshold_and_a_metric_of_its_own(tmp_path):
    space = {**SPACE, "training": {**COMMON["training"], "calibration": "isotonic", "threshold": 0.3}}
    metrics = {"missed": lambda targets, answers: float((answers[targets == 1, 1] < 0.5).mean())}
    run = harness.search(space, metrics=metrics, trials=6, workers=0, device="cpu", out=tmp_path).run
    with pytest.raises(InputError, match="missed"):
        harness.ensemble(run, device="cpu")
    score = harness.ensemble(run, device="cpu", metrics=metrics)
    assert score["temperature"] != 1.0, "which stands for curves"
    x, y = rows(run, "test")
    for name in ("best", "ensemble"):
        found = harness.load(run, model=name).predict_proba(x)
        assert score["test"]["metrics"][name]["accuracy"] == accuracy_score(y, found.argmax(axis=1))
        assert score["test"]["metrics"][name]["missed"] == pytest.approx((found[y == 1, 1] < 0.5).mean())
    assert "by the most probable class, not by the threshold of best/" in (run / "report.md").read_text()


def test_one_trial_alone_writes_nothing(copy):
    before = digests(copy)
    score = harness.ensemble(copy, size=1, device="cpu")
    assert (len(score["members"]), score["test"]) == (1, None)
    assert digests(copy) == before


def digests(run):
    return {name: (run / name).read_bytes() for name in [*listing(run), "manifest.json"]}


def forget_predictions(run):
    shutil.rmtree(run / "validation")
    manifest = read_json(run / "manifest.json")
    files = {name: digest for name, digest in manifest["files"].items() if not name.startswith("validation/")}
    write_json(run / "manifest.json", {**manifest, "files": files})


def leave(count):
    """Return what lets a run have so many complete trials."""

    def change(run):
        stats = read_json(run / "stats.json")
        stats["outcomes"]["complete"] = count
        write_json(run / "stats.json", stats)
        refresh_manifest(run, ["stats.json"])

    return change


def become(**facts):
    def change(run):
        write_json(run / "status.json", {**read_json(run / "status.json"), **facts})
        refresh_manifest(run, ["status.json"])

    return change


def list_trials(run):
    write_json(run / "replicates.json", {})


def harm_weights(run):
    next(run.glob("checkpoints/trial-*")).write_bytes(b"")


@pytest.mark.parametrize(
    ("harm", "error", "said"),
    [
        (leave(0), InputError, "no trial completed"),
        (leave(1), InputError, "one trial completed; an average takes 2"),
        (become(state="interrupted"), InputError, "is interrupted; finish it with: harness search --resume"),
        (forget_predictions, InputError, "made by a version that kept no predictions of its trials; search anew"),
        (become(fingerprint="0"), DataError, "the data of task .* has changed since; search it anew"),
        (list_trials, InputError, "a run of `harness train`"),
        (harm_weights, StorageError, "not the file that manifest.json was sealed with"),
    ],
)
def test_a_run_that_cannot_be_averaged_is_left_as_it_is(copy, harm, error, said):
    harm(copy)
    before = digests(copy)
    with pytest.raises(error, match=said):
        harness.ensemble(copy, device="cpu")
    assert digests(copy) == before


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"top": 1}, r"--top 1: expected 2 or more"),
        ({"size": 0}, r"--size 0: expected 1 to 1000"),
        ({"metric": "rmse"}, r"--metric rmse: cannot be selected by; use one of loss, accuracy"),
    ],
)
def test_bad_arguments(searched, asked, said):
    with pytest.raises(InputError, match=said):
        harness.ensemble(searched, device="cpu", **asked)


@pytest.mark.slow
def test_limits_hold_for_an_average(tmp_path):
    parameters = 12 * 31 + 2 * 13
    space = {**SPACE, "limits": {"parameters": parameters + 10}}
    run = harness.search(space, trials=6, workers=0, device="cpu", out=tmp_path).run
    score = harness.ensemble(run, device="cpu")
    assert any("breaks a limit of the space: parameters" in note for note in score["notes"])
    members = {member["trial"] for member in score["members"]}
    trials = pd.read_parquet(run / "trials.parquet").set_index("trial")
    assert trials.loc[list(members), "parameters"].sum() <= parameters + 10


FOLDED = {
    **COMMON,
    "objective": "loss",
    "budget": {"epochs": 4},
    "evaluation": {"folds": 3},
    "search": {**COMMON["search"], "pruner": "none"},
    "space": {"architecture": {"mlp": {"width": [4, 16]}}, "optimizer": {"adamw": {"lr": [0.03, 0.1]}}},
}


@pytest.mark.slow
def test_folds_are_selected_by_what_was_predicted_of_each(tmp_path):
    frame = load_diabetes(as_frame=True).frame.iloc[:200]
    run = harness.search(FOLDED, data=frame, target="target", trials=4, workers=0, device="cpu", out=tmp_path).run
    score = harness.ensemble(run, device="cpu", data=frame, target="target", metric="rmse")
    assert score["validation"]["samples"] == 170
    trials = pd.read_parquet(run / "trials.parquet").set_index("trial")
    # Each fold's loss is in units of its own deviation, and of its own number of samples.
    single = score["validation"]["single_trial"]
    assert score["validation"]["single"] == pytest.approx(trials.loc[single, "validation_loss"], rel=0.05)
    places = pd.read_parquet(run / "splits.parquet").query("part == 'test'")["index"]
    test = frame.iloc[places]
    if score["test"] is None:
        assert len(score["members"]) == 1
        return
    found = harness.load(run, model="ensemble").predict(test.drop(columns="target"))
    assert score["test"]["metrics"]["ensemble"]["rmse"] == pytest.approx(
        mean_squared_error(test["target"], found) ** 0.5, rel=1e-5
    )
