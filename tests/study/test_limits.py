import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.errors import Infeasible
from harness.records import Outcome, TrialRecord
from harness.spec import Limits
from harness.study.limits import check, constraints, limits_of, measured

POSITIVE = st.floats(1e-6, 1e9)


def record(outcome=Outcome.COMPLETE, **known):
    return TrialRecord(trial=0, outcome=outcome, reason="because", candidate={}, params={}, **known)


def test_the_reason_has_the_value_the_limit_and_the_margin():
    with pytest.raises(Infeasible, match=r"^latency_ms predicted 7\.31 > limit 5 \(\+46 %\)$"):
        check(Limits(latency_ms=5), {"latency_ms": 7.31}, "predicted")
    with pytest.raises(Infeasible, match=r"^parameters 2,500,000 > limit 2,000,000 \(\+25 %\)$"):
        check(Limits(parameters=2_000_000), {"parameters": 2.5e6}, "counted")


@pytest.mark.parametrize("value", [5.0, 4.9, math.nan])
def test_what_is_at_the_limit_or_not_known_breaks_none(value):
    check(Limits(latency_ms=5.0), {"latency_ms": value}, "measured")
    check(Limits(latency_ms=5.0), {}, "measured")


def test_memory_is_that_of_the_most_exact_meter():
    figures = {"memory_allocated_peak_mib": math.nan, "memory_process_peak_mib": 700.0, "memory_rss_peak_mib": 900.0}
    assert measured(figures, 0)["memory_mb"] == 700.0


def test_training_seconds_are_those_of_the_epochs_that_there_were():
    assert measured({"epoch_s": 0.5}, 6)["train_seconds"] == 3.0
    assert math.isnan(measured({"epoch_s": 0.5}, 0)["train_seconds"])


@settings(max_examples=25)
@given(value=POSITIVE, limit=POSITIVE)
def test_a_constraint_is_broken_exactly_where_the_limit_is(value, limit):
    told = constraints(Limits(latency_ms=limit), record(Outcome.COMPLETE, predicted={"latency_ms": value}))
    assert told == {"latency_ms": pytest.approx(value / limit - 1)}
    assert (told["latency_ms"] > 0) == (value > limit)


def test_what_was_measured_counts_before_what_was_predicted():
    limits = Limits(latency_ms=4.0, flops=100.0)
    known = record(predicted={"latency_ms": 5.0}, figures={"latency_p50_ms": 3.0, "flops": math.nan})
    assert constraints(limits, known) == {"latency_ms": -0.25, "flops": 0.0}


def test_all_complete_trials_are_told_the_same_constraints_as_gaussian_processes_demand():
    limits = Limits(latency_ms=4.0, memory_mb=500.0, energy_j_per_sample=1.0)
    some = constraints(limits, record(predicted={"latency_ms": 3.0}))
    others = constraints(limits, record())
    assert set(some) == set(others) == set(limits_of(limits))


def test_memory_that_only_the_sizes_of_tensors_tell_counts_until_something_else_does():
    limits = Limits(memory_mb=100.0)
    assert constraints(limits, record(Outcome.INFEASIBLE, predicted={"static_memory_mb": 300.0})) == {"memory_mb": 2.0}
    known = record(predicted={"static_memory_mb": 300.0, "memory_mb": 50.0})
    assert constraints(limits, known) == {"memory_mb": -0.5}


def test_seconds_of_a_part_of_the_epochs_do_not_hide_what_was_predicted_of_all():
    limits = Limits(train_seconds=10.0)
    known = {"predicted": {"train_seconds": 9.0}, "figures": {"epoch_s": 0.5}, "epochs": 1}
    assert constraints(limits, record(Outcome.PRUNED, **known)) == {"train_seconds": pytest.approx(-0.1)}
    assert constraints(limits, record(Outcome.COMPLETE, **known)) == {"train_seconds": pytest.approx(-0.95)}


@pytest.mark.parametrize("outcome", [Outcome.INFEASIBLE, Outcome.OOM, Outcome.DIVERGED])
def test_an_outcome_against_the_candidate_is_always_a_broken_constraint(outcome):
    assert constraints(Limits(), record(outcome)) == {str(outcome): 1.0}
    broken = constraints(Limits(latency_ms=1.0), record(outcome, predicted={"latency_ms": 3.0}))
    assert broken == {"latency_ms": 2.0}


@pytest.mark.parametrize("outcome", [Outcome.COMPLETE, Outcome.PRUNED, Outcome.CRASHED, Outcome.TIMEOUT])
def test_other_outcomes_say_nothing_against_it(outcome):
    assert constraints(Limits(), record(outcome)) == {}
