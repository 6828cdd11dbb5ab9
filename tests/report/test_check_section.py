"""What checks of the data noticed, in the report and among its warnings."""

import json
from dataclasses import asdict

from harness.data.suspicion import Suspicion
from harness.report import build, load_run, result_warnings

FOUND = (
    Suspicion("target-leak", "column 'a|<b>' alone explains 99.1 %", "put it under `drop`", subject="a|<b>"),
    Suspicion("copies", "1 of 60 test samples", "remove the copies", share=1 / 60),
    Suspicion("outliers", "column 'x' has 2 values", "correct them", subject="x", examples=("sample 17: 9999", "more")),
)


def with_checks(folder, *formats, **told):
    stats = json.loads((folder / "stats.json").read_text())
    (folder / "stats.json").write_text(json.dumps({**stats, "task": {**stats["task"], **told}}))
    return build(folder, formats)


def test_what_was_noticed_stands_in_a_table_of_its_own(make_run):
    run = make_run()
    texts = with_checks(run, "md", "html", suspicions=[asdict(each) for each in FOUND], unchecked="")
    section = texts["report.md"].partition("## Data checks\n")[2].partition("\n## ")[0]
    first, _, third = [line for line in section.splitlines() if line.startswith("| ")][2:]
    assert first.startswith("| target-leak | column 'a\\|&lt;b&gt;' alone explains 99.1 % |")
    assert "sample 17: 9999; more" in third
    assert "a|<b>" not in texts["report.html"]
    (warning,) = [each for each in result_warnings(load_run(run)) if each.code == "target-leak"]
    assert warning.text == "Column 'a|<b>' alone explains 99.1 %. Put it under `drop`."


def test_what_was_not_checked_is_said_and_nothing_of_older_runs(make_run, usual_run):
    texts = with_checks(make_run(), "md", suspicions=[], unchecked="the data were not checked: search.checks is false")
    assert "The data were not checked: search.checks is false." in texts["report.md"]
    assert "Data checks" not in build(usual_run, ("md",))["report.md"]
