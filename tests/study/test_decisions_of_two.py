"""Real runs of two classes: calibrated, decided at a threshold, decided anew, and refitted on all samples."""

import json
import os
import shutil
import signal
from hashlib import sha256

import numpy as np
import pandas as pd
import pytest
from sklearn.datasets import load_breast_cancer
from sklearn.metrics import accuracy_score, confusion_matrix, f1_score, precision_recall_fscore_support, roc_curve

import harness
from harness.errors import Diverged, InputError, NoSuccessfulTrialError, StorageError
from harness.store.run import changed_files
from harness.study.final.retraining import Retraining

pytestmark = pytest.mark.usefixtures("without_charts")

SPACE = {
    "task": "breast-cancer",
    "budget": {"epochs": 3, "trials": 1},
    "search": {"baselines": False, "checks": False, "seed": 1, "deterministic": True},
    "training": {"precision": "fp32"},
    "space": {"architecture": {"mlp": {"width": 8, "depth": 1}}, "optimizer": {"adamw": {"lr": 0.01}}},
}
RAW = load_breast_cancer(as_frame=True).data
COST = {"cost": {"false_positive": 9, "false_negative": 1}}


def search(folder, *overrides, **options):
    return harness.search(SPACE, overrides=overrides, workers=0, out=folder, device="cpu", **options)


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    """A run that predicts the most probable class."""
    return search(tmp_path_factory.mktemp("plain")).run


@pytest.fixture
def run(plain, tmp_path):
    """A copy of it, to be changed."""
    return shutil.copytree(plain, tmp_path / "run")


def read(run, name):
    return json.loads((run / name).read_text())


def frame(run, name="predictions.parquet"):
    return pd.read_parquet(run / name)


def digests(run, *, but=()):
    files = [path for path in sorted(run.rglob("*")) if path.is_file() and not path.name.startswith(".")]
    known = {path.relative_to(run).as_posix(): sha256(path.read_bytes()).hexdigest() for path in files}
    return {name: digest for name, digest in known.items() if name not in but}


def check_agreement(run, value):
    """What the run says of its test samples is what its model predicts of them, and what scikit-learn makes of that."""
    known, model, test = frame(run), harness.load(run, device="cpu"), read(run, "stats.json")["test"]
    assert model.threshold == value
    assert np.array_equal(model.predict(RAW.iloc[known["index"]]), known["predicted_name"])
    second = known["probability_1"] >= value if value else known["probability_1"] > known["probability_0"]
    assert np.array_equal(known["predicted"], second.astype(int))
    assert test["metrics"]["accuracy"] == pytest.approx(accuracy_score(known["target"], known["predicted"]))
    assert test["metrics"]["f1_macro"] == pytest.approx(f1_score(known["target"], known["predicted"], average="macro"))
    assert test["confusion"] == confusion_matrix(known["target"], known["predicted"]).tolist()
    recall = precision_recall_fscore_support(known["target"], known["predicted"], zero_division=0)[1]
    assert test["per_class"]["recall"] == pytest.approx(recall)
    assert changed_files(run) == []


def test_a_threshold_of_the_space_is_settled_on_validation_before_the_test(plain, tmp_path):
    run = search(tmp_path, f"training.threshold={json.dumps(COST)}").run
    about = read(run, "stats.json")["test"]["threshold"]
    check_agreement(run, about["value"])
    assert (about["by"], about["set"], about["false_positive"]) == ("cost", "before", 9.0)
    assert read(run, "best/candidate.json")["threshold"]["value"] == about["value"]
    validation = frame(run, "best/validation.parquet")
    split = frame(run, "splits.parquet")
    assert set(validation["index"]) == set(split[split["part"] == "validation"]["index"])
    levels = np.append(np.unique(validation["probability_1"]), 2.0)
    wrong = [(validation["probability_1"] >= level) != validation["target"] for level in (*levels, about["value"])]
    costs = [(each * np.where(validation["target"] == 1, 1, 9)).sum() for each in wrong]
    assert costs[-1] == min(costs)
    # All that does not follow from the predicted classes is as it was, and so are the mistakes.
    before, after = (read(each, "stats.json")["test"] for each in (plain, run))
    assert after["metrics"]["log_loss"] == before["metrics"]["log_loss"]
    assert after["mistakes"] == before["mistakes"]
    assert about["most_probable"] == {name: before["metrics"][name] for name in about["most_probable"]}
    assert "has the least cost on validation (a false positive costs 9" in (run / "report.md").read_text()


def test_a_threshold_set_afterwards_changes_what_it_decides_and_can_be_taken_back(plain, run):
    found = harness.set_threshold(run, "youden")
    check_agreement(run, found.threshold["value"])
    validation = frame(run, "best/validation.parquet")
    false_rate, true_rate, _ = roc_curve(validation["target"], validation["probability_1"])
    decided = validation["probability_1"] >= found.threshold["value"]
    rates = [decided[validation["target"] == code].mean() for code in (0, 1)]
    assert rates[1] - rates[0] == pytest.approx((true_rate - false_rate).max())
    assert read(run, "stats.json")["test"]["threshold"]["set"] == "after"
    assert read(run, "status.json")["test_opened"] == 1, "nothing was opened for it"
    text = (run / "report.md").read_text()
    assert "It was set after the test scores were known, so they may have had a say in it." in text
    assert found.test_most_probable["accuracy"] == read(plain, "stats.json")["test"]["metrics"]["accuracy"]
    harness.set_threshold(run, 0.9)
    check_agreement(run, 0.9)
    assert harness.set_threshold(run, None).threshold is None
    assert digests(run) == digests(plain), "byte for byte what it was"


@pytest.mark.slow
def test_a_resumed_search_keeps_it(run):
    harness.set_threshold(run, 0.8)
    harness.search(resume=run, workers=0)
    check_agreement(run, 0.8)


@pytest.mark.slow
def test_killed_while_it_writes_it_can_be_done_again(run, monkeypatch):
    expected = harness.set_threshold(run, 0.7)
    whole = digests(run)
    harness.set_threshold(run, None)
    with monkeypatch.context() as patch:
        patch.setattr("harness.study.final.redeciding._restated", lambda *_: os.kill(os.getpid(), signal.SIGINT))
        with pytest.raises(KeyboardInterrupt):
            harness.set_threshold(run, 0.7)
    assert not (run / "manifest.json").exists(), "unfinished"
    assert harness.set_threshold(run, 0.7) == expected
    assert digests(run) == whole


@pytest.mark.parametrize("threshold", [0, 1.5, "f2", {"cost": {"false_positive": 1}}, {"cost": -1}, True])
def test_what_is_no_threshold_is_told_in_one_line(run, threshold):
    before = digests(run)
    with pytest.raises(
        InputError, match=r"^threshold: expected a probability above 0 and up to 1, f1, youden, or"
    ) as no:
        harness.set_threshold(run, threshold)
    assert "\n" not in str(no.value)
    assert digests(run) == before


@pytest.mark.slow
def test_what_cannot_be_decided_is_refused_and_leaves_the_run(run, tmp_path):
    file = run / "best" / "validation.parquet"
    frame(run, "best/validation.parquet").assign(target=1).to_parquet(file)
    with pytest.raises(StorageError, match=r"validation\.parquet: not the file that the run was sealed with"):
        harness.set_threshold(run, "f1")
    (run / "manifest.json").unlink()
    before = digests(run)
    with pytest.raises(InputError, match="no threshold can be chosen: all validation samples are of one class"):
        harness.set_threshold(run, "f1")
    file.write_bytes(b"no table")
    with pytest.raises(StorageError, match=r"validation\.parquet: cannot be read"):
        harness.set_threshold(run, "f1")
    file.unlink()
    with pytest.raises(InputError, match="it was made by an earlier version: give a value, or search anew"):
        harness.set_threshold(run, "f1")
    assert digests(run) == {name: digest for name, digest in before.items() if name != "best/validation.parquet"}
    harness.set_threshold(run, 0.6)
    check_agreement(run, 0.6)
    with pytest.raises(InputError, match="no such run"):
        harness.set_threshold(tmp_path / "none", 0.5)


@pytest.mark.slow
def test_it_is_for_two_classes(tmp_path):
    with pytest.raises(InputError, match=r"training\.threshold: is for two classes, and task 'wine' has 3 classes"):
        search(tmp_path, "task=wine", "training.threshold=f1")
    with pytest.raises(InputError, match="and task 'diabetes' predicts values"):
        search(tmp_path, "task=diabetes", "training.threshold=0.5")
    run = search(tmp_path, "task=wine", "training.final=keep").run
    assert not (run / "best" / "validation.parquet").exists()
    with pytest.raises(InputError, match="predicts one of 3 classes; a threshold is for two classes"):
        harness.set_threshold(run, 0.5)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("threshold", {"value": 0.0, "by": "f1"}),
        ("threshold", {"value": 0.5}),
        ("isotonic", [{"x": [0.5, 0.1], "y": [0.1, 0.9]}]),
        ("isotonic", [{"x": [0.1], "y": [0.1]}] * 2),
        ("isotonic", [{"x": [0.1, 0.2], "y": [0.0, 1.0]}]),
        ("recipe", {"schedule": 0, "until": 1}),
    ],
)
def test_a_damaged_calibration_is_refused_in_one_line(run, key, value):
    saved = read(run, "best/candidate.json")
    (run / "best" / "candidate.json").write_text(json.dumps({**saved, key: value}))
    with pytest.raises(StorageError, match=f"is not what a search writes .*{key}.*; the file is damaged"):
        harness.load(run)


@pytest.mark.slow
@pytest.mark.parametrize("loss", ["cross_entropy", "binary"])
def test_isotonic_calibration_is_kept_and_predicts_as_in_the_run(loss, tmp_path, monkeypatch):
    monkeypatch.setattr("harness.measure.isotonic.SAMPLES", 80)
    monkeypatch.setattr("harness.measure.isotonic.SAMPLES_OF_CLASS", 20)
    run = search(tmp_path, "training.calibration=isotonic", f"training.loss={loss}", "training.threshold=0.5").run
    test, saved = read(run, "stats.json")["test"], read(run, "best/candidate.json")
    assert (test["isotonic"], test["temperature"], test["note"]) == (True, 1.0, "")
    (curve,) = saved["isotonic"]
    assert len(curve["x"]) == len(curve["y"])
    known, model = frame(run), harness.load(run, device="cpu")
    shares = model.predict_proba(RAW.iloc[known["index"]])
    assert np.array_equal(shares, known[["probability_0", "probability_1"]])
    np.testing.assert_allclose(shares.sum(axis=1), 1.0, atol=1e-6)
    assert shares[:, 1].min() >= curve["y"][0] - 1e-6
    assert shares[:, 1].max() <= curve["y"][-1] + 1e-6
    check_agreement(run, 0.5)
    rows = [row for row in test["decision"] if row["isotonic"]]
    assert len(rows) == len(test["decision"])
    validation = frame(run, "best/validation.parquet")
    own = np.where(validation["target"] == 1, validation["probability_1"], validation["probability_0"])
    chosen = next(row for row in rows if row["chosen"])
    assert -np.log(own).mean() == pytest.approx(chosen["loss"], rel=1e-6)
    assert "Calibration: isotonic regression of each class against the rest" in (run / "report.md").read_text()


@pytest.mark.slow
def test_too_few_samples_for_it_get_a_temperature_and_are_told(tmp_path):
    test = search(tmp_path, "training.calibration=isotonic").stats["test"]
    assert test["temperature"] != 1.0
    assert "no isotonic calibration: validation has 85 samples, of which it takes 1,000; a temperature" in test["note"]


def test_the_winner_is_refitted_on_all_samples(run):
    harness.set_threshold(run, "f1")
    before = digests(run, but=("status.json", "manifest.json"))
    model = harness.refit(run, device="cpu")
    assert changed_files(run) == []
    sealed = read(run, "manifest.json")["files"]
    assert {name for name in digests(run) if name.startswith("full/")} <= set(sealed)
    assert {name: each for name, each in digests(run).items() if name in before} == before, "best/ is as it was"
    best, full = read(run, "best/candidate.json"), read(run, "full/candidate.json")
    for key in ("candidate", "threshold", "recipe", "class_names"):
        assert best[key] == full[key]
    assert best.get("temperature") == full.get("temperature")
    assert full["trained_on"] == 569
    assert "no score of its own; the test score of best/ stands for it" in full["note"]
    assert read(run, "status.json")["test_opened"] == 2, "they were trained on"
    means = {column["column"]: column["mean"] for column in read(run, "full/preprocessing.json")["numeric"]}
    assert means["mean radius"] == pytest.approx(RAW["mean radius"].mean(), rel=1e-4), "fitted on all samples"
    again = harness.load(run, model="full", device="cpu")
    assert model.threshold == again.threshold == best["threshold"]["value"]
    shares = again.predict_proba(RAW)
    assert np.array_equal(model.predict_proba(RAW), shares)
    assert not np.array_equal(harness.load(run, device="cpu").predict_proba(RAW), shares)
    harness.set_threshold(run, 0.75)
    assert harness.load(run, model="full").threshold == harness.load(run).threshold == 0.75
    with pytest.raises(InputError, match=r"has a model of all samples already, in full/; replace it with --force"):
        harness.refit(run)
    harness.refit(run, device="cpu", force=True)
    assert np.array_equal(harness.load(run, model="full", device="cpu").predict_proba(RAW), shares), "seeds are derived"


class Interrupting(harness.Observer):
    def epoch_ended(self, _epoch):
        os.kill(os.getpid(), signal.SIGINT)


def test_a_refit_that_does_not_end_leaves_nothing(run, monkeypatch):
    before = digests(run, but=("status.json", "manifest.json"))
    with pytest.raises(KeyboardInterrupt):
        harness.refit(run, observer=Interrupting())

    def diverge(*_):
        raise Diverged("loss became NaN at step 1 (epoch 1)")

    monkeypatch.setattr(Retraining, "train", diverge)
    with pytest.raises(NoSuccessfulTrialError, match="the training on all samples failed"):
        harness.refit(run)
    assert digests(run, but=("status.json", "manifest.json")) == before
    assert changed_files(run) == []
    with pytest.raises(InputError, match="has no model 'full'"):
        harness.load(run, model="full")


def test_what_cannot_be_refitted_is_refused(run):
    status = read(run, "status.json")
    (run / "status.json").write_text(json.dumps({**status, "fingerprint": "0" * 64}))
    with pytest.raises(InputError, match="the data of task 'breast-cancer' have changed since"):
        harness.refit(run)
    (run / "status.json").write_text(json.dumps({**status, "state": "interrupted"}))
    with pytest.raises(InputError, match="is interrupted, and has no final model yet"):
        harness.refit(run)
    saved = read(run, "best/candidate.json")
    del saved["recipe"]
    (run / "best" / "candidate.json").write_text(json.dumps(saved))
    with pytest.raises(InputError, match="does not say how long its model was trained"):
        harness.refit(run)
    shutil.rmtree(run / "best")
    with pytest.raises(InputError, match="holds no final model"):
        harness.refit(run)


@pytest.mark.slow
def test_a_refit_of_values_and_of_an_average(tmp_path):
    overrides = ["task=diabetes", "training.final={ensemble: 2}", "objective=rmse"]
    run = search(tmp_path, *overrides).run
    model = harness.refit(run, device="cpu")
    full = read(run, "full/candidate.json")
    assert full.get("ensemble", 1) == read(run, "best/candidate.json").get("ensemble", 1)
    assert full["trained_on"] == 442
    assert model.threshold is None
