from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.report.charts import draw
from harness.report.time_plots import lanes_of, ledger_bars, timeline

STRETCHES = st.lists(st.tuples(st.integers(0, 50), st.integers(1, 20)), min_size=1, max_size=30)


@given(STRETCHES)
def test_no_two_trials_of_a_lane_ran_at_once_and_no_lane_is_wasted(stretches):
    begins = np.array([begin for begin, _ in stretches], dtype=float)
    ends = begins + [length for _, length in stretches]
    lanes = lanes_of(begins, ends)
    at_once = max(int(((begins <= moment) & (ends > moment)).sum()) for moment in begins)
    assert lanes.max() + 1 == at_once
    for lane in set(lanes):
        mine = np.argsort(begins[lanes == lane], kind="stable")
        assert (begins[lanes == lane][mine][1:] >= ends[lanes == lane][mine][:-1]).all()


def test_the_timeline_has_a_bar_for_each_trial_where_it_ran(usual_findings):
    figure = draw(usual_findings)["telemetry"][0].figure
    bars = [trace for trace in figure.as_plotly().data if trace.type == "bar"]
    assert sorted(start for trace in bars for start in trace.base) == [14.0 * trial for trial in range(30)]
    assert sum(length for trace in bars for length in trace.x) == pytest.approx(
        usual_findings.run.trials["seconds"].sum(), rel=1e-4
    )
    load = figure.as_plotly().data[0]
    assert load.name == "CPU"
    assert 0 <= load.x[0] < load.x[-1] < 14 * 30


def test_those_of_one_program_follow_each_other_for_as_long_as_it_was(usual_findings):
    began, seconds = [100.0, 100.0, 100.0, 101.0, 106.0], [1.1, 2.3, 1.7, 4.0, 2.0]
    trials = usual_findings.run.trials.head(5).assign(outcome="complete", started_unix_s=began, seconds=seconds)
    trials["shared_with"] = pd.array([2, 2, 2, 0, pd.NA], dtype="Int64")
    samples = usual_findings.run.telemetry.head(1).assign(time_unix_s=100.0)
    (bars,) = (trace for trace in timeline(trials, samples).as_plotly().data if trace.type == "bar")
    assert list(bars.y) == [0, 0, 0, 1, 0]
    assert list(bars.base) == pytest.approx([0.0, 1.1, 3.4, 1.0, 6.0], abs=1e-3)
    assert list(bars.x) == pytest.approx(seconds)


def test_the_bars_of_the_ledger_add_up_to_what_was_spent(usual_findings):
    book = usual_findings.book
    assert sum(ledger_bars(book).as_plotly().data[0].x) == pytest.approx(book.device_s, rel=1e-5)
