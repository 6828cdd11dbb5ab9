"""Code of the user's own that watches a search: what it hears, how it ends the search, and what is left then."""

import pandas as pd
import pytest

import harness
from harness.errors import Interrupted
from harness.records import EpochRecord, TrialRecord
from harness.store import read_json, read_status
from harness.study.callbacks import Callbacks
from harness.study.observer import Observer
from harness.study.stop import Stop

pytestmark = pytest.mark.usefixtures("without_charts")

SPACE = {
    "task": "wine",
    "objective": "accuracy",
    "budget": {"epochs": 2, "trials": 2},
    "search": {"baselines": False, "checks": False, "sampler": "random", "pruner": "none"},
    "training": {"final": "keep"},
    "evaluation": {"folds": None},
    "space": {"architecture": {"mlp": {"width": {"int": [8, 64]}}}},
}


def search(out, **options):
    return harness.search(SPACE, out=out, workers=0, device="cpu", **options)


def the_run(out):
    (run,) = out.iterdir()
    return run


@pytest.fixture(scope="module")
def watched(tmp_path_factory):
    """A search that was watched to its end, with what was heard of it."""
    epochs, trials = [], []
    result = search(tmp_path_factory.mktemp("runs"), on_epoch=epochs.append, on_trial=trials.append)
    return result, epochs, trials


def test_every_epoch_and_every_trial_is_told(watched):
    result, epochs, trials = watched
    assert [(epoch.trial, epoch.epoch) for epoch in epochs] == [(0, 1), (0, 2), (1, 1), (1, 2)]
    assert [record.trial for record in trials] == [0, 1]
    assert [record.values[0] for record in trials] == result.trials["value"].tolist()
    assert epochs[0].validation["accuracy"] == result.epochs["validation_accuracy"][0]
    assert isinstance(epochs[0], EpochRecord)
    assert isinstance(trials[0], TrialRecord)
    asked = read_json(result.run / "environment.json")["asked"]
    assert not {"on_epoch", "on_trial"} & set(asked), "a function is no plain data"


def test_a_callback_ends_the_search_early_with_a_final_model(tmp_path):
    def tired(epoch):
        if epoch.trial == 1:
            raise harness.StopSearch("good enough")

    result = search(tmp_path, on_epoch=tired)
    assert result.state == "complete"
    assert result.trials["outcome"].tolist() == ["complete", "interrupted"]
    assert result.trials["reason"][1] == "good enough"
    assert 0.0 <= result.test["accuracy"] <= 1.0


@pytest.mark.slow
def test_an_error_of_a_callback_ends_the_search_with_everything_saved(watched, tmp_path):
    heard = []

    def broken(epoch):
        heard.append(epoch.trial)
        if epoch.trial == 1:
            raise ZeroDivisionError("mine")

    with pytest.raises(ZeroDivisionError, match="mine") as caught:
        search(tmp_path, on_epoch=broken)
    run = the_run(tmp_path)
    assert caught.value.__notes__ == [f"raised by a callback; it can go on: harness.search(resume={str(run)!r})"]
    assert caught.traceback[-1].name == "broken"
    assert heard == [0, 0, 1]
    assert read_status(run)["state"] == read_json(run / "manifest.json")["state"] == "interrupted"
    assert read_status(run)["test_opened"] == 0
    trials = pd.read_parquet(run / "trials.parquet")
    assert trials["outcome"].tolist() == ["complete", "interrupted"]
    assert trials["reason"][1] == "a callback raised ZeroDivisionError: mine"
    resumed = harness.search(resume=run, workers=0)
    assert resumed.trials["value"].tolist() == watched[0].trials["value"].tolist()
    assert resumed.test == watched[0].test


@pytest.mark.slow
def test_an_error_ends_worker_processes_too(tmp_path):
    def broken(_epoch):
        raise LookupError("mine")

    with pytest.raises(LookupError, match="mine"):
        harness.search(SPACE, out=tmp_path, workers=2, device="cpu", on_epoch=broken)
    assert read_status(the_run(tmp_path))["state"] == "interrupted"


@pytest.mark.parametrize("final", ["refit", "keep"])
@pytest.mark.slow
def test_an_error_while_the_final_model_is_made_leaves_the_test_samples_unopened(final, tmp_path):
    class Late(harness.Observer):
        def final_started(self, *_):
            raise ValueError("mine")

    space = {**SPACE, "training": {"final": final}, "budget": {"epochs": 1, "trials": 1}}
    with pytest.raises(ValueError, match="mine"):
        harness.search(space, out=tmp_path, workers=0, device="cpu", observer=Late())
    assert read_status(the_run(tmp_path))["state"] == "interrupted"
    assert read_status(the_run(tmp_path))["test_opened"] == 0


@pytest.mark.parametrize("answer", [harness.StopSearch("enough"), harness.StopSearch])
def test_it_may_be_returned_and_does_not_end_a_final_training(answer):
    stop = Stop()
    Callbacks(stop, Observer(), on_trial=lambda _: answer).trial_ended(None)
    assert stop.reason == ("a callback ended the search" if answer is harness.StopSearch else "enough")
    assert not stop.at_once
    stop.check_signal()
    with pytest.raises(Interrupted):
        stop.check()


def test_after_an_error_nobody_hears_anything_and_ctrl_c_is_none():
    heard = []

    class Broken(Observer):
        def trial_started(self, number, _params, /):
            heard.append(number)
            raise [LookupError("mine"), KeyboardInterrupt][number]

    stop = Stop()
    callbacks = Callbacks(stop, Broken(), on_trial=heard.append)
    with pytest.raises(KeyboardInterrupt):
        callbacks.trial_started(1, {})
    assert not stop.at_once
    callbacks.trial_started(0, {})
    assert stop.reason == "a callback raised LookupError: mine"
    with pytest.raises(Interrupted):
        stop.check_signal()
    callbacks.trial_started(0, {})
    callbacks.trial_ended(None)
    assert heard == [1, 0]
