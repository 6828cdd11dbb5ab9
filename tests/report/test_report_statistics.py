from __future__ import annotations

import json
import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats as scipy_stats

from harness.problems import problems
from harness.records import FIGURES, Outcome
from harness.report import importances, load_run, ranked, summary_table
from harness.report.statistics import best_so_far, encoded


def frame(values: list[list[float]], outcomes: list[str] | None = None, **columns: list[object]) -> pd.DataFrame:
    """Return trials with just what the statistics read."""
    count = len(values)
    return pd.DataFrame(
        {
            "trial": range(count),
            "outcome": outcomes or ["complete"] * count,
            "reason": [f"reason {n}" for n in range(count)],
            "values": [json.dumps(row) for row in values],
            "value": [row[0] if row else math.nan for row in values],
            "architecture": "mlp",
            "optimizer": "sgd",
            "seconds": 1.0,
            "same_as": None,
            **dict.fromkeys(FIGURES, math.nan),
            **columns,
        }
    )


def test_ranking_breaks_ties_by_trial_and_leaves_the_unfinished_out():
    trials = frame([[0.5], [0.9], [0.5], [], [0.7]], ["complete"] * 3 + ["pruned", "complete"])
    assert ranked(trials, [{"metric": "f1_macro", "direction": "maximize"}])["trial"].tolist() == [1, 4, 0, 2]
    assert ranked(trials, [{"metric": "loss", "direction": "minimize"}])["trial"].tolist() == [0, 2, 4, 1]


def test_with_two_objectives_the_front_comes_first():
    trials = frame([[0.9, 5.0], [0.8, 6.0], [0.7, 1.0]])
    goals = [{"metric": "f1_macro", "direction": "maximize"}, {"metric": "latency_ms", "direction": "minimize"}]
    found = ranked(trials, goals)
    assert found["trial"].tolist() == [0, 2, 1]
    assert found["front"].tolist() == [True, True, False]


def test_the_summary_has_a_row_a_trial_in_the_order_of_its_columns():
    trials = frame([[0.5], [0.9]], parameters=[10.0, 20.0], seconds=[3.0, 4.0])
    goals = {"objective": [{"metric": "f1_macro", "direction": "maximize"}]}
    rows = summary_table(trials, goals, limit=1)
    assert list(rows[0]) == [
        "rank",
        "choice",
        "trial",
        "architecture",
        "optimizer",
        "f1_macro",
        "parameters",
        "latency_p50_ms",
        "seconds",
    ]
    assert (rows[0]["rank"], rows[0]["trial"], rows[0]["f1_macro"], rows[0]["seconds"]) == (1, 1, 0.9, 4.0)
    assert math.isnan(rows[0]["latency_p50_ms"])


def test_the_summary_tells_an_objective_once():
    goals = [{"metric": "f1_macro", "direction": "maximize"}, {"metric": "latency_ms", "direction": "minimize"}]
    rows = summary_table(frame([[0.5, 2.0]]), {"objective": goals})
    assert list(rows[0]) == [
        "choice",
        "trial",
        "architecture",
        "optimizer",
        "f1_macro",
        "latency_ms",
        "parameters",
        "seconds",
    ]


def test_the_summary_of_no_complete_trial_is_empty():
    goals = {"objective": [{"metric": "f1_macro", "direction": "maximize"}]}
    assert summary_table(frame([[], []], ["crashed", "oom"]), goals) == []


@settings(max_examples=25)
@given(total=st.integers(1, 20_000), share=st.floats(0, 1))
def test_the_accuracy_interval_is_wilsons_closed_form(total, share):
    correct = round(share * total)
    z, p = scipy_stats.norm.ppf(0.975), correct / total
    centre = (p + z**2 / (2 * total)) / (1 + z**2 / total)
    half = z / (1 + z**2 / total) * math.sqrt(p * (1 - p) / total + z**2 / (4 * total**2))
    found = problems["classification"].interval(np.zeros(total), (np.arange(total) >= correct).astype(float))
    assert found.metric == "accuracy"
    assert (found.low, found.high) == pytest.approx((max(centre - half, 0), min(centre + half, 1)), abs=1e-9)


def rmse_interval(errors):
    found = problems["regression"].interval(np.full(len(errors), 7.0), 7.0 + errors)
    assert found.metric == "rmse"
    return found.low, found.high


def test_the_rmse_interval_holds_the_truth_about_as_often_as_it_says():
    rng = np.random.default_rng(0)
    hits = [low <= 2.0 <= high for low, high in (rmse_interval(rng.normal(0, 2, 200)) for _ in range(400))]
    assert 0.92 <= np.mean(hits) <= 0.98


def test_the_rmse_interval_needs_two_errors():
    assert all(math.isnan(end) for end in rmse_interval(np.array([1.0])))


def test_the_running_best_skips_what_has_no_value():
    values = np.array([math.nan, 3.0, 1.0, math.nan, 5.0])
    assert best_so_far(values, maximize=True)[1:].tolist() == [3.0, 3.0, 3.0, 5.0]
    assert best_so_far(values, maximize=False)[1:].tolist() == [3.0, 1.0, 1.0, 1.0]
    assert math.isnan(best_so_far(values, maximize=True)[0])


@pytest.mark.parametrize(
    "column",
    [
        pd.Series([3.0, math.nan, 5.0]),
        pd.Series([3, pd.NA, 5], dtype="Int64"),
        pd.Series(["a", None, "b"], dtype="string"),
        pd.Series([False, pd.NA, True], dtype="boolean"),
        pd.Series([1, None, "a"], dtype="object"),
    ],
)
def test_absence_is_a_level_of_its_own_below_all_others(column):
    codes = encoded(column)
    assert codes[1] < codes[0] < codes[2]


def searched(count: int = 40) -> pd.DataFrame:
    """Return trials whose value depends much on the rate, little on depth, and not at all on the batch."""
    rng = np.random.default_rng(1)
    rate, batch = rng.uniform(0, 1, count), rng.choice([32.0, 64.0], count)
    family = rng.choice(["cnn", "mlp"], count)
    depth = np.where(family == "mlp", rng.integers(1, 4, count), np.nan)
    values = 10 * rate + np.nan_to_num(depth) + rng.normal(0, 0.01, count)
    return frame(
        [[float(value)] for value in values],
        **{"param.rate": rate.tolist(), "param.batch": batch.tolist(), "param.architecture": family.tolist()},
        **{"param.architecture.mlp.depth": depth.tolist(), "param.fixed": [1.0] * count},
    )


def test_importances_follow_what_the_objective_depends_on():
    found = importances(searched())
    table = found.table.set_index("parameter")["importance"]
    assert found.table["parameter"].iloc[0] == "rate"
    assert table["rate"] > 5 * table["architecture.mlp.depth"] > 5 * table["batch"]
    assert found.explained > 0.5
    assert found.reason == ""


def test_a_parameter_that_never_varied_has_no_importance_and_says_so():
    row = importances(searched()).table.set_index("parameter").loc["fixed"]
    assert math.isnan(row["importance"])
    assert row["reason"] == "never varied"


def test_importances_repeat_and_follow_the_seed():
    trials = searched()
    pd.testing.assert_frame_equal(importances(trials).table, importances(trials).table)
    assert not importances(trials, seed=1).table.equals(importances(trials).table)


def test_importances_read_only_complete_trials():
    trials = searched()
    wild = trials.tail(5).assign(outcome=str(Outcome.PRUNED), value=1e6)
    mixed = pd.concat([trials.head(35), wild], ignore_index=True)
    pd.testing.assert_frame_equal(importances(mixed).table, importances(trials.head(35)).table)


def test_a_repeated_trial_is_no_evidence_of_its_own_for_importances():
    trials = searched()
    again = trials.sample(25, replace=True, random_state=0)
    repeats = again.assign(same_as=again["trial"].to_numpy(), trial=range(40, 65))
    found, once = importances(pd.concat([trials, repeats], ignore_index=True)), importances(trials)
    pd.testing.assert_frame_equal(found.table, once.table)
    assert found.explained == once.explained
    few = pd.concat([trials.head(7), repeats.assign(same_as=0)], ignore_index=True)
    assert importances(few).reason == "too few complete trials: 7, needed 8"


def test_a_repeated_trial_takes_no_place_in_the_ranking_or_the_front():
    trials = frame([[0.9, 5.0], [0.9, 5.0], [0.7, 1.0]], same_as=[None, 0, None])
    goals = [{"metric": "f1_macro", "direction": "maximize"}, {"metric": "latency_ms", "direction": "minimize"}]
    assert ranked(trials, goals)["trial"].tolist() == [0, 2]
    assert [row["trial"] for row in summary_table(trials, {"objective": goals})] == [0, 2]


@pytest.mark.parametrize(
    ("trials", "reason"),
    [
        (searched(7), "too few complete trials: 7, needed 8"),
        (searched().assign(value=1.0), "all complete trials have the same objective"),
        (frame([[float(n)] for n in range(20)]), "the space has no parameter that varies"),
    ],
)
def test_importances_that_mean_nothing_are_left_out_with_a_reason(trials, reason):
    found = importances(trials)
    assert found.reason == reason
    assert found.table["importance"].isna().all()
    assert (found.table["reason"] == reason).all()


def test_importances_of_a_forest_that_explains_nothing_are_left_out_with_a_reason():
    noise = searched().assign(value=np.random.default_rng(3).normal(size=40))
    found = importances(noise)
    assert found.explained <= 0
    assert "the parameters do not predict the objective of 40 complete trials" in found.reason
    assert found.table["importance"].isna().all()
    assert repr(found) == f"<Importances: none, {found.reason}>"


def test_every_searched_parameter_of_a_run_is_judged(usual_run):
    trials = load_run(usual_run).trials
    names = {name.removeprefix("param.") for name in trials.columns if name.startswith("param.")}
    assert set(importances(trials).table["parameter"]) == names


def test_the_winner_is_in_the_summary_though_others_score_better():
    trials = frame([[0.5], [0.9], [0.8], [0.7]])
    goals = {"objective": [{"metric": "f1_macro", "direction": "maximize"}], "best": {"trial": 3, "tied": [1, 2, 3]}}
    rows = summary_table(trials, goals, limit=1)
    assert [(row["rank"], row["choice"], row["trial"]) for row in rows] == [(1, "tied", 1), (3, "winner", 3)]
    rows = summary_table(trials, {**goals, "best": {"trial": 1}}, limit=2)
    assert [(row["rank"], row["choice"], row["trial"]) for row in rows] == [(1, "winner", 1), (2, "", 2)]
