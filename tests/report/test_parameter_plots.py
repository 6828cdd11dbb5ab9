from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest

from harness.report.canvas import SHOWN_TRIALS, thinned
from harness.report.charts import draw
from harness.report.parameter_plots import contour, parallel


def frame_of(x, y, value):
    count = len(x)
    told = {"trial": range(count), "outcome": "complete", "architecture": "mlp", "optimizer": "sgd", "reason": ""}
    empty = dict.fromkeys(("same_as", "micro_batch", "batch_size", "most_epochs", "attempts", "shared_with"), math.nan)
    return pd.DataFrame({**told, **empty, "param.x": x, "param.y": y, "value": value})


def test_a_contour_of_a_plane_is_that_plane_and_nothing_beyond_the_trials():
    rng = np.random.default_rng(0)
    x, y = rng.uniform(1, 3, 60), rng.uniform(-1, 1, 60)
    figure = contour(frame_of(x, y, 3 * x - y), ("param.x", "param.y"), "m", maximize=True, log=())
    surface = figure.as_plotly().data[0]
    heights = np.array(surface.z, dtype=float)
    plane = 3 * np.array(surface.x)[None, :] - np.array(surface.y)[:, None]
    known = np.isfinite(heights)
    assert 0.5 < known.mean() < 1
    np.testing.assert_allclose(heights[known], plane[known], atol=2e-4)


def test_darker_is_better_where_less_is_better_too():
    x, y = np.array([0.0, 1, 0, 1, 0.5]), np.array([0.0, 0, 1, 1, 0.3])
    figures = [contour(frame_of(x, y, x), ("param.x", "param.y"), "m", maximize=way, log=()) for way in (True, False)]
    assert [figure.as_plotly().data[0].reversescale for figure in figures] == [False, True]


def test_trials_on_one_line_have_no_contour():
    x = np.arange(10.0)
    assert contour(frame_of(x, 2 * x + 1, x), ("param.x", "param.y"), "m", maximize=True, log=()) is None


def test_a_parameter_that_was_sampled_by_its_logarithm_is_interpolated_by_it():
    rng = np.random.default_rng(1)
    x, y = 10 ** rng.uniform(-4, -1, 50), rng.uniform(0, 1, 50)
    figure = contour(frame_of(x, y, np.log10(x)), ("param.x", "param.y"), "m", maximize=True, log={"param.x"})
    heights = np.array(figure.as_plotly().data[0].z, dtype=float)
    expected = np.broadcast_to(np.log10(figure.as_plotly().data[0].x), heights.shape)
    known = np.isfinite(heights)
    np.testing.assert_allclose(heights[known], expected[known], atol=2e-4)
    assert figure.as_plotly().layout.xaxis.type == "log"


def test_parallel_coordinates_draw_each_trial_once_with_gaps_for_what_did_not_exist():
    trials = pd.DataFrame(
        {
            "value": [5.0, 4.0, 3.0, 2.0, 1.0],
            "param.kind": ["a", "b", "a", "b", "a"],
            "param.depth": pd.array([1, None, 3, None, 5], dtype="Int64"),
        }
    )
    figure = parallel(trials, ["param.kind", "param.depth"], "m", log=())
    lines = {trace.name: list(trace.y) for trace in figure.as_plotly().data}
    assert list(lines) == ["worst fifth", "fourth", "third", "second", "best fifth"]
    assert lines["best fifth"] == [0.0, 0.0, 1.0, None]
    assert lines["second"] == [1.0, None, 0.75, None]
    assert list(figure.as_plotly().layout.xaxis.ticktext) == ["kind", "depth", "m"]


def test_the_charts_of_parameters_are_named_once_and_say_what_they_leave_out(usual_findings):
    charts = draw(usual_findings)["importances"]
    titles = [chart.title for chart in charts]
    assert titles[0] == "Permutation importance"
    assert "Parallel coordinates" in titles
    assert len(titles) == len(set(titles))
    assert not any("are shown" in chart.note for chart in charts)


@pytest.mark.parametrize("count", [0, 5, SHOWN_TRIALS, 5000])
def test_thinning_keeps_what_it_is_told_to_and_no_more_than_it_must(count):
    keep = np.zeros(count, dtype=bool)
    keep[::100] = True
    drawn = thinned(keep)
    assert drawn[keep].all()
    assert drawn.sum() <= SHOWN_TRIALS + keep.sum()
    assert drawn.all() == (count <= SHOWN_TRIALS)
    assert (drawn == thinned(keep)).all()
