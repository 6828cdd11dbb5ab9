import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.spec import parse_spec
from harness.study.decide.halving import Halving
from harness.study.decide.pruners import halving_of, pruner_name, stable_epochs
from harness.study.objectives import Objective

VALUES = st.floats(-1e3, 1e3) | st.sampled_from([0.0, 0.5, math.nan])


@pytest.mark.parametrize(
    ("epochs", "rungs"),
    [(1, (1,)), (2, (1, 2)), (9, (1, 3, 9)), (20, (1, 3, 9, 20)), (27, (1, 3, 9, 27)), (81, (3, 9, 27, 81))],
)
def test_rungs_grow_by_the_factor_up_to_the_last_epoch(epochs, rungs):
    assert Halving(epochs, maximize=True).rungs == rungs


def test_the_first_rung_and_the_factor_can_be_chosen():
    halving = Halving(16, maximize=True, factor=2, first=2)
    assert halving.rungs == (2, 4, 8, 16)


def test_the_best_third_goes_on_from_the_highest_rung_down():
    halving = Halving(9, maximize=True)
    for trial, value in enumerate((0.1, 0.5, 0.3, 0.4, 0.2, 0.6)):
        halving.reached(trial, 1, value)
    assert halving.promote() == (5, 3)
    assert halving.promote() == (1, 3)
    assert halving.promote() is None
    for trial in (5, 1):
        halving.reached(trial, 3, 0.9 - trial / 100)
    assert halving.promote() is None
    halving.reached(6, 1, 0.7)
    halving.reached(7, 1, 0.1)
    halving.reached(8, 1, 0.1)
    halving.passed(6, 3)
    halving.reached(6, 3, 0.1)
    assert halving.promote() == (1, 9)


def test_a_small_value_is_the_best_one_to_be_minimised():
    halving = Halving(3, maximize=False)
    for trial, value in enumerate((2.0, 1.0, 3.0)):
        halving.reached(trial, 1, value)
    assert halving.promote() == (1, 3)


def test_equal_values_go_to_the_lower_number():
    halving = Halving(3, maximize=True)
    for trial in (4, 2, 3):
        halving.reached(trial, 1, 0.5)
    assert halving.promote() == (2, 3)


def test_a_trial_that_ended_early_holds_its_place_and_is_not_promoted():
    halving = Halving(9, maximize=True)
    for trial in range(6):
        halving.reached(trial, 1, trial / 10)
    halving.ended(5)
    assert halving.promote() == (4, 3)
    assert halving.promote() is None


def test_what_failed_counts_as_the_worst_and_is_never_promoted():
    halving = Halving(9, maximize=True)
    for trial in range(3):
        halving.reached(trial, 1, math.nan)
    assert halving.promote() is None
    halving.reached(3, 1, -1e9)
    assert halving.promote() == (3, 3)


def test_an_end_between_rungs_counts_at_the_rung_that_it_was_on_its_way_to():
    halving = Halving(9, maximize=True)
    for trial in range(3):
        halving.reached(trial, 3, trial / 10)
    halving.reached(7, 2, 0.9)
    halving.ended(7)
    assert halving.promote() is None


def test_being_told_again_changes_nothing_and_another_value_replaces():
    halving = Halving(3, maximize=True)
    for trial in range(3):
        for _ in range(3):
            halving.reached(trial, 1, trial / 10)
    halving.reached(0, 1, 0.9)
    assert halving.promote() == (0, 3)
    assert halving.promote() is None


@settings(max_examples=40)
@given(
    values=st.lists(st.tuples(VALUES, VALUES, VALUES), min_size=1, max_size=40),
    order=st.randoms(use_true_random=False),
    maximize=st.booleans(),
)
def test_promotions_are_the_best_of_the_moment_and_come_once(values, order, maximize):
    """Simulate workers that finish in any order, against a reference that sorts everything anew."""
    halving = Halving(9, maximize=maximize)
    sign = -1 if maximize else 1
    at = [{}, {}, {}]
    promoted = [[], []]
    running, begun = [], 0
    for _ in range(4 * len(values)):
        if running and order.random() < 0.5:
            trial, rung = running.pop(order.randrange(len(running)))
            at[rung][trial] = values[trial][rung]
            halving.reached(trial, halving.rungs[rung], values[trial][rung])
            continue
        choice = halving.promote()
        if choice is None:
            for rung in (0, 1):
                known = {t: v for t, v in at[rung].items() if not math.isnan(v)}
                best = sorted(known, key=lambda t: (sign * known[t], t))[: len(at[rung]) // 3]
                assert set(best) <= set(promoted[rung])
            if begun < len(values):
                running.append((begun, 0))
                begun += 1
            continue
        trial, until = choice
        rung = halving.rungs.index(until) - 1
        promoted[rung].append(trial)
        running.append((trial, rung + 1))
        known = {t: v for t, v in at[rung].items() if not math.isnan(v)}
        best = sorted(known, key=lambda t: (sign * known[t], t))[: len(at[rung]) // 3]
        assert trial in best
        assert trial == next(t for t in best if t not in promoted[rung][:-1])
        if rung == 0:
            above = {t: v for t, v in at[1].items() if not math.isnan(v)}
            top = sorted(above, key=lambda t: (sign * above[t], t))[: len(at[1]) // 3]
            assert set(top) <= set(promoted[1])
    for rung in (0, 1):
        assert len(promoted[rung]) == len(set(promoted[rung]))


@settings(max_examples=25)
@given(st.lists(st.floats(-10, 10), min_size=9, max_size=60), st.booleans())
def test_with_everything_arriving_the_best_trial_reaches_the_last_rung(values, maximize):
    halving = Halving(9, maximize=maximize)
    for trial, value in enumerate(values):
        halving.reached(trial, 1, value)
    counts = {1: 0, 3: 0, 9: 0}
    while (choice := halving.promote()) is not None:
        trial, until = choice
        counts[until] += 1
        halving.reached(trial, until, values[trial])
    sign = -1 if maximize else 1
    best = min(range(len(values)), key=lambda t: (sign * values[t], t))
    assert best in halving._known[2]
    assert counts[3] == len(values) // 3
    assert counts[9] == counts[3] // 3


def test_results_alone_rebuild_who_was_promoted():
    one, other = Halving(9, maximize=True), Halving(9, maximize=True)
    for trial in range(9):
        one.reached(trial, 1, trial / 10)
    while (choice := one.promote()) is not None:
        one.reached(choice[0], choice[1], choice[0] / 10)
    for trial in range(9):
        other.reached(trial, 1, trial / 10)
    for trial in (6, 7, 8):
        other.reached(trial, 3, trial / 10)
    other.reached(8, 9, 0.8)
    assert one.promote() is None
    assert other.promote() is None


def test_only_asha_has_rungs():
    text = "task: digits\nspace: {architecture: mlp}"
    accuracy = Objective("accuracy", maximize=True)
    assert halving_of(parse_spec(text, origin="x"), accuracy) is None
    asha = halving_of(parse_spec(text, origin="x", overrides=["search.pruner=asha", "budget.epochs=9"]), accuracy)
    assert asha is not None
    for trial in range(3):
        asha.reached(trial, 1, trial / 10)
    assert asha.promote() == (2, 3)


@pytest.mark.parametrize(
    ("schedule", "stable", "rungs"),
    [
        ("wsd", 24, (1, 3, 9, 30)),
        ("{wsd: {decay: 0.1}}", 27, (1, 3, 9, 27, 30)),
        ("{wsd: {decay: {float: [0.1, 0.7]}}, constant: {}}", 9, (1, 3, 9, 30)),
        ("{wsd: {decay: [0.9, 0.5]}}", 3, (1, 3, 30)),
        ("cosine", 30, (1, 3, 9, 27, 30)),
    ],
)
def test_no_trial_pauses_in_the_decay_of_a_stable_phase(schedule, stable, rungs):
    space = f"{{architecture: mlp, schedule: {schedule}, batch_size: [8, 16]}}"
    spec = parse_spec(f"task: digits\nbudget: {{epochs: 30}}\nsearch: {{pruner: asha}}\nspace: {space}", origin="x")
    assert stable_epochs(spec) == stable
    assert halving_of(spec, Objective("accuracy", maximize=True)).rungs == rungs


@pytest.mark.parametrize(
    ("changed", "pruner"),
    [
        ("", "asha"),
        ("space.schedule=cosine", "median"),
        ("space.schedule=[wsd, constant]", "median"),
        ("space.epochs=[10, 20]", "median"),
        ("evaluation.repeats=2", "median"),
        ("budget.epochs=8", "median"),
        ("search.pruner=none", "none"),
        ("objective=[accuracy, parameters]", "dominated"),
    ],
)
def test_auto_has_trials_pause_only_where_those_at_a_rung_were_trained_alike(changed, pruner):
    text = "task: digits\nsearch: {pruner: auto}\nspace: {architecture: mlp, schedule: wsd, batch_size: [8, 16]}"
    assert pruner_name(parse_spec(text, origin="x", overrides=[changed] if changed else [])) == pruner
