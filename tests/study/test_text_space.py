"""The shipped space for texts, on the docstrings of installed packages, beside TF-IDF and a logistic regression."""

from __future__ import annotations

import pytest

import harness


@pytest.mark.slow
def test_its_first_candidate_is_as_good_as_tfidf_and_a_logistic_regression(tmp_path):
    result = harness.search("text", trials=1, workers=0, device="cpu", deterministic=True, out=tmp_path)
    baselines = {each["name"]: each["test"] for each in result.stats["baselines"]}
    linear = baselines["TF-IDF + logistic regression"]
    assert linear["accuracy"] > 0.8
    assert result.test["accuracy"] >= linear["accuracy"]
    assert result.test["loss"] < linear["loss"]
