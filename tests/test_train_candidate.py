"""One candidate, trained and measured as a trial is."""

import json
import signal

import numpy as np
import pandas as pd
import pytest

import harness
from harness.errors import DataError, InputError, SpecError
from harness.study.replicates import spread

pytestmark = pytest.mark.usefixtures("without_charts")

SPACE = {
    "task": "wine",
    "objective": "accuracy",
    "budget": {"trials": 3, "epochs": 3},
    "search": {"baselines": False, "checks": False, "sampler": "random"},
    "space": {
        "architecture": {"mlp": {"depth": [1, 2], "width": {"int": [4, 16]}, "dropout": 0.2}},
        "optimizer": {"adamw": {"lr": {"float": [1e-3, 1e-1], "log": True}}},
        "batch_size": 32,
    },
}
POINT = {"architecture.mlp.depth": 1, "architecture.mlp.width": 8, "optimizer.adamw.lr": 0.05}
NESTED = {"architecture": {"mlp": {"depth": 1, "width": 8}}, "optimizer": {"adamw": {"lr": 0.05}}}


@pytest.fixture(scope="module")
def searched(tmp_path_factory):
    return harness.search(SPACE, out=tmp_path_factory.mktemp("searched"), workers=0)


def train(tmp_path, *arguments, **options):
    return harness.train_candidate(*arguments, out=tmp_path, workers=0, **options)


def measured(trials: pd.DataFrame) -> pd.DataFrame:
    names = [name for name in trials if name.startswith(("validation_", "train_")) and not name.endswith("samples_s")]
    return trials[[*names, "seed", "epochs", "best_epoch", "value", "params"]].reset_index(drop=True)


@pytest.mark.parametrize("trial", [0, pytest.param(2, marks=pytest.mark.slow)])
def test_a_trial_of_a_run_comes_to_the_same_metrics_and_weights(searched, tmp_path, trial):
    trained = train(tmp_path, run=searched.run, trial=trial)
    rows = searched.trials[searched.trials["trial"] == trial]
    pd.testing.assert_frame_equal(measured(trained.trials), measured(rows))
    weights = searched.run / "checkpoints" / f"trial-{trial:06d}.safetensors"
    if weights.is_file():
        assert (trained.run / "best" / "model.safetensors").read_bytes() == weights.read_bytes()


@pytest.mark.slow
def test_the_winner_is_what_a_run_gives_by_itself_and_predicts(searched, tmp_path):
    trained = train(tmp_path, run=searched.run)
    assert trained.best["params"] == searched.best["params"]
    assert trained.test == {}
    assert json.loads((trained.run / "status.json").read_text())["test_opened"] == 0
    assert (trained.run / "best" / "model.safetensors").is_file()


@pytest.mark.slow
def test_parameters_are_read_from_a_file_in_both_forms(tmp_path):
    (tmp_path / "flat.json").write_text(json.dumps(POINT))
    flat, nested = (train(tmp_path / "runs", SPACE, params=each) for each in (tmp_path / "flat.json", NESTED))
    assert flat.best["params"] == nested.best["params"] == POINT
    pd.testing.assert_frame_equal(measured(flat.trials), measured(nested.trials))


@pytest.mark.parametrize(
    ("params", "said"),
    [
        ({**POINT, "architecture.mlp.widht": 8}, "did you mean 'architecture.mlp.width'"),
        ({**POINT, "architecture.mlp.width": 64}, "64 is not a whole number from 4 to 16; the nearest is 16"),
        ({"architecture.mlp.depth": 1}, "params: parameter architecture.mlp.width is missing"),
        ({"architecture": {"cnn": {}}}, "params: architecture.cnn: not an option of this space"),
        ({"architecture": 3}, "params: architecture: expected one option with its parameters"),
        (None, "name what to train"),
    ],
)
def test_wrong_parameters_are_told_and_leave_nothing(tmp_path, params, said):
    with pytest.raises(InputError, match=r"params|name") as caught:
        train(tmp_path / "runs", SPACE, params=params)
    assert said in str(caught.value)
    assert not (tmp_path / "runs").exists()


def test_a_file_of_no_parameters_is_told(tmp_path):
    (tmp_path / "list.yaml").write_text("- 1\n")
    with pytest.raises(SpecError, match=r"list\.yaml: expected parameters as a mapping"):
        train(tmp_path, SPACE, params=tmp_path / "list.yaml")
    with pytest.raises(SpecError, match=r"gone\.yaml: cannot be read"):
        train(tmp_path, SPACE, params=tmp_path / "gone.yaml")


def test_what_does_not_go_together_is_told(searched, tmp_path):
    with pytest.raises(InputError, match=r"has no trial 9; its trials are 0 to 2"):
        train(tmp_path, run=searched.run, trial=9)
    with pytest.raises(InputError, match="leave out params"):
        train(tmp_path, run=searched.run, params=POINT)
    with pytest.raises(InputError, match="of which run"):
        train(tmp_path, SPACE, params=POINT, trial=1)
    with pytest.raises(InputError, match="expected a number from 1 on"):
        train(tmp_path, SPACE, params=POINT, seeds=0)
    with pytest.raises(InputError, match="not a run of `harness train`"):
        harness.train_candidate(resume=searched.run)


@pytest.fixture(scope="module")
def seeded(tmp_path_factory):
    return train(tmp_path_factory.mktemp("seeded"), SPACE, params=POINT, seeds=3)


@pytest.mark.slow
def test_seeds_vary_split_and_weights_and_the_spread_is_told(seeded):
    trials, told = seeded.trials, seeded.stats["replicates"]
    assert trials["seed"].nunique() == 3
    splits = pd.read_parquet(seeded.run / "splits.parquet")
    held = {tuple(rows["index"]) for _, rows in splits[splits["part"] == "validation"].groupby("seed")}
    assert len(held) == 3
    accuracy = told["validation"]["accuracy"]
    assert accuracy["values"] == list(trials["validation_accuracy"])
    assert accuracy["mean"] == pytest.approx(trials["validation_accuracy"].mean())
    assert accuracy["sd"] == pytest.approx(trials["validation_accuracy"].std(ddof=1))
    assert told["test"] == {}


@pytest.mark.slow
def test_the_test_samples_are_scored_when_asked_and_opened_once(seeded):
    scored = harness.train_candidate(resume=seeded.run, test=True, workers=0)
    test = scored.stats["replicates"]["test"]["accuracy"]
    predicted = [pd.read_parquet(seeded.run / "test" / f"trial-{trial:06d}.parquet") for trial in range(3)]
    assert test["values"] == pytest.approx([np.mean(rows["target"] == rows["predicted"]) for rows in predicted])
    assert scored.test["accuracy"] == pytest.approx(test["values"][scored.best["trial"]])
    again = harness.train_candidate(resume=seeded.run, test=True, workers=0)
    assert repr(again.stats["replicates"]) == repr(scored.stats["replicates"])
    log = json.loads((seeded.run / "openings.json").read_text())["openings"]
    assert [each["trials"] for each in log] == [[0, 1, 2]]
    assert json.loads((seeded.run / "status.json").read_text())["test_opened"] == 1


@pytest.mark.slow
def test_a_training_of_a_list_comes_to_the_same_metrics_on_its_own_split(seeded, tmp_path):
    trained = train(tmp_path, run=seeded.run, trial=2)
    rows = seeded.trials[seeded.trials["trial"] == 2]
    pd.testing.assert_frame_equal(measured(trained.trials), measured(rows))


def test_what_did_not_complete_leaves_its_place_in_the_spread_empty():
    told = spread(range(3), {0: {"accuracy": 0.5}, 2: {"accuracy": 0.75}})["accuracy"]
    assert (told["mean"], told["count"], told["values"][::2]) == (0.625, 2, [0.5, 0.75])
    assert np.isnan(told["values"][1])
    assert told["sd"] == pytest.approx(np.std([0.5, 0.75], ddof=1))


@pytest.mark.slow
def test_data_that_has_changed_since_is_no_data_of_the_run(tmp_path):
    rows = [f"{n},{n % 5},{n % 2}" for n in range(120)]
    table = tmp_path / "data.csv"
    table.write_text("\n".join(["x,z,y", *rows]))
    space = {**SPACE, "task": {"csv": str(table), "target": "y"}}
    begun = train(tmp_path / "a", space, params=POINT)
    table.write_text("\n".join(["x,z,y", *rows[1:]]))
    with pytest.raises(DataError, match="has changed since"):
        train(tmp_path / "b", run=begun.run)
    assert not (tmp_path / "b").exists()


@pytest.mark.slow
def test_a_callback_hears_of_its_epochs_and_trials(tmp_path):
    heard = []
    train(tmp_path, SPACE, params=POINT, on_epoch=heard.append, on_trial=heard.append)
    assert [type(each).__name__ for each in heard] == ["EpochRecord"] * 3 + ["TrialRecord"]


@pytest.mark.slow
def test_one_that_is_stopped_before_its_score_leaves_the_test_samples_unopened(tmp_path):
    class Stopping(harness.Observer):
        def final_started(self, *_):
            signal.raise_signal(signal.SIGTERM)

    stopped = train(tmp_path, SPACE, params=POINT, test=True, observer=Stopping())
    assert stopped.test == {}
    assert stopped.state == "interrupted"
    assert json.loads((stopped.run / "status.json").read_text())["test_opened"] == 0
    assert harness.train_candidate(resume=stopped.run, test=True, workers=0).test["accuracy"] > 0


@pytest.mark.slow
def test_no_search_goes_on_with_it(seeded):
    with pytest.raises(InputError, match="trains a list, and is no search"):
        harness.search(resume=seeded.run, workers=0)
