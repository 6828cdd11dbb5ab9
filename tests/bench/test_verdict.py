import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import bootstrap

from harness.bench.comparison.verdict import (
    LEAST_BLOCKS,
    LEAST_ROWS,
    Estimate,
    Verdict,
    drift,
    estimate,
    estimate_rounds,
    scatter,
)
from harness.statistics import resampled_medians

ROWS, RUNS = 16, 12
BAND = 0.03


def blocks(generator, *, between=0.0, walk=0.0, noise=0.01, count=20):
    """Blocks of one round of one row; all standard deviations on the logarithm."""
    path = np.cumsum(generator.normal(0, walk / math.sqrt(count), count))
    return np.exp(path + generator.normal(0, noise, count) + generator.normal(0, between))


def row(generator, rounds, *, factor=1.0, slowing=0.0, between=0.0, **how):
    """Rounds of one row of one run, each slowed by what disturbs it; standard deviations on the logarithm."""
    shift = factor * np.exp(generator.normal(0, between))
    return [shift * np.exp(abs(generator.normal(0, slowing))) * blocks(generator, **how) for _ in range(rounds)]


def verdicts(factor, rounds, **how):
    generator = np.random.default_rng(0)
    found = []
    for _ in range(RUNS):
        pairs = [(row(generator, rounds, **how), row(generator, rounds, factor=factor, **how)) for _ in range(ROWS)]
        estimates = [estimate_rounds(a, b, generator) for a, b in pairs]
        between = scatter(estimates)
        found += [each.widened(1.96 * between).verdict(BAND) for each in estimates]
    return found


def share(found, *wanted):
    return sum(verdict in wanted for verdict in found) / len(found)


CONDITIONS = {
    "quiet": {},
    "noisy blocks": {"noise": 0.03},
    "drifting": {"walk": 0.015},
    "disturbed rounds": {"slowing": 0.01},
    "moved between the runs": {"between": 0.01},
    "disturbed and moved": {"slowing": 0.01, "between": 0.01},
    "all of it but disturbances": {"noise": 0.02, "walk": 0.01, "between": 0.01},
}


@pytest.fixture
def _fewer_resamples(monkeypatch):
    """Make the intervals of the bootstrap ten times as fast; they are hardly less exact than a run itself."""
    monkeypatch.setattr("harness.statistics.medians.RESAMPLES", 200)


@pytest.mark.usefixtures("_fewer_resamples")
@pytest.mark.parametrize("how", CONDITIONS)
@pytest.mark.parametrize("rounds", [2, 5])
def test_runs_that_differ_in_nothing_are_called_different_in_at_most_five_percent_of_the_rows(how, rounds):
    assert share(verdicts(1.0, rounds, **CONDITIONS[how]), Verdict.FASTER, Verdict.SLOWER) <= 0.05


@pytest.mark.usefixtures("_fewer_resamples")
@pytest.mark.parametrize("how", CONDITIONS)
@pytest.mark.parametrize("rounds", [2, 5])
def test_a_planted_slowdown_of_ten_percent_is_found_in_at_least_ninety_percent_of_the_rows(how, rounds):
    assert share(verdicts(1.1, rounds, **CONDITIONS[how]), Verdict.SLOWER) >= 0.9


def test_one_round_has_a_ratio_and_no_verdict():
    generator = np.random.default_rng(0)
    alone, several = ([blocks(generator) for _ in range(rounds)] for rounds in (1, 2))
    for a, b in ((alone, several), (several, alone), (alone, alone)):
        found = estimate_rounds(a, b, generator)
        assert found.ratio == pytest.approx(1.0, abs=0.02)
        assert math.isnan(found.low)
        assert math.isnan(found.high)
        assert found.verdict(BAND) is Verdict.INCONCLUSIVE


@pytest.mark.usefixtures("_fewer_resamples")
def test_without_the_scatter_a_machine_that_moved_between_the_runs_would_be_called_another():
    generator = np.random.default_rng(1)
    pairs = [(blocks(generator, between=0.03), blocks(generator, between=0.03)) for _ in range(300)]
    estimates = [estimate(a, b, generator) for a, b in pairs]
    blind = share([each.verdict(BAND) for each in estimates], Verdict.FASTER, Verdict.SLOWER)
    aware = [each.widened(1.96 * scatter(estimates)).verdict(BAND) for each in estimates]
    assert blind > 0.2
    assert share(aware, Verdict.FASTER, Verdict.SLOWER) <= 0.05
    assert scatter(estimates) == pytest.approx(0.03 * math.sqrt(2), rel=0.2)


@pytest.mark.usefixtures("_fewer_resamples")
def test_what_is_as_fast_on_a_quiet_machine_is_called_the_same():
    assert share(verdicts(1.0, 2), Verdict.SAME) >= 0.95


def test_the_ratio_is_that_of_the_medians():
    generator = np.random.default_rng(0)
    found = estimate([2.0] * 9, [3.0] * 9, generator)
    assert found == Estimate(pytest.approx(1.5), pytest.approx(1.5), pytest.approx(1.5))


def test_on_independent_blocks_the_interval_is_about_that_of_scipys_bootstrap():
    generator = np.random.default_rng(3)
    values = generator.normal(0, 0.05, 64)
    mine = np.quantile(resampled_medians(values, generator), (0.025, 0.975))
    theirs = bootstrap((values,), np.median, method="percentile", n_resamples=4000, rng=generator).confidence_interval
    assert mine[1] - mine[0] == pytest.approx(theirs.high - theirs.low, rel=0.35)


def test_stretches_of_alike_neighbours_widen_the_interval():
    generator = np.random.default_rng(4)
    alike = np.repeat(generator.normal(0, 0.05, 8), 4)
    mixed = generator.permutation(alike)
    spread = [np.std(resampled_medians(values, generator)) for values in (alike, mixed)]
    assert spread[0] > 1.2 * spread[1]


def test_drift_is_the_distance_of_the_halves():
    assert drift(np.array([0.0, 0.0, 9.0, 0.2, 0.2])) == pytest.approx(0.2)
    assert drift(np.array([0.2, 0.2, 0.0, 0.0])) == pytest.approx(0.2)


def test_a_run_that_drifted_is_less_sure():
    generator = np.random.default_rng(5)
    steady = np.full(20, 1.0)
    found = estimate(steady, np.linspace(1.0, 1.1, 20), generator)
    assert found.low < 1.0
    assert found.high > 1.1


def test_too_few_blocks_have_a_ratio_and_no_verdict():
    generator = np.random.default_rng(0)
    few = estimate([1.0] * (LEAST_BLOCKS - 1), [2.0] * 20, generator)
    assert few.ratio == pytest.approx(2.0)
    assert math.isnan(few.low)
    assert few.verdict(BAND) is Verdict.INCONCLUSIVE
    none = estimate([], [2.0] * 20, generator)
    assert math.isnan(none.ratio)
    assert none.verdict(BAND) is Verdict.INCONCLUSIVE


@pytest.mark.parametrize(
    ("found", "verdict"),
    [
        (Estimate(1.1, 1.08, 1.12), Verdict.SLOWER),
        (Estimate(1.04, 1.02, 1.06), Verdict.SLOWER),
        (Estimate(1.04, 1.01, 1.06), Verdict.INCONCLUSIVE),
        (Estimate(1.02, 1.019, 1.025), Verdict.SAME),
        (Estimate(1.0, 0.98, 1.02), Verdict.SAME),
        (Estimate(1.0, 0.96, 1.02), Verdict.INCONCLUSIVE),
        (Estimate(0.9, 0.88, 0.92), Verdict.FASTER),
        (Estimate(0.9, 0.8, 0.999), Verdict.INCONCLUSIVE),
    ],
)
def test_a_verdict_needs_the_ratio_beyond_the_band_and_the_interval_beyond_half_of_it(found, verdict):
    assert found.verdict(BAND) is verdict


@given(st.integers(0, 2**32), st.floats(0.5, 2.0), st.floats(1e-7, 10.0))
@settings(max_examples=25)
def test_swapping_the_runs_swaps_faster_and_slower_and_units_do_not_matter(seed, factor, unit):
    generator = np.random.default_rng(seed)
    a, b = blocks(generator), factor * blocks(generator)
    forth = estimate(a, b, np.random.default_rng(1))
    back = estimate(b * unit, a * unit, np.random.default_rng(1))
    assert forth.ratio * back.ratio == pytest.approx(1.0)
    assert forth.low <= forth.ratio <= forth.high
    opposite = {Verdict.SLOWER: Verdict.FASTER, Verdict.FASTER: Verdict.SLOWER}
    sure = abs(math.log(factor)) > 0.1
    if sure:
        assert back.verdict(BAND) is opposite[forth.verdict(BAND)]


def test_scatter_is_hardly_moved_by_rows_that_did_change_and_not_by_a_change_of_all():
    generator = np.random.default_rng(6)
    logs = generator.normal(0, 0.02, 40)
    tight = [Estimate(math.exp(each), math.exp(each - 1e-3), math.exp(each + 1e-3)) for each in logs]
    changed = [Estimate(2 * each.ratio, 2 * each.low, 2 * each.high) for each in tight]
    assert scatter(tight) == pytest.approx(np.std(logs), rel=0.3)
    assert scatter(changed) == pytest.approx(scatter(tight))
    assert scatter([*changed[:6], *tight[6:]]) == pytest.approx(scatter(tight), rel=0.5)


def test_scatter_that_the_intervals_explain_is_none_and_few_rows_tell_none():
    wide = [Estimate(1 + each, 0.8, 1.25) for each in np.linspace(-0.05, 0.05, 20)]
    assert scatter(wide) == 0.0
    tight = [Estimate(each, each, each) for each in np.linspace(0.9, 1.1, LEAST_ROWS - 1)]
    assert scatter(tight) == 0.0
    assert scatter([*tight, Estimate(1.2)]) == 0.0
    assert scatter([*tight, Estimate(1.2, 1.2, 1.2)]) > 0.05


def test_widening_adds_in_quadrature_on_the_logarithm():
    wide = Estimate(1.0, math.exp(-0.03), math.exp(0.04)).widened(0.03)
    assert math.log(wide.high) == pytest.approx(0.05)
    assert math.log(wide.low) == pytest.approx(-0.03 * math.sqrt(2))
    assert wide.ratio == 1.0
