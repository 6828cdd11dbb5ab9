import itertools
import math
import warnings

import numpy as np
import pytest
import scipy.stats
from hypothesis import example, given, settings
from hypothesis import strategies as st

from harness.errors import InputError
from harness.statistics import Margin, compare_paired, equivalence_p, sign_flip

SCORES = st.floats(0.0, 1.0, allow_subnormal=False)
PAIRS = st.integers(2, 9).flatmap(lambda n: st.tuples(*[st.lists(SCORES, min_size=n, max_size=n)] * 2))


def drawn(pairs, shift=0.0, seed=0):
    return np.random.default_rng(seed).normal(shift, 1.0, pairs)


@pytest.mark.parametrize("pairs", [2, 3, 7, 10, 12])
@pytest.mark.parametrize("shift", [-0.5, 0.0, 1.0])
def test_the_sign_flip_test_is_scipys_exact_one(pairs, shift):
    values = drawn(pairs, shift, seed=pairs)
    theirs = scipy.stats.permutation_test(
        (values,), np.mean, permutation_type="samples", alternative="greater", n_resamples=np.inf
    )
    assert sign_flip(values) == theirs.pvalue


@given(st.lists(st.integers(-5, 5), min_size=1, max_size=9))
@settings(max_examples=40)
def test_tied_sums_count_as_large_as_the_observed_one(values):
    thirds = [value / 3 for value in values]  # whose sums are rounded
    flipped = [sum(sign * value for sign, value in zip(signs, values, strict=True)) for signs in _signs(len(values))]
    assert sign_flip(thirds) == np.mean(np.array(flipped) >= sum(values))


def _signs(count):
    return itertools.product((1, -1), repeat=count)


def test_twenty_equal_differences_are_counted_exactly():
    assert sign_flip([0.25] * 20) == 2.0**-20


def test_many_pairs_are_tested_by_drawn_signs():
    values = drawn(60, 0.2)
    assert sign_flip(values) == pytest.approx(
        scipy.stats.ttest_1samp(values, 0.0, alternative="greater").pvalue, abs=0.02
    )
    assert sign_flip(values) == sign_flip(values)


@given(PAIRS)
@example(([0.0, 0.0], [0.0, 8.8e-122]))
@settings(max_examples=40)
def test_swapped_sides_turn_the_signs_and_nothing_else(pairs):
    a, b = pairs
    there, back = compare_paired(a, b), compare_paired(b, a)
    assert there.difference == -back.difference
    assert there.p == back.p
    assert there.p_better == pytest.approx(1.0 - back.p_better)
    assert min(a) - max(b) - 1e-9 <= there.low <= there.high <= max(a) - min(b) + 1e-9


def test_the_interval_is_scipys_bca():
    a, b = drawn(20, 1.0), drawn(20, 0.0, seed=1)
    found = compare_paired(a, b, confidence=0.9, seed=3)
    theirs = scipy.stats.bootstrap((a - b,), np.mean, confidence_level=0.9, rng=np.random.default_rng(3))
    assert (found.low, found.high) == tuple(theirs.confidence_interval)


@pytest.mark.parametrize("overlap", [0.0, 0.25])
@pytest.mark.parametrize("apart", [0.0, 0.25])
def test_equal_differences_have_a_point_for_an_interval_and_no_warning(overlap, apart):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = compare_paired([0.5 + apart] * 7, [0.5] * 7, overlap=overlap)
    assert (found.difference, found.low, found.high) == (apart, apart, apart)
    assert found.p == (2 / 2**7 if apart else 1.0)
    assert found.p_better == (1.0 if apart else 0.5)


@pytest.mark.parametrize("values", [[0, 0, 0, 0, 0, 0, 1], [1, 1, 1, 1, 1, 0, 0], [0, 1], [1e-9, 1e-9, 1e-9, 3e-9]])
def test_nearly_equal_differences_have_an_interval_without_a_warning(values):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = compare_paired(values, [0.0] * len(values))
    assert found.low <= found.difference <= found.high


def test_overlapping_folds_have_nadeau_and_bengios_interval():
    a, b = drawn(10, 1.0), drawn(10, 0.0, seed=1)
    values, overlap = a - b, 1 / 9
    error = math.sqrt((1 / 10 + overlap) * np.var(values, ddof=1))
    found = compare_paired(a, b, overlap=overlap)
    assert (found.low, found.high) == pytest.approx(scipy.stats.t.interval(0.95, 9, loc=values.mean(), scale=error))
    assert found.p == pytest.approx(2 * scipy.stats.t.sf(abs(values.mean()) / error, 9))


def test_without_overlap_the_correction_is_students_test():
    a, b = drawn(10, 1.0), drawn(10, 0.0, seed=1)
    found, student = compare_paired(a, b, overlap=1e-12), scipy.stats.ttest_rel(a, b)
    assert found.p == pytest.approx(student.pvalue)
    assert (found.low, found.high) == pytest.approx(tuple(student.confidence_interval()))


def test_overlapping_folds_are_called_different_as_often_as_promised():
    """Ten folds of one sample: means of folds that hold out a tenth, and a part that all share as theirs overlap."""
    rng, folds = np.random.default_rng(0), 10
    naive, corrected = 0, 0
    for _ in range(400):
        values = rng.normal(0, 1, folds) + rng.normal(0, math.sqrt(1 / 9))  # correlation of about 1 / 10
        naive += compare_paired(values, np.zeros(folds), overlap=1e-12).p < 0.05
        corrected += compare_paired(values, np.zeros(folds), overlap=1 / 9).p < 0.05
    assert naive > 0.1 * 400
    assert corrected < 0.07 * 400


@pytest.mark.parametrize("shift", [0.0, 0.02, 0.2])
def test_equivalence_is_two_one_sided_tests_and_the_interval_within_the_margin(shift):
    from statsmodels.stats.weightstats import ttost_paired

    a, b = drawn(20, shift, seed=2) / 20, drawn(20, seed=3) / 20
    found, theirs = equivalence_p(a, b, 0.05, overlap=1e-12), ttost_paired(a, b, -0.05, 0.05)[0]
    assert found == pytest.approx(theirs)
    within = compare_paired(a, b, confidence=0.9, overlap=1e-12)
    assert (found < 0.05) == (within.low > -0.05 and within.high < 0.05)


def test_what_lies_outside_of_the_margin_is_not_equivalent():
    assert equivalence_p([1.0, 1.1, 1.2, 1.3], [0.0, 0.1, 0.2, 0.3], 0.5) == 1.0


@pytest.mark.parametrize(
    ("a", "b", "what"),
    [
        ([1.0, 2.0], [1.0], "are no pairs"),
        ([1.0], [1.0], "use two seeds or more"),
        ([1.0, math.nan], [1.0, 2.0], "missing or not finite"),
    ],
)
def test_scores_that_are_no_pairs_are_refused(a, b, what):
    with pytest.raises(InputError, match=what):
        compare_paired(a, b)


def test_a_margin_is_in_points_of_shares_and_else_in_the_units():
    assert Margin.asked(0.5, share=True) == Margin(0.005, "0.5 points")
    assert Margin.asked(2, share=False, unit="of the target") == Margin(2, "2 of the target")


@pytest.mark.parametrize("margin", [0.0, -1.0, math.nan, math.inf])
def test_a_margin_without_room_is_refused(margin):
    with pytest.raises(InputError, match="give one above 0"):
        Margin.asked(margin, share=True)
