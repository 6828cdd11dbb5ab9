"""What a trial carries from one stretch to the next: exact facts, and meters joined as if there had been but one."""

import json
import math
from dataclasses import asdict, replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.errors import StorageError
from harness.records import EpochRecord, Figures, Plan
from harness.study.trial.carried import MEANS, SUMS, Carried, joined

PLAN = Plan(
    device="cpu",
    precision="fp32",
    precision_ratio=math.nan,
    precision_reason="fp32 was asked for",
    batch_size=32,
    layout="contiguous",
    layout_reason="",
    data_path="resident",
    data_reason="",
    threads=1,
)


def epoch(number, trial=3):
    metrics = {"loss": math.nan} | {"accuracy": number / 10}
    return EpochRecord(
        trial=trial,
        epoch=number,
        train=metrics,
        validation=metrics,
        learning_rate=0.1,
        gradient_norm=1e-300,
        train_s=0.1,
        validation_s=0.2,
        train_samples_s=1e9,
    )


CARRIED = Carried(
    PLAN, [epoch(1), epoch(2)], 1.5, 1e9, Figures({"power_w": math.nan}, {"power_w": "no GPU"}), ["a note"]
)


def test_the_facts_survive_json_to_the_last_bit():
    again = Carried.from_facts(json.loads(json.dumps(CARRIED.as_facts())))
    assert repr(replace(again, epochs=list(again.epochs))) == repr(CARRIED)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"epochs": [asdict(epoch(2))]}, "its epochs are not the first ones"),
        ({"epochs": [asdict(epoch(1)), asdict(epoch(1))]}, "its epochs are not the first ones"),
        ({"epochs": [{}]}, "validation errors? for Carried"),
        ({"epochs": "many"}, "validation error for Carried"),
        ({"seconds": math.nan}, "its times are invalid"),
        ({"seconds": -1.0}, "its times are invalid"),
        ({"seconds": math.inf}, "its times are invalid"),
        ({"seconds": "soon"}, "validation error"),
        ({"started_unix_s": math.nan}, "its times are invalid"),
        ({"plan": None}, "validation error"),
        ({"plan": asdict(PLAN) | {"threads": 0}}, "its plan"),
        ({"plan": asdict(PLAN) | {"micro_batch": -1}}, "its plan"),
        ({"plan": asdict(PLAN) | {"precision": "fp17"}}, "its plan"),
        ({"plan": asdict(PLAN) | {"layout": "upside_down"}}, "its plan"),
        ({"metered": 3}, "validation error"),
        ({"notes": 3}, "validation error"),
    ],
)
def test_facts_that_no_trial_left_are_refused_in_one_line(change, message):
    with pytest.raises(StorageError, match=f"^checkpoint is damaged: .*{message}") as caught:
        Carried.from_facts(CARRIED.as_facts() | change)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("facts", [{}, [], None, {"x": {"y": 1}}])
def test_facts_of_another_form_are_refused(facts):
    with pytest.raises(StorageError, match=r"^checkpoint is damaged: "):
        Carried.from_facts(facts)


PEAK = "memory_rss_peak_mib"
values = st.floats(0, 1e6) | st.just(math.nan)
seconds = st.floats(0.01, 1e5)
stretches = st.tuples(st.fixed_dictionaries(dict.fromkeys((*SUMS, *MEANS, PEAK), values)), seconds)


@settings(max_examples=50)
@given(one=stretches, two=stretches, three=stretches)
def test_three_stretches_join_as_sums_weighted_means_and_peaks_in_either_order(one, two, three):
    (first, a), (second, b), (third, c) = ((Figures(values), time) for values, time in (one, two, three))
    left = joined(joined(first, a, second, b), a + b, third, c)
    right = joined(first, a, joined(second, b, third, c), b + c)
    for name in (*SUMS, *MEANS, PEAK):
        parts = [part.values[name] for part in (first, second, third)]
        if name in SUMS:
            expected = math.fsum(parts)
        elif name in MEANS:
            expected = math.fsum(value * time for value, time in zip(parts, (a, b, c), strict=True)) / (a + b + c)
        else:
            expected = math.nan if any(map(math.isnan, parts)) else max(parts)
        assert left.values[name] == pytest.approx(expected, rel=1e-9, nan_ok=True)
        assert right.values[name] == pytest.approx(expected, rel=1e-9, nan_ok=True)
        assert math.isnan(expected) == (name in left.reasons)


def test_what_is_not_known_of_one_stretch_is_not_known_of_both_and_says_why():
    measured = Figures({"energy_j": 5.0, PEAK: 10.0}, {"energy_j": "integrated from sampled power"})
    short = Figures({"energy_j": math.nan, PEAK: 20.0}, {"energy_j": "the stretch is too short"})
    for figures in (joined(measured, 1.0, short, 1.0), joined(short, 1.0, measured, 1.0)):
        assert math.isnan(figures.values["energy_j"])
        assert figures.values[PEAK] == 20.0
        assert figures.reasons == {"energy_j": "the stretch is too short"}


def test_the_source_of_a_figure_stays_with_it():
    counted, sampled = Figures({"energy_j": 5.0}), Figures({"energy_j": 2.0}, {"energy_j": "integrated"})
    assert joined(sampled, 1.0, counted, 1.0) == joined(counted, 1.0, sampled, 1.0)
    assert joined(sampled, 1.0, counted, 1.0) == Figures({"energy_j": 7.0}, {"energy_j": "integrated"})


def test_a_meter_that_one_stretch_did_not_have_is_not_taken_for_the_whole():
    figures = joined(Figures(), 1.0, Figures({"power_w": 50.0}), 1.0)
    assert math.isnan(figures.values["power_w"])
    assert figures.reasons == {"power_w": "it was not measured in a part of the trial"}


def test_a_stretch_of_no_time_changes_no_mean():
    assert joined(Figures({"power_w": 50.0}), 0.0, Figures({"power_w": 70.0}), 0.0).values == {"power_w": 50.0}
