"""The table of all trials holds what the records say, as numbers to sort by and texts to search."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest

from harness.report import analyse, build, load_run
from harness.report.sheet import trials_sheet

ATTACK = '</script><script>alert(1)</script><img src=x onerror="alert(2)">'


def sheet_of(folder):
    return trials_sheet(analyse(load_run(folder)))


def column(sheet, name):
    place = sheet.columns.index(name)
    return [row[place] for row in sheet.rows]


def test_every_trial_has_a_row_with_its_own_numbers(usual_findings):
    run, sheet = usual_findings.run, trials_sheet(usual_findings)
    assert column(sheet, "trial") == list(range(30))
    assert column(sheet, "outcome") == list(run.trials["outcome"])
    assert column(sheet, "reason") == list(run.trials["reason"])
    for title, name in {"parameters": "parameters", "seconds": "seconds", "f1_macro": "value"}.items():
        shown = [np.nan if value is None else value for value in column(sheet, title)]
        np.testing.assert_allclose(shown, run.trials[name].astype(float), rtol=1e-5)


def test_what_was_not_measured_is_null_and_a_whole_number_keeps_all_its_digits(make_run):
    sheet = sheet_of(make_run(trials=3, outcomes={1: "crashed"}, cells={0: {"parameters": 123_456_789.0}}))
    assert column(sheet, "f1_macro")[1] is None
    assert column(sheet, "parameters")[0] == 123_456_789
    json.dumps(sheet.data, allow_nan=False)


def test_several_objectives_have_a_column_each_and_a_cost_comes_once(front_run):
    sheet = sheet_of(front_run)
    assert {"f1_macro", "latency_ms"} <= set(sheet.columns) & sheet.numeric
    assert "latency p50 (ms)" not in sheet.columns


def test_markdown_names_the_file_instead_of_ten_thousand_rows(usual_texts):
    section = usual_texts["report.md"].split("## All trials")[1].split("## ")[0]
    assert section.strip() == "trials.csv has every trial with all its columns."


@pytest.mark.parametrize("wish", ["architectures", "reason"])
def test_a_name_in_the_table_cannot_end_its_script(make_run, wish):
    page = build(make_run(trials=11, **{wish: (ATTACK,) if wish == "architectures" else ATTACK}))["report.html"]
    (text,) = re.findall(r'<script type="application/json">(.*?)</script>', page)
    data = json.loads(text)
    assert not set(text) & set("<>&")
    assert any(str(cell).startswith("</script><script>") for row in data["rows"] for cell in row)
