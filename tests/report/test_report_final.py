from __future__ import annotations

import json

import pytest

from harness.errors import StorageError
from harness.report import build
from harness.report.wording import NOT_MEASURED

KEPT = {"what": "kept weights", "members": 1, "objective": 0.9, "loss": 0.31, "against": "", "chosen": False}
CUT = {"what": "refit, 3 of 9 epochs", "members": 1, "objective": 0.91, "loss": 0.3, "temperature": 1.5, "chosen": True}
ROWS = [
    {**KEPT, "difference": None, "standard_error": None},
    {**CUT, "against": "kept weights", "difference": -0.01, "standard_error": 0.02},
]


@pytest.fixture
def report_with(make_run):
    """Return a function that changes the test part of a run's stats and returns its report."""

    def report_with(**changes):
        folder = make_run(trials=2, outcomes="complete")
        file = folder / "stats.json"
        stats = json.loads(file.read_text("utf-8"))
        stats["test"] |= changes
        file.write_text(json.dumps(stats), "utf-8")
        return build(folder)["report.md"]

    return report_with


def test_what_was_compared_stands_in_the_report_with_what_was_chosen(report_with):
    text = report_with(decision=ROWS, members=1, rehearsal_s=2.0, refit_s=3.0, figures={})
    chapter = text.partition("## The final model")[2].partition("\n## ")[0]
    unknown = f"{NOT_MEASURED} | {NOT_MEASURED}"
    assert f"| kept weights | 0.9000 | 0.3100 | 1 |  | {unknown} |  |" in chapter
    assert "| refit, 3 of 9 epochs | 0.9100 | 0.3000 | 1.500 | kept weights | -0.01000 | 0.02000 | yes |" in chapter
    assert "The kept weights were selected on validation, so the comparison is biased in their favour." in chapter
    assert "Time taken: rehearsal 2.00 s, refit 3.00 s." in chapter
    assert "average" not in chapter


def test_probabilities_that_were_calibrated_are_told(report_with):
    softer = report_with(decision=ROWS, rehearsal_s=2.0, refit_s=3.0, figures={}, temperature=1.5)
    assert "Calibration: the logits are divided by 1.500 (temperature scaling" in softer
    assert "makes the probabilities softer and leaves the predicted classes as they are" in softer
    assert "Calibration" not in report_with(decision=ROWS, figures={}, temperature=1.0)


def test_an_average_says_how_many_it_is_of_and_what_it_costs(report_with):
    average = {**ROWS[1], "what": "average of 4 refits, 3 of 9 epochs", "members": 4}
    figures = {"parameters": 5928.0, "flops": None, "latency_p50_ms": 0.25}
    rows = [ROWS[0], {**ROWS[1], "chosen": False}, average]
    text = report_with(final="ensemble", members=4, decision=rows, rehearsal_s=2.0, refit_s=3.0, figures=figures)
    assert "averaged over 4 refits on training and validation data; the test set was opened once" in text
    assert "The average of 4 models has 5,928 parameters altogether and a latency of 0.2500 ms" in text
    assert "unless its loss is worse than the kept weights'" in text


def test_an_average_of_trials_names_them_and_says_how_it_was_judged(report_with):
    trials = [{"trial": 3, "weight": 0.75, "architecture": "mlp"}, {"trial": 0, "weight": 0.25, "architecture": "cnn"}]
    average = {**ROWS[1], "what": "average of 2 trials", "members": 2}
    more = {"rehearsal_s": 2.0, "refit_s": 0.0, "figures": {}, "temperature": 0.8}
    text = report_with(final="trials", members=2, trials=trials, decision=[ROWS[0], average], **more)
    assert "averaged over 2 trials with the weights kept from the search; the test set was opened once" in text
    chapter = text.partition("## The final model")[2].partition("\n## ")[0]
    assert "Averaged: trial 3 (75 %, mlp), trial 0 (25 %, cnn)." in chapter
    assert "the half of the validation samples that they were not selected on" in chapter
    assert "Time taken: selection 2.00 s." in chapter
    assert "fitted on its predictions of the validation data" in chapter
    assert "refit" not in chapter


def test_a_run_of_an_older_version_has_no_chapter_on_its_final_model(report_with):
    text = report_with()
    assert "The final model" not in text
    assert "after a refit on training and validation data; the test set was opened once" in text


def test_a_decision_that_is_none_is_refused_by_its_path(report_with):
    with pytest.raises(StorageError, match=r"stats\.json: test\.decision\.0\.what: Field required"):
        report_with(decision=[{"loss": 1.0}])


def test_a_threshold_is_told_with_the_scores_of_the_most_probable_class(report_with):
    about = {"value": 0.125, "by": "cost", "false_positive": 1, "false_negative": 5, "set": "before"}
    plain = {"accuracy": 0.75, "f1_macro": None}
    text = report_with(decision=[], isotonic=True, threshold={**about, "most_probable": plain})
    assert "'Trouser' is predicted from a probability of 0.1250 on, which has the least cost on validation (a" in text
    assert "false positive costs 1, a false negative 5). It was set before the test set was opened." in text
    table = text.partition("| metric | at the threshold | most probable class |")[2].partition("\n\n")[0]
    assert "| 0.7500 |" in table
    assert "Calibration: isotonic regression of each class against the rest" in text
    given = {"value": 0.125, "by": "value", "set": "after", "most_probable": plain}
    assert "which was given. It was set after the test scores were known" in report_with(threshold=given)
    with pytest.raises(StorageError, match=r"stats\.json: test\.threshold\.set: Input should be 'before' or 'after'"):
        report_with(threshold={**about, "set": "never", "most_probable": plain})


def test_isotonic_rows_say_so_in_place_of_a_temperature(report_with):
    text = report_with(decision=[ROWS[0], {**ROWS[1], "isotonic": True}], figures={})
    assert "| refit, 3 of 9 epochs | 0.9100 | 0.3000 | isotonic | kept weights |" in text
