"""What is decided from losses, and what is set aside for it: nothing is trained here."""

import numpy as np
import pytest
import scipy.special
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import log_loss, mean_squared_error

from harness.problems import problems
from harness.records import Outcome, Plan, TrialRecord
from harness.spec import parse_spec
from harness.study import Request, open_search
from harness.study.decide.points import middle_candidate
from harness.study.final import final_cost_epochs, time_aside_s
from harness.study.final.decision import Tried, compare, decide
from harness.study.final.ensemble import broken_limit
from harness.study.final.recipes import Recipe, by_schedule, recipes

SPACE = """
task: {builtin: digits, limit: 200}
budget: {epochs: 10}
training: {precision: fp32}
space: {architecture: {mlp: {depth: 1, width: 16}}, schedule: cosine}
"""


def job_of(*overrides):
    return open_search(Request(parse_spec(SPACE, origin="x", overrides=overrides), device="cpu")).job


def winner_of(job, **changes):
    fields = {"best_epoch": 4, "epochs": 10, "figures": {"epoch_s": 2.0, "memory_rss_peak_mib": 100.0}, **changes}
    candidate = middle_candidate(job.spec, "mlp").as_dict()
    return TrialRecord(trial=0, outcome=Outcome.COMPLETE, reason="x", candidate=candidate, params={}, **fields)


def tried(what, losses, members=1):
    recipe = None if what == "kept weights" else Recipe(what, 1, 1)
    return Tried(what, np.asarray(losses, dtype=np.float64), recipe=recipe, members=members)


def losses_per_sample(kind, answers, targets, *, loss="cross_entropy", scale=1.0):
    return problems[kind].losses_of(answers, targets, loss=loss, scale=[scale])


def test_the_loss_of_each_sample_is_that_of_scikit_learn():
    rng = np.random.default_rng(0)
    probabilities = scipy.special.softmax(rng.normal(0, 3, (200, 5)), axis=1)
    targets = rng.integers(0, 5, 200)
    losses = losses_per_sample("classification", probabilities, targets, loss="cross_entropy")
    assert losses.mean() == pytest.approx(log_loss(targets, probabilities, labels=range(5)), rel=1e-12)
    one = log_loss(targets[7:8], probabilities[7:8], labels=range(5))
    assert losses[7] == pytest.approx(one, rel=1e-12)


def test_a_probability_that_float32_has_rounded_to_zero_has_a_finite_loss():
    outputs = np.array([[1.0, 0.0], [0.0, 1.0]], dtype=np.float32)
    assert losses_per_sample("classification", outputs, np.array([1, 1])) == pytest.approx([87.3, 0.0], abs=0.1)


@pytest.mark.parametrize("scale", [1.0, 7.5, 0.0])
def test_losses_of_values_are_in_standard_units(scale):
    rng = np.random.default_rng(1)
    targets, outputs = rng.normal(40, 9, (2, 300)).astype(np.float32)
    divisor = scale or 1.0
    mse = mean_squared_error(targets.astype(np.float64), outputs.astype(np.float64)) / divisor**2
    assert losses_per_sample("regression", outputs, targets, loss="mse", scale=scale).mean() == pytest.approx(mse)
    errors = (outputs.astype(np.float64) - targets) / divisor
    expected = scipy.special.huber(1.0, errors)
    np.testing.assert_allclose(losses_per_sample("regression", outputs, targets, loss="huber", scale=scale), expected)


def test_the_standard_error_is_that_of_a_paired_t_test():
    first, second = np.random.default_rng(2).exponential(size=(2, 60))
    found = compare(first, second)
    assert found.mean / found.standard_error == pytest.approx(scipy.stats.ttest_rel(first, second).statistic)


def test_one_sample_has_no_standard_error_and_the_smaller_loss_wins():
    kept = tried("kept weights", [0.5])
    assert decide(kept, [tried("refit", [0.6])], None).chosen is kept
    assert decide(kept, [tried("refit", [0.4])], None).chosen.what == "refit"


BASE = np.random.default_rng(3).exponential(size=50)
NOISE = np.tile([0.5, -0.5], 25)
"""Of mean 0 and a standard error of 0.0714."""


@pytest.mark.parametrize(
    ("refits", "average", "chosen"),
    [
        ({"a": 0.05}, None, "a"),
        ({"a": 0.09}, None, "kept weights"),
        ({"a": 0.06, "b": -0.2}, None, "b"),
        ({"a": 0.09, "b": 0.3}, None, "kept weights"),
        ({"a": 0.05}, -0.1, "average"),
        ({"a": 0.05}, 0.06, "average"),
        ({"a": 0.05}, 0.09, "a"),
        ({"a": 0.09}, 0.09, "kept weights"),
        ({"a": 0.09}, 0.06, "average"),
        ({"a": -0.2}, -0.1, "average"),
        ({"a": -0.2}, 0.09, "a"),
        ({}, None, "kept weights"),
    ],
)
def test_a_refit_or_an_average_is_taken_unless_it_is_worse_by_more_than_one_standard_error(refits, average, chosen):
    """Refits are worse than the kept weights by so much, and so is the average."""
    kept = tried("kept weights", BASE)
    singles = [tried(what, BASE + NOISE + shift) for what, shift in refits.items()]
    mean = None if average is None else tried("average", BASE + NOISE + average, members=3)
    decision = decide(kept, singles, mean)
    assert decision.chosen.what == chosen
    assert chosen in decision.why or not refits
    first, *rest = decision.rows(chosen)
    assert [row["what"] for row in (first, *rest) if row["chosen"]] == [chosen]
    assert first["against"] == ""
    wanted = {**refits, **({} if mean is None else {"average": average})}
    assert {row["what"]: row["difference"] for row in rest} == pytest.approx(wanted)
    assert [row["standard_error"] for row in rest] == pytest.approx([0.5 / 7.0] * len(rest))


losses = st.lists(st.floats(0, 30), min_size=6, max_size=6)


@given(losses, st.lists(losses, max_size=3), st.none() | losses)
def test_what_is_chosen_is_never_worse_by_more_than_one_standard_error(kept, refits, average):
    singles = [tried(f"refit {n}", values) for n, values in enumerate(refits)]
    first = tried("kept weights", kept)
    decision = decide(first, singles, tried("average", average, 3) if average else None)
    assert not compare(decision.chosen.losses, first.losses).worse


@pytest.mark.parametrize(
    ("schedule", "best", "lengths"),
    [
        ("cosine", 4, [(10, 4), (10, 10), (4, 4)]),
        ("one_cycle", 1, [(10, 1), (10, 10), (1, 1)]),
        ("cosine", 10, [(10, 10)]),
        ("constant", 4, [(10, 4)]),
    ],
)
def test_the_lengths_that_a_refit_may_have(schedule, best, lengths):
    job = job_of(f"space.schedule={schedule}")
    found = recipes(job, winner_of(job, best_epoch=best))
    assert [(recipe.schedule, recipe.until) for recipe in found] == lengths


def test_a_candidate_with_its_own_number_of_epochs_follows_its_own_schedule():
    job = job_of("training.epochs=6")
    found = recipes(job, winner_of(job))
    assert [(recipe.schedule, recipe.until) for recipe in found] == [(6, 4), (6, 6), (4, 4)]
    assert {schedule: [r.until for r in shared] for schedule, shared in by_schedule(found).items()} == {
        6: [4, 6],
        4: [4],
    }


GROWTH = 1.2 * 1.25
"""A refit on a quarter more samples, with the margin."""


@pytest.mark.parametrize(
    ("final", "epochs"),
    [
        ("keep", 0.0),
        ("refit", GROWTH * 4),
        ("auto", 1.2 * (10 + 4) + GROWTH * 10),
        ("{ensemble: 3}", 1.2 * (10 + 4 + 2 * 10) + 3 * GROWTH * 10),
    ],
)
def test_rehearsals_and_refits_are_counted_in_epochs_of_the_winner(final, epochs):
    job = job_of(f"training.final={final}", "task.split={validation: 0.2, test: 0.2}", "task.limit=1000")
    train, validation = len(job.dataset.train), len(job.dataset.validation)
    assert validation / train == pytest.approx(1 / 3, rel=0.01), "0.2 of all is a quarter of the rest"
    winner = winner_of(job)
    assert final_cost_epochs(job, winner) == pytest.approx(epochs, rel=0.08)
    assert time_aside_s(job, winner) == pytest.approx(2.0 * final_cost_epochs(job, winner))


def test_no_more_than_a_third_of_the_time_is_set_aside_unless_a_refit_was_asked_for():
    for final, given_s, aside in (("auto", 60, False), ("auto", 600, True), ("refit", 10, True)):
        job = job_of(f"training.final={final}", f"budget.time={given_s}")
        assert (time_aside_s(job, winner_of(job)) > 0.0) == aside, (final, given_s)


def test_an_average_has_as_many_members_as_a_third_of_the_time_is_enough_for():
    def aside_s(given_s):
        job = job_of("training.final={ensemble: 3}", f"budget.time={given_s}")
        return time_aside_s(job, winner_of(job))

    job = job_of("training.final={ensemble: 3}")
    by_members = [2.0 * final_cost_epochs(job, winner_of(job), count) for count in (1, 2, 3)]
    given = [3.0 * each_s + 1.0 for each_s in by_members]
    assert [aside_s(round(each_s)) for each_s in given] == pytest.approx(by_members)
    assert aside_s(round(given[0]) - 3) == 0.0


@pytest.mark.parametrize(
    ("limit", "broken"),
    [
        ("parameters=3000", "parameters 3,630 > limit 3,000"),
        ("parameters=4000", ""),
        ("flops=5000", "flops 7,"),
        ("memory_mb=100.005", "memory_mb predicted 100 > limit 100"),
        ("memory_mb=101", ""),
        ("latency_ms=1e-6", "latency_ms measured"),
        ("train_seconds=1e-6", ""),
    ],
)
def test_an_average_breaks_the_limits_that_its_models_break_together(limit, broken):
    job = job_of(f"limits.{limit}")
    reasons = {"precision_reason": "", "layout_reason": "", "data_reason": "", "data_path": "resident"}
    how = {"device": "cpu", "precision": "fp32", "precision_ratio": 1.0, "layout": "contiguous"}
    plan = Plan(batch_size=64, threads=1, **how, **reasons)
    found = broken_limit(job, job.dataset, winner_of(job, plan=plan), plan, 3)
    assert found.startswith(broken)
    assert bool(found) == bool(broken)
