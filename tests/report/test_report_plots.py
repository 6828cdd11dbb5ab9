from __future__ import annotations

import json
import math
import re

import numpy as np
import pandas as pd
import pytest

from harness.records import TELEMETRY
from harness.report import analyse, load_run, plots, quality_plots, time_plots
from harness.report.axes import scale
from harness.report.canvas import label
from harness.report.charts import draw
from harness.report.content import write_content
from harness.report.markdown import render_markdown


@pytest.fixture
def findings(usual_findings):
    return usual_findings


def test_the_history_shows_every_trial_once_and_the_running_best(findings):
    figure = plots.history(findings.run.trials, "f1_macro", maximize=True)
    points = [trace for trace in figure.as_plotly().data if trace.mode == "markers"]
    assert sorted(n for trace in points for n in trace.x) == list(range(30))
    assert {trace.name for trace in points} == set(findings.run.trials["outcome"])
    line = next(trace for trace in figure.as_plotly().data if trace.mode == "lines")
    assert line.y[-1] == pytest.approx(findings.run.trials["value"].max(), rel=1e-5)


def test_trials_without_a_score_stand_in_the_strip(findings):
    figure = plots.history(findings.run.trials, "f1_macro", maximize=True)
    strip = {trace.name for trace in figure.as_plotly().data if trace.yaxis == "y2"}
    assert strip == {"infeasible", "oom", "diverged", "crashed"}


def test_a_pointer_over_a_trial_tells_what_was_out_of_the_ordinary(make_run):
    folder = make_run(trials=6, outcomes="complete", repeats={5: 1}, cells={2: {"attempts": 2}})
    figure = plots.history(load_run(folder).trials, "f1_macro", maximize=True)
    texts = dict(zip(figure.as_plotly().data[0].x, figure.as_plotly().data[0].text, strict=True))
    assert texts[5].endswith("<br>same as trial 1, so not trained again")
    assert texts[2].endswith("<br>started 2 times")
    assert texts[0].count("<br>") == 1


def test_the_curves_of_all_trials_end_where_they_were_pruned(findings):
    trials, epochs = findings.run.trials, findings.run.epochs
    figure = plots.every_curve(epochs, trials, "f1_macro")
    pruned = next(trace for trace in figure.as_plotly().data if trace.name == "pruned")
    numbers = trials["trial"][trials["outcome"] == "pruned"]
    assert pruned.x.count(None) == len(numbers) - 1
    drawn = [value for value in pruned.y if value is not None]
    assert drawn == pytest.approx(list(epochs["validation_f1_macro"][epochs["trial"].isin(numbers)]), rel=1e-5)
    assert max(x for x in pruned.x if x is not None) == 3


def test_learning_curves_draw_both_parts_of_each_trial(findings):
    figure = plots.learning_curves(findings.run.epochs, [18, 10], "loss")
    assert [(trace.name, trace.line.dash) for trace in figure.as_plotly().data] == [
        ("trial 18", "solid"),
        ("trial 18", "dot"),
        ("trial 10", "solid"),
        ("trial 10", "dot"),
    ]
    assert all(len(trace.y) == 12 for trace in figure.as_plotly().data)


def test_a_metric_that_was_infinite_throughout_draws_nothing(findings):
    epochs = findings.run.epochs.assign(train_loss=math.inf, validation_loss=math.nan)
    assert len(plots.learning_curves(epochs, [18], "loss").as_plotly().data) == 0


def test_bars_are_ordered_with_the_most_important_on_top(findings):
    bars = plots.importance_bars(findings.importances.table, limit=3)
    assert list(bars.as_plotly().data[0].x) == sorted(bars.as_plotly().data[0].x)
    assert bars.as_plotly().layout.yaxis.ticktext[-1] == "adamw.lr"


def test_a_slice_shows_only_trials_that_have_the_parameter(findings):
    figure = plots.parameter_slice(findings.run.trials, "param.architecture.mlp.depth", "f1_macro")
    assert [trace.name for trace in figure.as_plotly().data] == ["mlp"]
    complete = findings.best[findings.best["architecture"] == "mlp"]
    assert sorted(figure.as_plotly().data[0].x) == sorted(complete["param.architecture.mlp.depth"])


def test_a_slice_of_rates_is_logarithmic_and_one_of_choices_named(findings):
    rates = plots.parameter_slice(findings.run.trials, "param.optimizer.adamw.lr", "f1_macro")
    assert rates.as_plotly().layout.xaxis.type == "log"
    names = plots.parameter_slice(findings.run.trials, "param.architecture", "f1_macro")
    assert names.as_plotly().layout.xaxis.ticktext == ("cnn", "mlp", "transformer")


def test_the_front_of_a_trade_off_is_drawn_from_cheap_to_good(findings):
    best = findings.best
    x, y = best["latency_p50_ms"].to_numpy(float), best["value"].to_numpy(float)
    front = plots.trade_off(best, x, y, ("latency", "f1"), (False, True)).as_plotly().data[-1]
    assert list(front.x) == sorted(front.x)
    assert list(front.y) == sorted(front.y)
    assert front.x[0] == pytest.approx(x.min(), rel=1e-5)
    assert front.y[-1] == pytest.approx(y.max(), rel=1e-5)


def test_the_confusion_matrix_is_coloured_by_share_of_the_row():
    figure = quality_plots.confusion([[8, 2], [0, 0]], ["a", "b"])
    assert figure.as_plotly().data[0].z == ([0.8, 0.2], [0.0, 0.0])
    assert figure.as_plotly().data[0].text == (["8", "2"], ["0", "0"])
    assert "actual a, predicted b: 2 (20.0%)" in figure.as_plotly().data[0].hovertext[0]


def test_many_classes_get_fewer_ticks_and_no_numbers():
    figure = quality_plots.confusion(np.eye(60, dtype=int).tolist(), [f"class {n}" for n in range(60)])
    assert len(figure.as_plotly().layout.xaxis.tickvals) == 20
    assert figure.as_plotly().data[0].texttemplate == ""


def test_many_predictions_are_thinned_and_the_ends_kept():
    values = np.linspace(0, 1, 50_000)
    figure = quality_plots.predicted_against_actual(pd.Series(values), pd.Series(values))
    assert len(figure.as_plotly().data[0].x) == quality_plots.SHOWN_SAMPLES
    assert figure.as_plotly().data[1].x[0] == 0


def test_telemetry_is_averaged_over_equal_stretches():
    times = np.arange(6000.0)
    samples = pd.DataFrame({"time_unix_s": 1e9 + times[::-1], **dict.fromkeys(TELEMETRY, math.nan)})
    samples["cpu_percent"] = samples["time_unix_s"] - 1e9
    line = time_plots.telemetry(samples, ["cpu_percent"], "%").as_plotly().data[0]
    assert len(line.x) == 600
    assert list(line.y) == list(line.x)
    assert line.y[0] == pytest.approx(4.5)


@pytest.mark.parametrize(
    ("values", "kind"),
    [([1e-4, 1e-1], "log"), ([10.0, 20.0], None), ([-1.0, 1000.0], None), ([0.0, 1000.0], None), ([math.nan], None)],
)
def test_only_positive_values_over_a_wide_span_get_a_logarithmic_axis(values, kind):
    assert scale(values).get("type") == kind


def test_ticks_of_a_logarithmic_axis_are_short():
    assert scale([900.0, 2.2e6])["ticktext"] == ["1k", "10k", "100k", "1M"]
    assert scale([0.004, 0.16])["ticktext"] == ["0.003", "0.01", "0.03", "0.1"]


def test_labels_are_text_to_plotly_whatever_they_hold():
    assert label("<b>a</b>\n&") == "&lt;b&gt;a&lt;/b&gt; &amp;"
    assert len(label("x" * 99)) == 28


def test_the_caption_of_the_loss_says_what_makes_the_training_loss_another_one(make_run):
    smoothed = json.dumps({"architecture": {"mlp": {}}, "label_smoothing": 0.1, "augment": {"mixup": 0.2}})
    plain = json.dumps({"architecture": {"mlp": {}}, "label_smoothing": 0.0, "class_weights": "none"})
    cells = {trial: {"candidate": smoothed if trial in (1, 2) else plain} for trial in range(4)}
    curves = draw(analyse(load_run(make_run(trials=4, outcomes="complete", cells=cells))))["curves"]
    notes = {chart.title: chart.note for chart in curves}
    assert re.search(
        r"The training loss includes label smoothing \(trials (1, 2|2, 1)\) and mixup \(trials (1, 2|2, 1)\), the "
        "validation loss does not: do not compare the two",
        notes["loss"],
    )
    assert "smoothing" not in notes["f1_macro"]
    (unsmoothed,) = [
        chart.note
        for chart in draw(analyse(load_run(make_run(trials=4, outcomes="complete"))))["curves"]
        if chart.title == "loss"
    ]
    assert "do not compare" not in unsmoothed


def test_importances_that_mean_nothing_are_not_drawn(make_run):
    values = np.random.default_rng(0).normal(size=16).tolist()
    cells = {trial: {"value": value, "values": f"[{value}]"} for trial, value in enumerate(values)}
    findings = analyse(load_run(make_run(trials=16, outcomes="complete", cells=cells)))
    assert findings.importances.explained <= 0
    assert "Permutation importance" not in [chart.title for chart in draw(findings)["importances"]]
    assert "do not predict the objective" in render_markdown(write_content(findings))
