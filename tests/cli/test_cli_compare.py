"""``harness compare`` as a user meets it: verdict, tables, JSON, bad input."""

import json

import pytest

PAIR = """
task: wine
objective: accuracy
budget: {trials: 2, epochs: 2}
search: {pruner: none, baselines: false, checks: false, sampler: random}
training: {precision: fp32, batch_size: 64}
evaluation: {}
space:
  architecture:
    mlp: {depth: 1, width: [8, 16]}
    linear: {family: "linear_of_the_test:build"}
  optimizer: {adamw: {lr: [0.03, 0.01]}}
"""
LINEAR = """
from torch import nn


def build(shape):
    return nn.Sequential(nn.Flatten(), nn.Linear(shape.inputs[0].shape[0], shape.outputs))
"""


@pytest.fixture
def pair(tmp_path, monkeypatch):
    """A space of two tiny architectures whose comparison takes seconds; one of them is the user's own."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "linear_of_the_test.py").write_text(LINEAR)
    (tmp_path / "pair.yaml").write_text(PAIR)
    return tmp_path


def compare(harness, *arguments):
    return harness("compare", *arguments, "--workers", 0, "--trust")


@pytest.mark.slow
def test_a_comparison_from_the_space_to_the_verdict(pair, harness):
    done = compare(harness, "pair.yaml", "--seeds", 3, "--json")
    assert done.code == 0, done.err
    told = json.loads(done.out)
    assert [family["name"] for family in told["families"]] == ["mlp", "linear"]
    for family in told["families"]:
        assert len(family["values"]) == 3
        assert family["seeds"] == told["families"][0]["seeds"]
        assert family["trials"] == 2
        assert family["device_seconds"] > 0
        assert min(family["values"]) <= family["mean"] <= max(family["values"])
    (found,) = told["pairs"]
    assert found["pairs_used"] == 3
    assert {found["a"], found["b"]} == {"mlp", "linear"}
    assert told["cheapest_not_worse"] in ("mlp", "linear")
    (folder,) = (pair / "results").iterdir()
    assert "-compare-wine-" in folder.name
    assert json.loads((folder / "comparison.json").read_text()) == told
    assert [opening["family"] for opening in json.loads((folder / "openings.json").read_text())["openings"]] == [
        "mlp",
        "linear",
    ]
    for name in ("searches/mlp", "searches/linear", "winners"):
        stats = json.loads((folder / name / "stats.json").read_text())
        assert stats["test"] is None, name


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "name a space"),
        (("digits", "--families", "mlp"), "at least two architectures"),
        (("digits", "--families", "mlp,mlp"), "mlp is named twice"),
        (("digits", "--families", "mlp,cnnn"), "did you mean 'cnn'"),
        (("digits", "--seeds", "1"), "--seeds 1: a number from 2 on, or auto"),
        (("digits", "--seeds", "many"), "--seeds many"),
        (("digits", "--time", "soon"), "--time: 'soon' is not a duration"),
        (("digits", "--margin", "-1"), "margin"),
        (("digits", "--device", "gpu"), "gpu"),
        (("fashion-mnist",), "at least two architectures"),
        (("digits", "wine"), "digits"),
        (("--resume", "nowhere"), "nowhere: no such run"),
        (("digits", "--resume", "nowhere"), "leave out digits"),
        (("digitz",), "did you mean 'digits'"),
    ],
)
def test_bad_input_ends_with_one_line_and_nothing_written(arguments, said, harness, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    done = harness("compare", *arguments)
    assert done.code == 2
    assert said in done.err
    assert len(done.err.strip().splitlines()) == 1
    assert not done.out
    assert list(tmp_path.iterdir()) == []


def test_a_time_in_which_not_every_architecture_can_be_trained_is_refused(pair, harness):
    done = compare(harness, "pair.yaml", "--time", "0.1s")
    assert done.code == 2
    assert "--time" in done.err
    assert not (pair / "results").exists()
