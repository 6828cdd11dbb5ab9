import math
from dataclasses import replace

import optuna
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.errors import SpecError
from harness.integrity.tables import objectives_of
from harness.records import Outcome, TaskKind, TrialRecord
from harness.spec import parse_spec
from harness.study.objectives import Objective, contenders, pareto, resolve_objectives, tied


def resolve(objective, kind):
    overrides = [f"objective={objective}"] if objective else []
    spec = parse_spec("task: digits\nspace: {architecture: mlp}", origin="x", overrides=overrides)
    return [(o.metric, o.direction) for o in resolve_objectives(spec, kind)]


def test_the_default_fits_the_kind_of_task():
    assert resolve("", TaskKind.CLASSIFICATION) == [("f1_macro", "maximize")]
    assert resolve("", TaskKind.REGRESSION) == [("rmse", "minimize")]


def test_directions_are_known_and_may_be_given():
    assert resolve("[accuracy, latency_ms, train_samples_s]", TaskKind.CLASSIFICATION) == [
        ("accuracy", "maximize"),
        ("latency_ms", "minimize"),
        ("train_samples_s", "maximize"),
    ]
    assert resolve("{loss: minimize, parameters: maximize}", TaskKind.REGRESSION)[1] == ("parameters", "maximize")


@pytest.mark.parametrize(("objective", "kind"), [("rmse", TaskKind.CLASSIFICATION), ("accuracy", TaskKind.REGRESSION)])
def test_an_objective_that_does_not_fit_the_task(objective, kind):
    with pytest.raises(SpecError, match=f"objective.{objective}: does not fit"):
        resolve(objective, kind)


def test_memory_is_read_from_the_most_exact_meter():
    memory = Objective("memory_mb", maximize=False)
    assert memory.value({}, {"memory_allocated_peak_mib": math.nan, "memory_rss_peak_mib": 7.0}) == 7.0
    assert memory.value({}, {"memory_allocated_peak_mib": 3.0, "memory_rss_peak_mib": 7.0}) == 3.0
    assert math.isnan(memory.value({}, {}))


def test_figures_are_read_under_their_own_names():
    assert Objective("latency_ms", maximize=False).value({}, {"latency_p50_ms": 2.0}) == 2.0
    assert Objective("accuracy", maximize=True).value({"accuracy": 0.5}, {"accuracy": 1.0}) == 0.5


@settings(max_examples=50)
@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), min_size=1, max_size=12))
def test_the_pareto_front_is_optunas(rows):
    study = optuna.create_study(directions=["maximize", "minimize"])
    for row in rows:
        study.add_trial(optuna.create_trial(values=row))
    objectives = [Objective("accuracy", maximize=True), Objective("latency_ms", maximize=False)]
    values = {number: tuple(map(float, row)) for number, row in enumerate(rows)}
    assert pareto(objectives, values) == sorted(trial.number for trial in study.best_trials)


def complete(trial, value, *, error=None, parameters=100.0, flops=200.0, more=(), **fields):
    figures = {"parameters": parameters, "flops": flops} | ({} if error is None else {"value_se": error})
    return TrialRecord(
        trial=trial,
        outcome=Outcome.COMPLETE,
        reason="done",
        candidate={},
        params={},
        values=(value, *more),
        figures=figures,
        **fields,
    )


def best_trial(objectives, records):
    """Return the winner, or None."""
    return next(iter(tied(objectives, records)), None)


ACCURACY = [Objective("accuracy", maximize=True)]
LOSS = [Objective("loss", maximize=False)]


def numbers(records):
    return [record.trial for record in records]


@pytest.mark.parametrize(("objectives", "sign"), [(ACCURACY, 1.0), (LOSS, -1.0)])
def test_of_trials_within_one_standard_error_the_cheapest_wins(objectives, sign):
    records = [
        complete(0, sign * 0.90, error=0.01, parameters=10.0),
        complete(1, sign * 0.97, error=0.01, parameters=1_022.0),
        complete(2, sign * 0.975, error=0.01, parameters=500_000.0),
        complete(3, sign * 0.978, error=0.01, parameters=149_474.0),
    ]
    assert numbers(tied(objectives, records)) == [1, 3, 2]
    assert best_trial(objectives, records).trial == 1
    assert numbers(contenders(objectives, records)) == [1, 3]


@pytest.mark.parametrize(("name", "sign"), [("accuracy", 1.0), ("loss", -1.0)])
def test_where_the_best_is_to_win_no_error_ties_a_cheaper_one_with_it(name, sign):
    exact = [Objective(name, maximize=sign > 0, exact=True)]
    records = [
        complete(0, sign * 0.97, error=0.1, parameters=10.0),
        complete(1, sign * 0.98, error=0.1, parameters=500.0),
        complete(2, sign * 0.98, error=0.1, parameters=100.0),
    ]
    assert numbers(tied(exact, records)) == [2, 1], "of equals the cheaper"
    assert numbers(contenders(exact, records)) == [2]


def test_a_space_says_whether_the_best_wins():
    spec = parse_spec("task: digits\nsearch: {winner: best}\nspace: {architecture: mlp}\n", origin="x")
    objectives = resolve_objectives(spec, TaskKind.CLASSIFICATION)
    assert objectives == (Objective("f1_macro", maximize=True, exact=True),)
    told = {"objective": [{"metric": "f1_macro", "direction": "maximize"}], "search": {"winner": spec.search.winner}}
    assert objectives_of(told) == objectives, "so a run is verified by the rule that it went by"


def test_parameters_then_flops_then_the_value_then_the_number_decide():
    one = complete(4, 0.9, error=0.1, parameters=5.0, flops=2.0)
    assert best_trial(ACCURACY, [one, complete(0, 0.9, error=0.1, parameters=8.0, flops=1.0)]) is one
    assert best_trial(ACCURACY, [one, complete(0, 0.9, error=0.1, parameters=5.0, flops=4.0)]) is one
    assert best_trial(ACCURACY, [one, complete(0, 0.89, error=0.1, parameters=5.0, flops=2.0)]) is one
    assert best_trial(ACCURACY, [one, complete(0, 0.9, error=0.1, parameters=5.0, flops=2.0)]).trial == 0
    assert best_trial(ACCURACY, [one, complete(0, 0.89, error=0.1, parameters=4.0, flops=2.0)]) is one, "as cheap"
    assert best_trial(ACCURACY, [one, complete(0, 0.9, error=0.1, parameters=5.0, flops=math.nan)]) is one


def test_an_error_that_is_not_known_lets_the_value_decide():
    records = [complete(0, 0.97, error=math.nan, parameters=1.0), complete(1, 0.98, error=math.nan, parameters=9.0)]
    assert best_trial(ACCURACY, records).trial == 1
    assert best_trial(ACCURACY, [complete(0, 0.98, error=-1.0), complete(1, 0.97, error=math.inf)]).trial == 0


def test_trials_that_did_not_complete_or_repeat_another_do_not_win():
    repeat = complete(2, 0.9, error=0.1, same_as=1)
    assert best_trial(ACCURACY, [repeat, replace(complete(0, 0.95, error=0.1), outcome=Outcome.PRUNED)]) is None
    assert numbers(tied(ACCURACY, [repeat, complete(1, 0.9, error=0.1)])) == [1]


def test_of_the_trials_of_an_earlier_version_the_first_of_the_best_stands_for_all():
    earlier = [complete(0, 0.9, parameters=50.0), complete(1, 0.9, parameters=1.0), complete(2, 0.8, parameters=1.0)]
    assert numbers(contenders(ACCURACY, earlier)) == [0]
    later = complete(3, 0.91, error=0.02, parameters=20.0)
    assert numbers(tied(ACCURACY, [*earlier, later])) == [3, 0]


def test_with_several_objectives_the_winner_is_on_the_front():
    objectives = [*ACCURACY, Objective("latency_ms", maximize=False)]
    records = [
        complete(0, 0.97, error=0.01, parameters=1.0, more=(9.0,)),
        complete(1, 0.972, error=0.01, parameters=5.0, more=(3.0,)),
        complete(2, 0.98, error=0.01, parameters=9.0, more=(8.0,)),
        complete(3, 0.50, error=0.01, parameters=1.0, more=(0.1,)),
    ]
    assert numbers(tied(objectives, records)) == [1, 2] == numbers(contenders(objectives, records))


results = st.lists(
    st.tuples(
        st.integers(0, 8),
        st.sampled_from([None, math.nan, 0.0, 1.0, 2.5]),
        st.integers(1, 9),
        st.integers(0, 2),
    ),
    min_size=1,
    max_size=9,
)


@settings(max_examples=200)
@given(results, st.randoms(use_true_random=False), st.booleans())
def test_only_contenders_ever_win_in_whatever_order_results_come(rows, random, several):
    objectives = [*ACCURACY, Objective("latency_ms", maximize=False)] if several else ACCURACY
    records = [
        complete(number, float(value), error=error, parameters=float(cost), more=(float(second),) if several else ())
        for number, (value, error, cost, second) in enumerate(rows)
    ]
    winner, kept = best_trial(objectives, records), contenders(objectives, records)
    assert winner is kept[0]
    # Trials of an earlier version have no standard error, and were all there before the others.
    earlier, rest = ([r for r in records if ("value_se" in r.figures) is new] for new in (False, True))
    random.shuffle(rest)
    after = contenders(objectives, earlier)
    alive = numbers(after)
    for count, record in enumerate(rest, 1):
        seen = [*earlier, *rest[:count]]
        after = contenders(objectives, seen)
        assert set(numbers(after)) <= {*alive, record.trial}
        assert best_trial(objectives, seen) is after[0]
        alive = numbers(after)
    assert after[0] is winner
    assert numbers(after) == numbers(kept)
