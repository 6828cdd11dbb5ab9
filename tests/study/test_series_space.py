"""The shipped space for series: each of its families learns the digits, column by column."""

import pytest

import harness

FAMILIES = ["lite", "inception_time", "tcn", "gru", "lstm", "transformer"]


@pytest.mark.slow
def test_every_family_of_the_space_learns_the_digits_in_two_epochs(tmp_path):
    overrides = ["budget.epochs=2", "search.pruner=none", "search.baselines=false", "training.final=keep"]
    trials = harness.search("series", trials=len(FAMILIES), overrides=overrides, out=tmp_path, workers=0).trials
    assert trials["architecture"].tolist() == FAMILIES
    assert (trials["value"] > 0.5).all()  # one class in ten
