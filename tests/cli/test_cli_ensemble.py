"""``harness ensemble`` on the command line."""

from __future__ import annotations

import json

import pytest

SPACE = """
task: breast-cancer
objective: loss
budget: {trials: 6, epochs: 4}
search: {sampler: grid, pruner: none, seed: 1, baselines: false, checks: false}
training: {final: keep, precision: fp32}
space:
  architecture: {mlp: {depth: 1, width: [4, 8, 12]}}
  loss: [cross_entropy, binary]
  optimizer: {adamw: {lr: 0.05}}
"""


@pytest.fixture
def run(harness, tmp_path):
    path = tmp_path / "space.yaml"
    path.write_text(SPACE)
    done = harness("search", path, "--out", tmp_path, "--json", "--device", "cpu")
    return json.loads(done.out)["run"]


@pytest.mark.slow
def test_the_average_is_shown_with_what_it_scored_and_takes(harness, run):
    done = harness("ensemble", run, "--json", "--device", "cpu")
    assert (done.code, done.err) == (0, "")
    score = json.loads(done.out)
    assert score["run"] == run
    assert set(score["models"]) == {"ensemble", "best", "trial"}

    again = harness("ensemble", run)
    assert (again.code, again.out) == (2, "")
    assert again.err.startswith("harness: error: ")
    assert again.err.count("\n") == 1

    shown = harness("ensemble", run, "--force", "--metric", "loss", "--device", "cpu")
    assert shown.code == 0
    assert "Selected from 6 trials by loss on validation" in shown.out
    assert "This was opening 3 of the test samples of this run." in shown.out
    assert f"Model: {run}/ensemble" in shown.out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nowhere"], "nowhere: no such run"),
        (["nowhere", "--top", 1], "--top 1: expected 2 or more trials"),
        (["nowhere", "--size", 0], "--size 0: expected 1 to 1000 models"),
    ],
)
def test_a_mistake_is_one_line(harness, arguments, said):
    done = harness("ensemble", *arguments)
    assert (done.code, done.out) == (2, "")
    assert said in done.err
    assert done.err.count("\n") == 1
