"""What a notebook and a prompt show of a run: short, true, and text where a name looks like a tag."""

from __future__ import annotations

import pytest

from harness.report import analyse, load_run, run_html, run_line
from harness.report.notebook import table_html


def test_a_run_is_one_line_and_a_small_table(usual_run):
    findings = analyse(load_run(usual_run))
    line = "fashion-mnist: 18 of 30 trials complete; winner: trial 18; test f1_macro 0.9168"
    assert repr(findings) == f"<Findings {line}>"
    assert repr(findings.run) == "<RunFiles fashion-mnist: 30 trials>"
    html = findings._repr_html_()
    assert html.startswith(f"<p>{line}</p><table>")
    assert html.count("<tr>") == 6
    assert "<td>0.8893</td>" in html
    assert "out-of-bag R²" in repr(findings.importances)
    assert "<td>" in findings.importances._repr_html_()


def test_of_several_objectives_a_trial_is_selected_and_none_is_the_winner(front_run):
    run = load_run(front_run)
    assert "; selected: trial 18; test f1_macro 0.9168" in run_line(run.trials, run.stats)
    assert "winner" not in run_html(run.trials, run.stats)


@pytest.mark.parametrize("outcome", ["crashed", "pruned"])
def test_a_run_without_a_winner_says_so(make_run, outcome):
    run = load_run(make_run(trials=3, outcomes=outcome))
    expected = "fashion-mnist: 0 of 3 trials complete; no winner; not evaluated on the test set"
    assert run_line(run.trials, run.stats) == expected
    assert run_html(run.trials, run.stats) == f"<p>{expected}</p>"


def test_names_are_text():
    assert table_html([{"<b>": "a & b"}]) == (
        "<table><thead><tr><th>&lt;b&gt;</th></tr></thead><tbody><tr><td>a &amp; b</td></tr></tbody></table>"
    )
