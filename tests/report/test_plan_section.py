from __future__ import annotations

import math

from harness.report import load_run
from harness.report.plan_section import plan_choices


def test_each_choice_is_counted_with_what_it_cost_and_why_it_was_made(make_run):
    cells = {2: {"precision": "fp32", "precision_reason": "bf16 measured 0.58x fp32"}, 5: {"seconds": 100.0}}
    trials = load_run(make_run(trials=6, outcomes="complete", cells=cells, repeats={4: 1})).trials
    rows = {row[:2]: row[2:] for row in plan_choices(trials).rows}
    assert rows["precision", "fp32"][0] == "1"
    assert rows["precision", "fp32"][2] == "bf16 measured 0.58x fp32"
    assert rows["precision", "bf16"][0] == "4", "the repeat was not trained"
    own = trials[trials["same_as"].isna()]
    for size, mine in own.groupby("micro_batch"):
        assert rows["samples at once", str(size)][0] == str(len(mine))
    assert rows["layout", "channels_last"][2] == "channels_last measured 1.70x contiguous"


def test_an_older_run_has_the_size_of_its_batches(usual_run):
    trials = load_run(usual_run).trials
    assert plan_choices(trials.assign(micro_batch=math.nan)) == plan_choices(trials)


def test_trials_that_were_never_planned_do_not_count(usual_run):
    trials = load_run(usual_run).trials
    assert plan_choices(trials.assign(device=None)).rows == ()
