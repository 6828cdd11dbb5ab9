import math
from dataclasses import replace
from statistics import median

import numpy as np
import optuna
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.errors import SpecError
from harness.problems import known_metrics
from harness.records import EpochRecord, Outcome, TrialRecord
from harness.spec import COST, parse_spec
from harness.study.decide.dominance import Dominance, judgeable
from harness.study.decide.pruners import pruner_name
from harness.study.objectives import Objective

ALL = 10**6
"""A horizon behind which there is nothing."""
SPACE = "task: digits\nspace: {architecture: mlp}"
ACCURACY = Objective("accuracy", maximize=True)
LOSS = Objective("loss", maximize=False)
PARAMETERS = Objective("parameters", maximize=False)
SPEED = Objective("train_samples_s", maximize=True)


def epochs_of(trial, rows):
    """Return epochs whose validation is each row's mapping; ``rate`` is the training speed."""
    return [
        EpochRecord(
            trial=trial,
            epoch=i,
            train={},
            validation={k: v for k, v in row.items() if k != "rate"},
            learning_rate=0.1,
            gradient_norm=1.0,
            train_s=1.0,
            validation_s=0.1,
            train_samples_s=row.get("rate", 100.0),
        )
        for i, row in enumerate(rows, 1)
    ]


def record_of(trial, figures, outcome=Outcome.COMPLETE):
    return TrialRecord(trial=trial, outcome=outcome, reason="r", candidate={}, params={}, figures=figures)


def tell(dominance, trial, rows, outcome=Outcome.COMPLETE, **figures):
    dominance.tell(record_of(trial, figures, outcome), epochs_of(trial, rows))


@settings(max_examples=40)
@given(
    seed=st.integers(0, 10**6),
    complete=st.integers(0, 13),
    budget=st.integers(1, 12),
    maximize=st.booleans(),
    grid=st.sampled_from([4, 1000]),
)
def test_with_one_objective_it_is_the_median_rule_of_optuna(seed, complete, budget, maximize, grid):
    """The two differ only where the value lies between the two middle ones of an even number of trials."""
    rng = np.random.default_rng(seed)
    objective = ACCURACY if maximize else LOSS
    dominance = Dominance([objective], budget)
    study = optuna.create_study(direction=objective.direction)
    pruner = optuna.pruners.MedianPruner(n_startup_trials=5, n_warmup_steps=1 + budget // 5)
    curves = []
    for trial in range(complete):
        curve = rng.integers(0, grid, rng.integers(1, budget + 1)) / grid
        curves.append(curve)
        values = {i: float(v) for i, v in enumerate(curve, 1)}
        study.add_trial(optuna.trial.create_trial(value=float(curve[-1]), intermediate_values=values))
        tell(dominance, trial, [{objective.metric: float(v)} for v in curve])
    running = study.ask()
    ours = []
    for epoch, value in enumerate(rng.integers(0, grid, budget) / grid, 1):
        ours.append({objective.metric: float(value)})
        running.report(float(value), epoch)
        expected = pruner.prune(study, study.trials[-1])
        reason = dominance.should_prune(epochs_of(99, ours), {}, horizon=ALL)
        theirs = [curve[epoch - 1] for curve in curves if len(curve) >= epoch]
        best = (max if maximize else min)(row[objective.metric] for row in ours)
        better = sum(v > best if maximize else v < best for v in theirs)
        if 2 * better == len(theirs):
            assert bool(reason) == (len(theirs) > 0 and complete >= 5 and epoch >= 1 + budget // 5)
        else:
            assert bool(reason) == expected
        if expected:
            assert reason


def test_what_half_of_the_trials_dominate_is_given_up_and_what_is_traded_is_not():
    dominance = Dominance([ACCURACY, PARAMETERS], 5)
    for trial in range(6):
        tell(dominance, trial, [{"accuracy": 0.5 + trial / 100}] * 5, parameters=1000.0 + 100 * trial)
    worse = epochs_of(9, [{"accuracy": 0.4}] * 2)
    assert (
        dominance.should_prune(worse, {"parameters": 1200.0}, horizon=ALL)
        == "at epoch 2, 3 of 6 trials were better in accuracy and parameters at once"
    )
    assert dominance.should_prune(worse, {"parameters": 1199.0}, horizon=ALL) == ""
    better = epochs_of(9, [{"accuracy": 0.9}] * 2)
    assert dominance.should_prune(better, {"parameters": 1e9}, horizon=ALL) == ""


def test_an_equal_is_not_better():
    dominance = Dominance([ACCURACY, PARAMETERS], 5)
    for trial in range(6):
        tell(dominance, trial, [{"accuracy": 0.5}] * 5, parameters=10.0)
    assert dominance.should_prune(epochs_of(9, [{"accuracy": 0.5}] * 3), {"parameters": 10.0}, horizon=ALL) == ""
    assert dominance.should_prune(epochs_of(9, [{"accuracy": 0.5}] * 3), {"parameters": 11.0}, horizon=ALL)


def test_the_best_epoch_so_far_speaks_for_a_trial_in_every_quality():
    dominance = Dominance([ACCURACY, LOSS], 5)
    for trial in range(5):
        tell(dominance, trial, [{"accuracy": 0.6, "loss": 0.5}] * 5)
    rows = [{"accuracy": 0.5, "loss": 0.4}, {"accuracy": 0.4, "loss": 0.9}]
    assert dominance.should_prune(epochs_of(9, rows), {}, horizon=ALL) == ""
    rows[0]["loss"] = 0.6
    assert dominance.should_prune(epochs_of(9, rows), {}, horizon=ALL)


def test_training_speed_is_the_median_of_the_epochs_so_far():
    dominance = Dominance([ACCURACY, SPEED], 5)
    for trial in range(5):
        tell(dominance, trial, [{"accuracy": 0.6, "rate": rate} for rate in (1.0, 100.0, 110.0, 5.0, 5.0)])
    slow = [{"accuracy": 0.5, "rate": rate} for rate in (500.0, 99.0, 50.0)]
    fast = [{"accuracy": 0.5, "rate": rate} for rate in (1.0, 101.0, 500.0)]
    assert median(row["rate"] for row in slow) == 99.0
    assert dominance.should_prune(epochs_of(9, slow), {}, horizon=ALL)
    assert dominance.should_prune(epochs_of(9, fast), {}, horizon=ALL) == ""


def test_only_complete_trials_up_to_the_horizon_count():
    dominance = Dominance([ACCURACY], 5)
    bad = epochs_of(9, [{"accuracy": 0.1}] * 3)
    for trial in range(5):
        tell(dominance, 2 * trial, [{"accuracy": 0.5}] * 5)
        tell(dominance, 2 * trial + 1, [{"accuracy": 0.9}] * 5, Outcome.PRUNED)
    assert dominance.should_prune(bad, {}, horizon=ALL) == "at epoch 3, 5 of 5 trials were better in accuracy"
    assert dominance.should_prune(bad, {}, horizon=8)
    assert dominance.should_prune(bad, {}, horizon=7) == ""
    tell(dominance, 11, [{"accuracy": 0.0}] * 5)
    assert dominance.should_prune(bad, {}, horizon=ALL) == "at epoch 3, 5 of 6 trials were better in accuracy"
    assert dominance.should_prune(bad, {}, horizon=10) == "at epoch 3, 5 of 5 trials were better in accuracy"


def test_a_trial_told_again_is_another_result():
    dominance = Dominance([ACCURACY], 5)
    for trial in range(5):
        tell(dominance, trial, [{"accuracy": 0.5}] * 5)
    bad = epochs_of(9, [{"accuracy": 0.4}] * 5)
    for trial in range(3):
        tell(dominance, trial, [{"accuracy": 0.3}] * 3)
    assert dominance.should_prune(bad[:3], {}, horizon=ALL) == ""
    assert dominance.should_prune(bad, {}, horizon=ALL) == "at epoch 5, 2 of 2 trials were better in accuracy"
    tell(dominance, 4, [], Outcome.CRASHED)
    assert dominance.should_prune(bad, {}, horizon=ALL) == ""


def test_what_was_not_measured_is_not_judged():
    dominance = Dominance([ACCURACY, Objective("flops", maximize=False)], 5)
    for trial in range(6):
        tell(dominance, trial, [{"accuracy": 0.5}] * 5, flops=math.nan if trial else 1.0)
    bad = epochs_of(9, [{"accuracy": 0.1}] * 5)
    assert dominance.should_prune(bad, {"flops": math.nan}, horizon=ALL) == ""
    assert dominance.should_prune(bad, {"flops": 9.0}, horizon=ALL) == ""


@pytest.mark.parametrize("metric", [*known_metrics(), *COST])
def test_the_space_file_and_the_pruner_agree_on_what_can_be_judged(metric):
    first = "loss" if metric != "loss" else "accuracy"
    overrides = [f"objective=[{first}, {metric}]"]
    if judgeable([Objective(first, maximize=False), Objective(metric, maximize=True)]):
        spec = parse_spec(SPACE, origin="x", overrides=[*overrides, "search.pruner=dominated"])
        assert pruner_name(spec) == "dominated"
    else:
        with pytest.raises(SpecError, match=f"{metric} is measured only at the end; use none"):
            parse_spec(SPACE, origin="x", overrides=[*overrides, "search.pruner=dominated"])
    expected = "dominated" if judgeable([Objective(metric, maximize=True)]) else "none"
    assert pruner_name(parse_spec(SPACE, origin="x", overrides=overrides)) == expected


@pytest.mark.parametrize("pruner", ["median", "asha", "hyperband"])
def test_pruners_of_one_objective_name_the_one_for_several(pruner):
    for objectives, other in (("[accuracy, flops]", "dominated"), ("[accuracy, latency_ms]", "none")):
        with pytest.raises(SpecError, match=f"{pruner}' works with one objective only; use {other}"):
            parse_spec(SPACE, origin="x", overrides=[f"objective={objectives}", f"search.pruner={pruner}"])


def test_one_objective_may_be_judged_by_dominance():
    assert pruner_name(parse_spec(SPACE, origin="x", overrides=["search.pruner=dominated"])) == "dominated"
    assert pruner_name(parse_spec(SPACE, origin="x")) == "median"


@pytest.mark.parametrize(("theirs", "given_up"), [(4, False), (5, True), (None, True)])
def test_a_trial_is_not_compared_with_shorter_ones(theirs, given_up):
    dominance = Dominance([ACCURACY, PARAMETERS], 6)
    for trial in range(6):
        record = replace(record_of(trial, {"parameters": 10.0}), candidate={"epochs": theirs})
        dominance.tell(record, epochs_of(trial, [{"accuracy": 0.9}] * (theirs or 6)))
    worse = epochs_of(9, [{"accuracy": 0.4}] * 3)
    assert bool(dominance.should_prune(worse, {"parameters": 20.0}, horizon=ALL, asked=5)) == given_up
    assert bool(dominance.should_prune(worse, {"parameters": 20.0}, horizon=ALL)) == (theirs is None)
