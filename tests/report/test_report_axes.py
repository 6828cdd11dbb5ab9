"""Axes that one bad trial does not flatten, and captions that say what they leave out."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.report import analyse, load_run, plots, quality_plots
from harness.report.axes import bulk, outside, robust_scale, scale
from harness.report.charts import Chart, draw
from harness.report.figure import Figure


def points(x, y, **layout):
    figure = Figure(layout)
    figure.add("scatter", x=x, y=y)
    return figure


@pytest.mark.parametrize("wild", [900.0, -900.0])
def test_one_trial_that_went_wrong_does_not_flatten_the_others(wild):
    losses = [0.31, 0.33, 0.29, 0.4, 0.35, 0.37]
    low, high = robust_scale([*losses, wild])["range"]
    assert low < min(losses) < max(losses) < high < 0.5
    figure = points(list(range(7)), [*losses, wild], yaxis=robust_scale([*losses, wild]))
    assert outside(figure) == 1
    caption = Chart("loss", figure, "A note.").caption
    assert caption == "A note. 1 point lies partly or wholly outside of the axes; double-click to see it."


@pytest.mark.parametrize(
    "values",
    [
        [0.31, 0.33, 0.29, 0.4, 0.55],
        np.geomspace(1e3, 1e6, 20).tolist(),
        [0.5] * 9 + [0.9],
        [1.0, 2.0, 900.0],
        [],
    ],
    ids=["near", "a wide span of costs", "equal values", "too few", "none"],
)
def test_axes_are_whole_where_nothing_is_far_from_the_rest(values):
    assert bulk(np.array(values)) is None
    assert robust_scale(values) == scale(values)


def test_far_values_over_a_logarithmic_axis_are_left_out_too():
    values = [*np.geomspace(1.0, 50.0, 12), 1e12]
    axis = robust_scale(values)
    assert axis["type"] == "log"
    assert 10 ** axis["range"][1] < 100
    assert outside(points(list(range(13)), values, yaxis=axis)) == 1


@settings(max_examples=50)
@given(st.lists(st.floats(-1e6, 1e6), min_size=5, max_size=40))
def test_what_an_axis_leaves_out_is_far_and_never_half_of_the_values(values):
    ends = bulk(np.array(values))
    if ends is None:
        return
    low, high = ends
    left_out = [value for value in values if not low <= value <= high]
    assert 0 < len(left_out) <= len(values) // 2
    assert max(values) - min(values) >= 3 * (high - low)


def test_an_interval_that_is_cut_counts_and_a_line_does_not():
    figure = Figure({"xaxis": {"type": "log", "range": [-1, 1]}})
    figure.add("scatter", x=[1.0, 2.0], y=[0, 1], error_x={"array": [0.5, 90.0], "arrayminus": [0.5, 0.5]})
    figure.add("scatter", x=[1e-9, 1e9], y=[0, 1], hoverinfo="skip")
    assert outside(figure) == 1


def test_a_missing_value_is_not_outside():
    assert outside(points([0, 1], [None, 5.0], yaxis={"range": [0, 9]})) == 0


@pytest.mark.parametrize(("text", "kind"), [("log: true", "log"), ("step: 64", None)])
def test_a_parameter_that_was_sampled_by_its_logarithm_has_a_logarithmic_axis(make_run, text, kind):
    folder = make_run(trials=6, outcomes="complete", single_parameter=True)
    (folder / "space.yaml").write_text(f"space: {{batch_size: {{int: [64, 256], {text}}}}}")
    run = load_run(folder)
    assert run.log_sampled == ({"batch_size"} if kind else set())
    (chart,) = draw(analyse(run))["importances"]
    assert chart.title == "batch_size"
    assert chart.figure.as_plotly().layout.xaxis.type == kind


def test_a_wild_prediction_leaves_the_targets_in_sight():
    target = np.linspace(0.0, 10.0, 200)
    predicted = np.where(np.arange(200) == 7, 1e6, target + 0.1)
    figure = quality_plots.predicted_against_actual(pd.Series(target), pd.Series(predicted))
    low, high = figure.as_plotly().layout.yaxis.range
    assert -1 < low <= 0 < 10.1 <= high < 11
    assert outside(figure) == 1


@pytest.mark.slow
def test_the_charts_of_a_run_with_a_diverged_trial_say_so(make_run):
    cells = {3: {"value": 900.0, "values": "[900.0]"}}
    run = load_run(make_run(trials=16, outcomes="complete", objective={"loss": "minimize"}, cells=cells))
    (chart,) = draw(analyse(run))["search"]
    assert "1 point lies" in chart.caption
    assert chart.figure.as_plotly().layout.yaxis.range[1] < 10


def test_best_so_far_falls_where_less_is_better(make_run):
    run = load_run(make_run(kind="regression", objective={"rmse": "minimize"}))
    (chart,) = draw(analyse(run))["search"]
    line = next(trace for trace in chart.figure.as_plotly().data if trace.mode == "lines")
    best = [value for value in line.y if value is not None]
    assert best == sorted(best, reverse=True)
    assert best[-1] == pytest.approx(run.trials["value"].min(), rel=1e-5)


def reached(x, y, maximize, at):
    """Return the best y of the points that are at least as good as ``at`` in x."""
    as_good = [b for a, b in zip(x, y, strict=True) if (a >= at if maximize[0] else a <= at)]
    return (max if maximize[1] else min)(as_good) if as_good else math.nan


def drawn(line, at):
    """Return where a line of steps is at ``at``, by Plotly's rule: hv keeps the left value, vh takes the right one."""
    place = next(i for i in range(len(line.x) - 1) if line.x[i] < at < line.x[i + 1])
    return line.y[place if line.line.shape == "hv" else place + 1]


CORNERS = [(0, 4), (1, 2), (3, 1), (5, 0), (8, 1), (10, 3), (11, 6), (10, 8), (7, 10), (5, 11), (2, 9), (1, 7)]


@pytest.mark.parametrize("maximize", [(True, True), (True, False), (False, True), (False, False)])
def test_the_pareto_line_is_what_was_reached_for_every_pair_of_directions(make_run, maximize):
    trials = load_run(make_run(trials=12, outcomes="complete")).trials
    # A grid of which every corner is cut: each of the four fronts has several members.
    x, y = (np.array(side, dtype=float) for side in zip(*CORNERS, strict=True))
    line = plots.trade_off(trials, x, y, ("a", "b"), maximize).as_plotly().data[-1]
    assert len(line.x) >= 3
    for left, right in zip(line.x, line.x[1:], strict=False):
        at = (left + right) / 2
        assert drawn(line, at) == reached(x, y, maximize, at)
