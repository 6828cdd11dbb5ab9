"""What was predicted against what came: numbers against closed forms, and what a report makes of them."""

from __future__ import annotations

import math
import re
import statistics

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.records import EpochRecord, Outcome, TrialRecord
from harness.report import analyse, build, load_run
from harness.report.content import write_content
from harness.report.gate_plots import predicted_against_measured
from harness.report.gates import STAGES, TOLERANCE, broken_limits, calibrated, pairs, rejections
from harness.report.markdown import render_markdown
from harness.store import epochs_frame, trials_frame

NUMBERS = st.one_of(st.floats(1e-6, 1e6), st.just(math.nan), st.just(0.0))


def trial(number=0, outcome="complete", predicted=None, **changes):
    fields = {"reason": "why", "candidate": {}, "params": {}, "predicted": predicted or {}, **changes}
    return TrialRecord(trial=number, outcome=Outcome(outcome), **fields)


def frame(*trials):
    return trials_frame(trials, ())


@settings(max_examples=25)
@given(st.lists(st.tuples(NUMBERS, NUMBERS), max_size=12))
def test_calibration_is_that_of_the_closed_forms(numbers):
    trials = [
        trial(n, predicted={"latency_ms": predicted}, figures={"latency_p50_ms": measured})
        for n, (predicted, measured) in enumerate(numbers)
    ]
    found = calibrated(pairs(frame(*trials)))
    tested = [(p, m) for p, m in numbers if p > 0 and m > 0]
    assert len(found) == (1 if tested else 0)
    if tested:
        row = found.iloc[0]
        errors = [abs(p / m - 1) for p, m in tested]
        assert (row["name"], row["trials"]) == ("latency_ms", len(tested))
        assert row["ratio"] == pytest.approx(statistics.median(m / p for p, m in tested))
        assert row["error"] == pytest.approx(statistics.median(errors))
        assert row["close"] == pytest.approx(sum(error <= TOLERANCE for error in errors) / len(tested))


def test_each_prediction_is_held_against_its_own_meter():
    predicted = {
        "latency_ms": 1.0,
        "memory_mb": 2.0,
        "static_memory_mb": 3.0,
        "epoch_s": 4.0,
        "train_seconds": 5.0,
        "energy_j_per_sample": 6.0,
    }
    figures = {
        "latency_p50_ms": 10.0,
        "latency_p95_ms": 99.0,
        "memory_allocated_peak_mib": 20.0,
        "memory_rss_peak_mib": 99.0,
        "epoch_s": 40.0,
        "energy_j": 99.0,
        "energy_j_per_sample": 60.0,
    }
    found = pairs(frame(trial(7, predicted=predicted, figures=figures)))
    assert found[["name", "trial", "predicted", "measured"]].to_numpy().tolist() == [
        ["latency_ms", 7, 1.0, 10.0],
        ["memory_mb", 7, 2.0, 20.0],
        ["static_memory_mb", 7, 3.0, 20.0],
        ["epoch_s", 7, 4.0, 40.0],
        ["energy_j_per_sample", 7, 6.0, 60.0],
    ]


@pytest.mark.parametrize("value", [1e-300, 1e300, math.inf])
def test_numbers_that_no_meter_reads_test_no_prediction(value):
    trials = frame(trial(predicted={"latency_ms": value}, figures={"latency_p50_ms": 1.0}))
    assert pairs(trials).empty
    assert calibrated(pairs(trials)).empty


LIMITS = {
    "parameters": 100,
    "flops": 1e6,
    "latency_ms": 5.0,
    "memory_mb": 64.0,
    "energy_j_per_sample": 0.5,
    "train_seconds": 60.0,
}
BROKEN = {
    "parameters": ({"figures": {"parameters": 101.0}}, [("parameters", "counted")]),
    "flops": ({"figures": {"parameters": 9.0, "flops": 2e6}}, [("flops", "counted")]),
    "sizes of tensors": ({"predicted": {"static_memory_mb": 70.0}}, [("memory_mb", "counted")]),
    "probed memory": ({"predicted": {"static_memory_mb": 60.0, "memory_mb": 70.0}}, [("memory_mb", "probed")]),
    "measured memory": (
        {"predicted": {"memory_mb": 60.0}, "figures": {"memory_rss_peak_mib": 70.0}},
        [("memory_mb", "measured")],
    ),
    "probed latency": ({"predicted": {"latency_ms": 7.31}}, [("latency_ms", "probed")]),
    "measured latency": (
        {"predicted": {"latency_ms": 4.9}, "figures": {"latency_p50_ms": 5.4}},
        [("latency_ms", "measured")],
    ),
    "probed energy": ({"predicted": {"energy_j_per_sample": 0.6}}, [("energy_j_per_sample", "probed")]),
    "probed time": ({"predicted": {"train_seconds": 61.0}}, [("train_seconds", "probed")]),
    "measured time": ({"epochs": 7, "figures": {"epoch_s": 10.0}}, [("train_seconds", "measured")]),
    "several": (
        {"predicted": {"latency_ms": 6.0, "train_seconds": 99.0}},
        [("latency_ms", "probed"), ("train_seconds", "probed")],
    ),
    "just within": ({"figures": {"parameters": 100.0}, "predicted": {"latency_ms": 5.0}}, []),
    "nothing known": ({}, []),
}


@pytest.mark.parametrize("case", BROKEN)
def test_the_limit_that_was_broken_and_where_are_told_by_numbers(case):
    changes, expected = BROKEN[case]
    found = broken_limits(frame(trial(3, "infeasible", **changes)), epochs_frame(()), LIMITS)
    assert list(zip(found["limit"], found["stage"], strict=True)) == expected
    assert set(found["trial"]) <= {3}


def test_a_training_that_was_stopped_by_its_time_is_judged_by_all_its_epochs():
    spent = [(10.0, 2.0), (40.0, math.nan), (8.0, 1.0)]
    epochs = [
        EpochRecord(
            trial=3,
            epoch=number,
            train={},
            validation={},
            learning_rate=0.1,
            gradient_norm=1.0,
            train_s=train_s,
            validation_s=validation_s,
            train_samples_s=1.0,
        )
        for number, (train_s, validation_s) in enumerate(spent, start=1)
    ]
    slow = trial(3, "infeasible", epochs=3, figures={"epoch_s": 12.0})
    found = broken_limits(frame(slow, trial(4, "infeasible")), epochs_frame(epochs), {"train_seconds": 60.0})
    assert found.to_numpy().tolist() == [[3, "train_seconds", "measured"]]
    assert broken_limits(frame(slow), epochs_frame(epochs), {"train_seconds": 61.0}).empty


def test_every_limit_has_a_row_and_every_rejection_a_place_in_it():
    trials = [trial(n, "infeasible", **changes) for n, (changes, _) in enumerate(BROKEN.values())]
    table = rejections(broken_limits(frame(*trials), epochs_frame(()), LIMITS), LIMITS).set_index("limit")
    assert table["at_most"].to_dict() == LIMITS
    assert (table[list(STAGES)].sum(axis=1) == table["trials"]).all()
    assert table["trials"].sum() == sum(len(expected) for _, expected in BROKEN.values())
    assert table.loc["memory_mb", list(STAGES)].tolist() == [1, 1, 1]


def chapter(folder):
    """Return the chapter on gates, or nothing."""
    text = render_markdown(write_content(analyse(load_run(folder))))
    found = re.search(r"\n## Predicted and measured\n(.*?)\n## ", text, flags=re.DOTALL)
    return found[1] if found else ""


def columns(section, first):
    """Return the rows of the table of the chapter whose first column has this name."""
    lines = section[section.index(f"| {first} |") :].split("\n\n")[0].splitlines()[2:]
    return {cells[0]: cells[1:] for cells in ([c.strip() for c in line.strip("| ").split(" | ")] for line in lines)}


def test_the_chapter_says_how_well_predictions_were_met(usual_run):
    table = columns(chapter(usual_run), "prediction")
    trials = pd.read_parquet(usual_run / "trials.parquet").query("outcome == 'complete'")
    ratio = np.median(trials["epoch_s"] / trials["predicted_epoch_s"])
    error = (trials["predicted_epoch_s"] / trials["epoch_s"] - 1).abs()
    shown = table["epoch (s)"]
    assert shown[0] == str(len(trials))
    assert float(shown[1]) == pytest.approx(ratio, rel=1e-3)
    assert shown[2] == f"{100 * error.median():.1f} %"
    assert shown[3] == f"{100 * (error <= 0.25).mean():.1f} %"
    assert list(table) == [
        "latency (ms)",
        "memory, by the probe (MiB)",
        "memory, by the sizes of tensors (MiB)",
        "epoch (s)",
    ]


REJECTED = {
    0: {"outcome": "infeasible", "epochs": 0, "values": "[]", "parameters": 9e4, "predicted_latency_ms": 7.31},
    1: {"outcome": "infeasible", "epochs": 0, "values": "[]", "parameters": 3e6, "predicted_train_seconds": math.nan},
    2: {"outcome": "infeasible", "epochs": 12, "values": "[]", "parameters": 9e4, "latency_p50_ms": 5.4},
    3: {"outcome": "infeasible", "epochs": 0, "values": "[]", "parameters": 9e4, "predicted_latency_ms": 1.0},
}
for number in (0, 3):
    REJECTED[number] |= {"predicted_train_seconds": 50.0, "latency_p50_ms": math.nan}
REJECTED[1] |= {"predicted_latency_ms": math.nan}
REJECTED[2] |= {"predicted_latency_ms": 4.9}


def test_the_chapter_says_what_was_rejected_where_and_what_that_saved(make_run):
    wishes = {"trials": 8, "outcomes": "complete", "limits": "{parameters: 2_000_000, latency_ms: 5}"}
    section = chapter(make_run(**wishes, cells=REJECTED, repeats={7: 0}))
    assert columns(section, "limit") == {
        "parameters": ["2,000,000", "1", "1", "0", "0"],
        "latency_ms": ["5 ms", "2", "0", "1", "1"],
    }
    assert "Rejected before training: 3 candidates, which saved 100.0 s of training, predicted and not measured" in (
        section
    )
    assert " measured (not counted: 1 without a prediction)." in section
    assert "1 infeasible trial broke no limit by a number that was recorded." in section
    assert "Gates took 1.75 s, " in section


def test_what_was_not_predicted_is_said_to_be_unknown(make_run):
    folder = make_run(trials=10, gated=False)
    section = chapter(folder)
    assert "Rejected before training: 1 candidate; what training them would have cost was not predicted." in section
    assert "| prediction |" not in section
    assert 'data-chart="chart-gates' not in build(folder)["report.html"]


def test_a_run_without_predictions_and_limits_has_no_such_chapter(make_run):
    folder = make_run(trials=4, outcomes="complete", gated=False, limits="{}")
    texts = build(folder)
    assert "Predicted and measured" not in texts["report.md"]
    assert 'id="gates"' not in texts["report.html"]


def test_a_run_with_predictions_and_no_limits_has_no_table_of_rejections(make_run):
    section = chapter(make_run(trials=4, outcomes="complete", limits="{latency_ms: null}"))
    assert "| prediction |" in section
    assert "| limit |" not in section


def test_the_figure_has_predictions_over_measurements_on_axes_of_one_range():
    names = ["memory_mb", "static_memory_mb", "epoch_s"]
    table = pd.DataFrame({"name": names, "trial": [4, 4, 4], "predicted": [90.0, 9.0, 1e9], "measured": [100.0] * 3})
    labels = {"memory_mb": "by the probe", "static_memory_mb": "by the sizes of tensors"}
    figure = predicted_against_measured(table, labels, "MiB").as_dict()
    probe, static, *lines = figure["data"]
    assert (probe["x"], probe["y"], static["y"]) == ([100.0], [90.0], [9.0])
    assert probe["text"] == ["trial 4: predicted 90, measured 100 (-10%)"]
    assert (probe["name"], static["name"]) == ("by the probe", "by the sizes of tensors")
    assert [line["y"][0] / line["x"][0] for line in lines] == pytest.approx([1.0, 1.25, 0.75])
    axes = figure["layout"]["xaxis"], figure["layout"]["yaxis"]
    for axis in axes:
        assert axis["type"] == "log"
        assert axis["range"] == pytest.approx([math.log10(6), math.log10(150)])
        assert axis["ticktext"] == ["10", "30", "100"]
    assert [axis["title"]["text"] for axis in axes] == ["measured (MiB)", "predicted (MiB)"]


def test_a_single_trial_has_an_axis_with_ticks():
    one = pd.DataFrame({"name": ["latency_ms"], "trial": [0], "predicted": [0.0831], "measured": [0.0831]})
    figure = predicted_against_measured(one, {"latency_ms": "trial"}, "ms")
    assert len(figure.as_plotly().layout.xaxis.tickvals) >= 2
