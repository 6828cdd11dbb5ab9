import sys

import numpy as np
import pytest
import scipy.stats

from harness.errors import HardwareError, InputError
from harness.statistics import critical_differences, friedman, interquartile_mean, signed_rank

RNG = np.random.default_rng(0)


def test_the_interquartile_mean_is_that_of_the_middle_half_of_all_scores():
    scores = RNG.normal(size=(4, 10))
    found = interquartile_mean(scores)
    assert found.value == pytest.approx(np.sort(scores.ravel())[10:30].mean())
    assert found.low < found.value < found.high


def test_seeds_are_drawn_within_their_task():
    """Tasks of very different scores, whose own scores are all alike, have a point for an interval."""
    found = interquartile_mean([[0.0] * 5, [1.0] * 5, [2.0] * 5, [50.0] * 5])
    assert found.low == found.high == found.value


def test_the_interval_holds_the_middle_of_normal_scores():
    hits = 0
    for _ in range(150):
        low, high = interquartile_mean(RNG.normal(size=(3, 15)))[1:]
        hits += low <= 0.0 <= high
    assert hits > 0.88 * 150


@pytest.mark.parametrize("scores", [[], [[]], [[1.0], [np.nan]]])
def test_a_task_without_scores_is_refused(scores):
    with pytest.raises(InputError, match="leave it out"):
        interquartile_mean(scores)


def test_the_signed_rank_test_says_where_the_differences_lie():
    base = RNG.normal(size=12)
    assert signed_rank(base + 1, base, 0.1).a > 0.99
    assert signed_rank(base, base + 1, 0.1).b > 0.99
    assert signed_rank(base + 0.01, base, 0.1).rope > 0.99
    found = signed_rank(base + RNG.normal(size=12), base, 0.1)
    assert sum(found) == pytest.approx(1.0)


def test_swapped_sides_swap_the_probabilities():
    a, b = RNG.normal(size=8), RNG.normal(size=8)
    there, back = signed_rank(a, b, 0.2), signed_rank(b, a, 0.2)
    assert (there.a, there.rope, there.b) == (back.b, back.rope, back.a)


def test_the_mass_of_a_draw_is_that_of_its_walsh_means():
    """Of one task and no difference beside it the two weights are Beta(0.5, 1): the prior counts half a task."""
    a = signed_rank([1.0], [0.0], 0.6).a  # only the task with itself is beyond: weight squared, against the rest
    weight = scipy.stats.beta(1.0, 0.5)
    assert a == pytest.approx(weight.sf(np.sqrt(0.5)), abs=0.03)


def test_friedman_is_scipys_and_equals_are_alike():
    scores = {name: RNG.normal(place, 1, 9) for place, name in enumerate("abc")}
    assert friedman(scores) == scipy.stats.friedmanchisquare(*scores.values()).pvalue
    assert friedman({name: [1.0, 2.0] for name in "abc"}) == 1.0


def test_ranks_are_the_best_first_and_groups_are_what_lies_within_the_critical_difference():
    scores = {
        name: np.arange(30) + place + RNG.normal(0, 0.4, 30) for name, place in zip("dbca", (0, 3, 3, 5), strict=True)
    }
    found = critical_differences(scores)
    assert (*found.ranks,)[::3] == ("a", "d")
    assert found.tasks == 30
    # Demsar (2006), table 5: q at 5 % of four candidates is 2.569.
    assert found.critical_difference == pytest.approx(2.569 * np.sqrt(4 * 5 / (6 * 30)), abs=1e-3)
    close = {
        frozenset((x, y))
        for x in found.ranks
        for y in found.ranks
        if x != y and abs(found.ranks[x] - found.ranks[y]) < found.critical_difference
    }
    grouped = {frozenset((x, y)) for group in found.groups for x in group for y in group if x != y}
    assert grouped == close == {frozenset("bc")}


def test_alike_candidates_are_one_group():
    scores = {name: RNG.normal(size=6) for name in "abcd"}
    found = critical_differences(scores)
    assert sorted(found.groups[0]) == list("abcd")
    assert len(found.groups) == 1


@pytest.mark.parametrize(
    "scores",
    [
        {"a": [1.0, 2.0], "b": [1.0, 2.0]},
        {"a": [1.0], "b": [1.0], "c": [1.0]},
        {"a": [1.0, 2.0], "b": [1.0, 2.0], "c": [1.0]},
    ],
)
def test_too_little_for_ranks_is_refused(scores):
    with pytest.raises(InputError, match="three candidates"):
        friedman(scores)


def test_without_the_package_the_message_says_how_to_get_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "scikit_posthocs", None)
    with pytest.raises(HardwareError, match=r"pip install 'harness-automl\[posthocs\]'"):
        critical_differences({name: [1.0, 2.0] for name in "abc"})
