"""``harness threshold`` and ``harness refit``: what they take, print and refuse."""

import json
import shutil

import pytest

import harness as package

SPACE = {
    "task": "breast-cancer",
    "budget": {"epochs": 2},
    "search": {"baselines": False, "checks": False, "deterministic": True},
    "training": {"precision": "fp32", "final": "keep"},
    "space": {"architecture": {"mlp": {"width": 8, "depth": 1}}},
}


@pytest.fixture(scope="module")
def searched(tmp_path_factory):
    return package.search(SPACE, trials=1, workers=0, out=tmp_path_factory.mktemp("runs"), device="cpu").run


@pytest.fixture
def run(searched, tmp_path):
    return shutil.copytree(searched, tmp_path / "run")


@pytest.mark.slow
def test_a_threshold_is_set_shown_and_taken_back(harness, run):
    costs = ("--false-positive", 1, "--false-negative", 5)
    done = harness("threshold", run, "--by", "cost", *costs)
    assert (done.code, done.err) == (0, "")
    assert "The second class is predicted from a probability of" in done.out
    assert "(by cost on validation)." in done.out
    head = next(line for line in done.out.splitlines() if "metric" in line)
    assert "test, most probable" in head
    assert "test, at the threshold" in head
    told = json.loads(harness("threshold", run, "--value", "0.25", "--json").out)
    assert told["threshold"] == {"value": 0.25, "by": "value"}
    assert set(told["test"]) == set(told["validation_most_probable"]) >= {"accuracy", "f1_macro"}
    assert harness("threshold", run, "--none").out.startswith("The most probable class is predicted.")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "name one of --by f1, --by youden, --by cost, --value P and --none"),
        (("--by", "f1", "--none"), "name one of --by f1"),
        (("--by", "yuden"), "--by yuden: unknown; did you mean 'youden'?"),
        (("--by", "cost", "--false-positive", 1), "--by cost: takes --false-negative as well"),
        (("--by", "f1", "--false-negative", 1), "--false-negative: goes with --by cost alone"),
        (("--by", "cost", "--false-positive", 0, "--false-negative", 1), "with costs above 0"),
        (("--value", "2"), "expected a probability above 0 and up to 1"),
        (("--value", "nan"), "expected a probability above 0 and up to 1"),
    ],
)
def test_options_that_name_no_threshold_are_refused_in_one_line(harness, tmp_path, arguments, said):
    done = harness("threshold", tmp_path, *arguments)
    assert (done.code, done.out) == (2, "")
    assert said in done.err
    assert done.err.count("\n") == 1


@pytest.mark.slow
def test_a_run_is_refitted_on_all_samples_once(harness, run, tmp_path):
    done = harness("refit", run)
    assert done.code == 0, done.err
    assert "training the winner on all samples, those of the test part too (" in done.err
    assert f"Model: {run / 'full'}, trained on all 569 samples" in done.out
    assert "has no score of its own; the test score of best/ stands for it" in done.out
    again = harness("refit", run, "--json")
    assert (again.code, again.out) == (2, "")
    told = json.loads(harness("refit", run, "--json", "--force").out)
    assert (told["model"], told["samples"], told["members"]) == ("full", 569, 1)
    assert told["test_of_best"]["accuracy"] > 0.5
    assert harness("refit", tmp_path / "none").code == 2
