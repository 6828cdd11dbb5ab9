"""The families of the shipped space for series: each learns the digits, column by column."""

import pytest

import harness
from harness.spec import load_spec

pytestmark = pytest.mark.usefixtures("without_charts")

FAMILIES = ["minirocket", "inception_time", "lite", "tcn", "gru", "lstm", "transformer"]
QUICK = ["task=digits", "space.epochs=2", "search.first=[]", "search.baselines=false", "training.final=keep"]


def test_the_space_begins_with_a_candidate_of_each_family():
    first = load_spec("series").search.first
    assert [name for each in first for name in each["architecture"]] == FAMILIES


@pytest.mark.slow
@pytest.mark.parametrize("family", FAMILIES)
def test_a_family_learns_the_digits_in_two_epochs(family, tmp_path):
    overrides = [*QUICK, f"space.architecture={{{family}: {{}}}}", "budget.epochs=2", "space.batch_size=16"]
    trials = harness.search("series", trials=1, overrides=overrides, out=tmp_path, workers=0).trials
    assert trials["value"].item() > 0.5  # one class in ten
