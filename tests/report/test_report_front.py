"""The report of several objectives: its front is large, its hypervolume true, and no trial is crowned the best."""

from __future__ import annotations

import json
import math
import re
import shutil

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.report import analyse, build, load_run
from harness.report.charts import draw
from harness.report.content import write_content
from harness.report.hypervolume import hypervolume
from harness.report.wording import NOT_MEASURED
from harness.study.pareto import pareto_front


@pytest.fixture(scope="module")
def findings(front_run):
    return analyse(load_run(front_run))


def staircase(front, reference):
    """Return the area between a front of two losses and a reference point, as a sum of rectangles."""
    area, below = 0.0, reference[1]
    for first, second in sorted(front.tolist()):
        if second < below:
            area += (reference[0] - first) * (below - second)
            below = second
    return area


@settings(max_examples=40)
@given(st.lists(st.tuples(st.integers(0, 20), st.integers(0, 20)), min_size=2, max_size=12), st.booleans())
def test_the_hypervolume_is_the_area_of_the_staircase(rows, maximize):
    values = np.array(rows, dtype=float)
    front = values[pareto_front(values, [maximize, False])]
    found = hypervolume(front, [maximize, False])
    if found.reason:
        assert (np.ptp(front, axis=0) == 0).any()
        assert math.isnan(found.volume)
        return
    sign = np.array([-1.0 if maximize else 1.0, 1.0])
    reference = np.array(found.reference) * sign
    worst, ideal = (front * sign).max(axis=0), (front * sign).min(axis=0)
    assert reference == pytest.approx(worst + 0.1 * (worst - ideal))
    assert found.volume == pytest.approx(staircase(front * sign, reference))
    assert found.share == pytest.approx(found.volume / np.prod(reference - ideal))


def test_a_front_of_one_member_has_no_hypervolume():
    found = hypervolume(np.array([[0.9, 3.0]]), [True, False])
    assert math.isnan(found.volume)
    assert found.reason == "the members of the front do not differ in every objective"


@pytest.mark.slow
def test_no_trial_that_went_wrong_moves_the_hypervolume(make_run):
    wish = {"trials": 14, "objective": {"loss": "minimize", "latency_ms": "minimize"}}
    wild = {3: {"value": 900.0, "values": "[900.0, 900.0]"}}
    runs = [make_run(**wish, outcomes={3: "diverged"}), make_run(**wish, outcomes="complete", cells=wild)]
    sound, with_wild = (analyse(load_run(run)).hypervolume for run in runs)
    assert sound == with_wild
    assert sound.volume > 0


def test_the_front_is_the_first_chapter_with_every_member_and_the_one_test_score(findings):
    content = write_content(findings)
    section = content.sections[0]
    assert (section.anchor, section.title) == ("front", "Pareto front")
    (table,) = section.blocks
    members = findings.best[findings.best["front"]]
    assert [row[0] for row in table.rows] == [str(trial) for trial in members["trial"]]
    assert {"validation f1_macro", "latency_ms", "test f1_macro", "parameters", "settings"} <= set(table.columns)
    place = table.columns.index("test f1_macro")
    scores = {row[0]: row[place] for row in table.rows}
    chosen = str(findings.stats["best"]["trial"])
    assert scores.pop(chosen) == f"{findings.stats['test']['metrics']['f1_macro']:.4f}"
    assert set(scores.values()) == {NOT_MEASURED}
    assert "Reference point: f1_macro 0." in section.text[0]
    assert f"Only trial {chosen} was scored on the test samples." in section.text[1]
    (chart,) = draw(findings)["front"]
    assert chart.wide
    assert chart.figure.as_plotly().layout.height > 400


def test_several_objectives_crown_nobody(front_run, tmp_path):
    folder = shutil.copytree(front_run, tmp_path / "run")
    stats = json.loads((folder / "stats.json").read_text("utf-8"))
    scores = {"f1_macro": 0.7, "loss": 0.9}
    baseline = {"name": "class prior", "validation": scores, "test": scores, "seconds": 0.1, "rows": 9, "note": ""}
    row = {"what": "kept weights", "members": 1, "objective": 0.8, "loss": 0.5, "against": "", "chosen": True}
    stats["test"]["decision"] = [{**row, "difference": None, "standard_error": None}]
    (folder / "stats.json").write_text(json.dumps({**stats, "baselines": [baseline]}), "utf-8")
    text = build(folder)["report.md"]
    assert "| **selected: cnn, trial 18**" in text
    assert "## The final model" in text
    assert not re.search("winner|best candidate|the best trial", text, re.IGNORECASE)
    assert "| rank |" not in text
    assert "**Pareto front: 3 of 18 complete candidates are non-dominated in f1_macro (maximize) and lat" in text
    assert "**Test (trial 18 only): f1_macro 0." in text


def test_with_limits_the_verdict_says_who_broke_which(findings, make_run):
    assert write_content(findings).verdict[-1] == (
        "Limits: parameters at most 2,000,000: broken by 2 candidates; latency_ms at most 5: broken by none."
    )
    unlimited = write_content(analyse(load_run(make_run(trials=3, limits="{}"))))
    assert not [line for line in unlimited.verdict if "Limits" in line]


@pytest.mark.slow
def test_of_members_that_are_tied_the_cheapest_is_told(make_run):
    folder = make_run(trials=12, outcomes="complete", objective={"f1_macro": "maximize", "latency_ms": "minimize"})
    stats = json.loads((folder / "stats.json").read_text("utf-8"))
    stats["best"]["tied"] = [1, 2, 3]
    (folder / "stats.json").write_text(json.dumps(stats), "utf-8")
    text = build(folder)["report.md"]
    assert re.search(r"the member of the front with the fewest parameters of the 3 members within one standard", text)
