"""On the spaces that come with harness an average is as good as the best trial, as far as the test samples can tell."""

from __future__ import annotations

import pytest

import harness

CASES = {
    "wine": ("tabular", ["task=wine", "budget.epochs=20"], 6),
    "diabetes": ("tabular", ["task=diabetes", "budget.epochs=20"], 6),
    "digits": ("digits", ["budget.epochs=4"], 4),
}


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES)
def test_an_average_is_no_worse_than_the_best_trial(case, tmp_path):
    space, overrides, trials = CASES[case]
    overrides = [*overrides, "search.baselines=false", "training.final=keep"]
    result = harness.search(space, overrides=overrides, trials=trials, workers=0, device="cpu", out=tmp_path)
    score = harness.ensemble(result.run, device="cpu")
    assert score["validation"]["ensemble"] <= score["validation"]["single"] * (1 + 1e-6)
    if score["test"] is None:
        assert len(score["members"]) == 1
        return
    found = score["test"]["differences"]["trial"]
    assert found["mean"] <= found["standard_error"] * (1 + 1e-6)
