"""The shipped space for images: each of its families learns the digits."""

import pytest

import harness

pytestmark = pytest.mark.usefixtures("without_charts")

FAMILIES = ["cnn", "speednet", "resnet", "convnext", "mobilenet", "vit"]


@pytest.mark.slow
def test_every_family_of_the_space_learns_the_digits_in_an_epoch(tmp_path):
    overrides = [
        "budget.epochs=1",
        "search.pruner=none",
        "search.baselines=false",
        "search.checks=false",
        "training.final=keep",
    ]
    trials = harness.search("images", trials=len(FAMILIES), overrides=overrides, out=tmp_path, workers=0).trials
    assert trials["architecture"].tolist() == FAMILIES
    assert (trials["value"] > 0.3).all()  # one class in ten
