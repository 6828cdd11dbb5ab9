"""The rules of the warnings, and where they and the baselines stand in a report."""

import json
import math
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.report import best_baseline, build, load_run, result_warnings

GOOD = {"loss": 0.2, "accuracy": 0.9, "f1_macro": 0.9, "recall_macro": 0.9}
PRIOR = {"loss": 0.69, "accuracy": 0.6, "f1_macro": 0.37, "recall_macro": 0.5}


def baseline(name, scores, *, scored=True, note=""):
    test = scores if scored else None
    return {"name": name, "validation": scores, "test": test, "seconds": 0.5, "rows": 700, "note": note}


@pytest.fixture(scope="module")
def two_classes(usual_run):
    """A function from scores to a run of two classes with these scores."""
    run = load_run(usual_run)

    def make(
        test, *, validation=GOOD, baselines=(), task=None, candidate=None, predictions=None, final="refit", **more
    ):
        known = {"name": "t", "kind": "classification", "classes": ["a", "b"], "train": 700, "validation": 150}
        stats = {
            **run.stats,
            "task": {**run.stats["task"], **known, "test": 150, **(task or {})},
            "best": {**run.stats["best"], "validation": validation, "candidate": candidate or {}},
            "test": {"final": final, "opened": 1, "metrics": test, "per_class": None, "confusion": None},
            "baselines": list(baselines),
            **more,
        }
        return replace(run, stats=stats, predictions=predictions)

    return make


VALUES = {"objective": [{"metric": "rmse", "direction": "minimize"}], "task": {"kind": "regression", "classes": []}}
HUBER = {**VALUES, "candidate": {"loss": "huber"}}
PRIOR_ROW = baseline("class prior", PRIOR)
SUPPORT = {"class": ["a", "b"], "precision": [0, 0], "recall": [0, 0], "f1": [0, 0], "support": [90, 60]}

CASES = {
    "all is well": (GOOD, {"baselines": [PRIOR_ROW]}, []),
    "no baselines": (GOOD, {}, []),
    "loss above the prior's": ({**GOOD, "loss": 0.7}, {"baselines": [PRIOR_ROW], "validation": {}}, ["guess", "base"]),
    "loss above log C": ({**GOOD, "loss": 0.7}, {"validation": {}}, ["guess"]),
    "loss just below log C": ({**GOOD, "loss": 0.693}, {"validation": {}}, []),
    "accuracy of the commonest": ({**GOOD, "accuracy": 0.6}, {"baselines": [PRIOR_ROW]}, ["guess"]),
    "all right, of one class": (
        {**GOOD, "accuracy": 1.0, "f1_macro": 1.0},
        {"baselines": [baseline("class prior", {"accuracy": 1.0})]},
        [],
    ),
    "balanced weights": (
        {"loss": 0.75, "accuracy": 0.55, "f1_macro": 0.54, "recall_macro": 0.6},
        {"candidate": {"class_weights": "balanced"}, "validation": {}},
        [],
    ),
    "balanced weights, no better": (
        {"loss": 0.75, "accuracy": 0.55, "f1_macro": 0.54, "recall_macro": 0.5},
        {"candidate": {"class_weights": "balanced"}, "validation": {}},
        ["guess"],
    ),
    "the mean does as well": ({"loss": 1.0, "rmse": 2.0, "r2": 0.0}, {**VALUES, "validation": {}}, ["guess"]),
    "values are fine": ({"loss": 0.5, "rmse": 2.0, "r2": 0.5}, {**VALUES, "validation": {}}, []),
    "a smaller error": (
        {"loss": 0.5, "rmse": 2.0, "r2": 0.5},
        {**VALUES, "validation": {}, "baselines": [baseline("ridge", {"rmse": 1.9, "loss": 0.6})]},
        ["base"],
    ),
    "a Huber loss is no squared error": (
        {"loss": 0.5, "rmse": 2.0, "r2": 0.5},
        {**HUBER, "validation": {}, "baselines": [baseline("ridge", {"rmse": 2.1, "loss": 0.4})]},
        [],
    ),
    "a baseline that failed": (
        GOOD,
        {"baselines": [baseline("x", {}, scored=False), baseline("y", {"loss": None, "f1_macro": None})]},
        [],
    ),
    "test far from validation": ({**GOOD, "loss": 0.26}, {}, ["refit-far"]),
    "kept, and far": ({**GOOD, "loss": 0.26}, {"final": "keep"}, ["test-far"]),
    "test near validation": ({**GOOD, "loss": 0.25}, {}, []),
    "few validation samples": (GOOD, {"task": {"validation": 49}}, ["tiny"]),
    "enough validation samples": (GOOD, {"task": {"validation": 50}}, []),
}
CODES = {
    "guess": "worse-than-guessing",
    "base": "worse-than-baseline",
    "refit-far": "refit-far-from-validation",
    "test-far": "test-far-from-validation",
    "tiny": "tiny-validation",
}


@pytest.mark.parametrize("name", CASES)
def test_a_result_has_the_warnings_that_it_deserves(name, two_classes):
    test, changes, expected = CASES[name]
    warnings = result_warnings(two_classes(test, **changes))
    assert [warning.code for warning in warnings] == [CODES[short] for short in expected]
    assert all(any(char.isdigit() for char in warning.evidence) and warning.remedy for warning in warnings)


def test_a_run_without_a_winner_has_none(two_classes):
    assert result_warnings(two_classes(GOOD, best=None)) == ()


def test_the_commonest_class_is_counted_where_no_baseline_tells_it(two_classes):
    run = two_classes({**GOOD, "accuracy": 0.59})
    run.stats["test"]["per_class"] = SUPPORT
    (warning,) = result_warnings(run)
    assert "0.6000" in warning.evidence


@given(own=st.floats(0.01, 0.99), other=st.floats(0.01, 0.99))
def test_a_baseline_is_named_exactly_when_it_is_better(own, other, two_classes):
    test, rival = {**GOOD, "f1_macro": own}, baseline("rival", {"f1_macro": other, "loss": 0.3})
    found = [w for w in result_warnings(two_classes(test, baselines=[rival])) if w.code == "worse-than-baseline"]
    assert len(found) == (other > own)
    assert all("rival" in warning.evidence and "rival" in warning.remedy for warning in found)


def test_the_best_baseline_is_the_best_by_the_metric(two_classes):
    one, two = baseline("one", {"f1_macro": 0.8, "loss": 0.1}), baseline("two", {"f1_macro": 0.9, "loss": 0.3})
    stats = two_classes(GOOD, baselines=[one, two]).stats
    assert best_baseline(stats, "f1_macro")["name"] == "two"
    assert best_baseline(stats, "loss")["name"] == "one"
    assert best_baseline(two_classes(GOOD).stats, "loss") is None


def test_a_small_lead_is_called_chance(two_classes):
    rival = baseline("rival", {"accuracy": 0.92, "f1_macro": 0.92})
    (warning,) = result_warnings(two_classes(GOOD, baselines=[rival]))
    assert "within two standard errors on 150 samples" in warning.evidence  # sqrt(0.9 * 0.1 / 150) is 0.024
    (warning,) = result_warnings(two_classes(GOOD, baselines=[rival], task={"test": 15_000}))
    assert "standard errors" not in warning.evidence


@pytest.mark.parametrize(("sure", "expected"), [(True, ["refit-far-from-validation"]), (False, [])])
def test_test_and_validation_are_far_apart_only_beyond_two_standard_errors(sure, expected, two_classes):
    samples = 150
    chances = np.full(samples, math.exp(-0.3))
    if not sure:  # the same mean loss, from a few samples that are far off
        chances = np.where(np.arange(samples) < 3, math.exp(-15.0), 1.0)
    targets = np.arange(samples) % 2
    table = np.where(targets[:, None] == np.arange(2), chances[:, None], 1 - chances[:, None])
    predictions = pd.DataFrame({"index": range(samples), "target": targets, "predicted": targets})
    predictions = predictions.assign(probability_0=table[:, 0], probability_1=table[:, 1])
    run = two_classes({**GOOD, "loss": 0.3}, predictions=predictions)
    assert [warning.code for warning in result_warnings(run)] == expected


def with_baselines(folder, *rows):
    stats = json.loads((folder / "stats.json").read_text())
    (folder / "stats.json").write_text(json.dumps({**stats, "baselines": list(rows)}))
    return build(folder)


def test_warnings_and_baselines_stand_in_both_forms_of_the_report(make_run):
    best = baseline("boosting <b>", {"f1_macro": 0.99, "loss": None}, note="20 rounds | to save time")
    skipped = baseline("logistic regression", {"f1_macro": None, "loss": None}, scored=False, note="skipped: no time")
    texts = with_baselines(make_run(), best, skipped)
    markdown, page = texts["report.md"], texts["report.html"]
    assert markdown.index("> **Warning, worse-than-baseline:** Test f1_macro") < markdown.index("## ")
    section = markdown[markdown.index("## Comparison with baselines") :].partition("\n## ")[0]
    winner, first, second = [line for line in section.splitlines() if line.startswith("| ")][2:]
    assert winner.startswith("| **winner: ")
    assert "| 0.9900 | 0.9900 | -0." in first
    assert "20 rounds \\| to save time" in first
    assert second.endswith("| skipped: no time |")
    assert page.index("Warning: worse-than-baseline") < page.index('<section id="search"')
    assert '<section id="baselines"' in page
    assert '<tr class="marked">' in page
    assert "boosting <b>" not in page


def test_a_run_from_before_the_baselines_is_reported_without_them(usual_run, usual_texts):
    assert "baselines" not in json.loads((usual_run / "stats.json").read_text())
    assert "Comparison with baselines" not in usual_texts["report.md"]
    assert 'id="baselines"' not in usual_texts["report.html"]
    assert "Warning" not in usual_texts["report.md"]
