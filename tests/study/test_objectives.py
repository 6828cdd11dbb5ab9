import math

import optuna
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.errors import SpecError
from harness.records import TaskKind
from harness.spec import parse_spec
from harness.study.objectives import Objective, pareto, resolve_objectives


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


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), min_size=1, max_size=12))
def test_the_pareto_front_is_optunas(rows):
    study = optuna.create_study(directions=["maximize", "minimize"])
    for row in rows:
        study.add_trial(optuna.create_trial(values=row))
    objectives = [Objective("accuracy", maximize=True), Objective("latency_ms", maximize=False)]
    values = {number: tuple(map(float, row)) for number, row in enumerate(rows)}
    assert pareto(objectives, values) == sorted(trial.number for trial in study.best_trials)
