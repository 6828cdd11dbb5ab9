from __future__ import annotations

import json

import numpy as np
import optuna
import pandas as pd
import pytest
from optuna.importance import PedAnovaImportanceEvaluator

from harness.report.ped_anova import ped_anova


def trials_of(rows, values):
    """Return the columns of trials.parquet that importances look at."""
    return pd.DataFrame(
        {
            "outcome": "complete",
            "same_as": pd.array([None] * len(rows), dtype="Int64"),
            "value": values,
            "params": [json.dumps(row) for row in rows],
        }
    )


@pytest.fixture(scope="module")
def drawn():
    rng = np.random.default_rng(0)
    rows = []
    for _ in range(120):
        row = {
            "kind": str(rng.choice(["a", "b"])),
            "rate": float(10 ** rng.uniform(-4, -1)),
            "idle": float(rng.random()),
        }
        rows.append(row | ({"a.depth": int(rng.integers(1, 6))} if row["kind"] == "a" else {}))
    values = [-((np.log10(row["rate"]) + 2) ** 2) + 0.3 * (row["kind"] == "a") for row in rows]
    return rows, values


def test_what_decides_comes_first_and_what_does_nothing_last(drawn):
    found = ped_anova(trials_of(*drawn), maximize=True, log_sampled={"rate"})
    assert next(iter(found.shares)) == "rate"
    assert sum(found.shares.values()) == pytest.approx(1.0)
    assert found.shares["idle"] < 0.2 * found.shares["rate"]
    assert found.best == 12


def test_the_shares_are_those_of_an_optuna_study_with_the_same_trials(drawn):
    rows, values = drawn
    ends = {
        "rate": optuna.distributions.FloatDistribution(*_ends(rows, "rate"), log=True),
        "idle": optuna.distributions.FloatDistribution(*_ends(rows, "idle")),
        "a.depth": optuna.distributions.IntDistribution(1, 5),
        "kind": optuna.distributions.CategoricalDistribution(["a", "b"]),
    }
    study = optuna.create_study(direction="minimize")
    for row, value in zip(rows, values, strict=True):
        study.add_trial(
            optuna.trial.create_trial(params=row, distributions={name: ends[name] for name in row}, value=-value)
        )
    expected = optuna.importance.get_param_importances(study, evaluator=PedAnovaImportanceEvaluator())
    found = ped_anova(trials_of(rows, values), maximize=True, log_sampled={"rate"})
    assert dict(found.shares) == pytest.approx(dict(expected))


def _ends(rows, name):
    return min(row[name] for row in rows), max(row[name] for row in rows)


def test_a_repeated_candidate_counts_once(drawn):
    frame = trials_of(*drawn)
    again = pd.concat([frame, frame.iloc[:40].assign(same_as=0)], ignore_index=True)
    assert ped_anova(again, maximize=True) == ped_anova(frame, maximize=True)


@pytest.mark.parametrize("choices", [[None, 4, 8], [None, 0.5], [None, "a"], [True, 2], [[1, 2], [3]]])
def test_choices_of_any_kind_are_choices(choices):
    rows = [{"x": choices[number % len(choices)], "idle": number % 7} for number in range(60)]
    values = [float(row["x"] == choices[0]) + 0.001 * number for number, row in enumerate(rows)]
    found = ped_anova(trials_of(rows, values), maximize=True)
    assert next(iter(found.shares)) == "x"


def test_optuna_is_as_talkative_as_before(drawn):
    before = optuna.logging.get_verbosity()
    ped_anova(trials_of(*drawn), maximize=True)
    assert optuna.logging.get_verbosity() == before


def test_few_trials_and_trials_that_are_all_alike_have_none(drawn):
    rows, values = drawn
    assert (
        "too few complete trials: 19, needed 20" in ped_anova(trials_of(rows[:19], values[:19]), maximize=True).reason
    )
    assert ped_anova(trials_of(rows, [1.0] * len(rows)), maximize=True).shares == {}
    assert ped_anova(trials_of([{"x": 1}] * 30, list(range(30))), maximize=True).reason
