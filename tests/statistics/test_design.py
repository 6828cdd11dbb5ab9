from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from statsmodels.stats.multitest import multipletests

from harness.errors import InputError
from harness.statistics import Design, Margin, Word, holm

RNG = np.random.default_rng(0)
NOISE = RNG.normal(0, 1, 20)
MARGIN = Margin(0.5, "0.5 points")


def scores(**shifts):
    """Scores of 20 seeds by candidate, each with its own noise on top of what a seed does to all."""
    rng = np.random.default_rng(1)
    return {name: (NOISE + shift + rng.normal(0, 0.3, 20)).tolist() for name, shift in shifts.items()}


def cut(values, pairs):
    return {name: each[:pairs] for name, each in values.items()}


def words(judged):
    return {(each.a, each.b): each.word for each in judged}


def test_a_clear_winner_is_called_at_the_first_look():
    values, design = scores(mlp=0.0, cnn=5.0), Design.auto()
    assert design.next_look(cut(values, 0)) == 7
    assert design.next_look(cut(values, 5)) == 7
    assert design.next_look(cut(values, 7)) is None
    (found,) = design.judge(cut(values, 7))
    assert (found.a, found.b, found.word, found.verdict) == ("cnn", "mlp", Word.BETTER, "better")
    assert found.paired.difference > 0
    assert found.p_adjusted == found.paired.p == 2 / 2**7
    assert found.as_dict()["pairs_used"] == 7


def test_equals_are_looked_at_to_the_end():
    values, design = scores(mlp=0.0, cnn=0.01), Design.auto()
    assert [design.next_look(cut(values, pairs)) for pairs in (7, 9, 10, 19, 20)] == [10, 10, 20, 20, None]
    (found,) = design.judge(values)
    assert found.verdict == "no difference detected"
    assert found.paired.pairs == 20


def test_more_seeds_change_no_verdict_that_was_given():
    values = scores(mlp=0.0, cnn=5.0)
    turned = {"mlp": values["mlp"][:7] + [99.0] * 13, "cnn": values["cnn"]}
    assert Design.auto().judge(turned) == Design.auto().judge(cut(values, 7))


def test_seeds_between_two_looks_count_at_the_next_one():
    values = scores(mlp=0.0, cnn=0.01)
    assert Design.auto().judge(cut(values, 9)) == Design.auto().judge(cut(values, 7))


def test_before_the_first_look_there_is_no_verdict():
    (found,) = Design.auto().judge(cut(scores(mlp=0.0, cnn=5.0), 6))
    assert found.verdict == "no verdict yet"
    assert found.paired.pairs == 6
    assert np.isnan(found.p_adjusted)
    (bare,) = Design.auto().judge(cut(scores(mlp=0.0, cnn=5.0), 1))
    assert np.isnan(bare.paired.low)
    assert bare.paired.difference > 0
    (none,) = Design.auto().judge({"mlp": [], "cnn": []})
    assert none.paired.pairs == 0


def test_a_fixed_design_looks_once():
    design, values = Design.fixed(8), scores(mlp=0.0, cnn=5.0)
    assert [design.next_look(cut(values, pairs)) for pairs in (0, 7, 8)] == [8, 8, None]
    assert design.judge(cut(values, 8))[0].word is Word.BETTER


@pytest.mark.parametrize("pairs", [-1, 0, 1])
def test_a_design_of_no_pairs_is_refused(pairs):
    with pytest.raises(InputError, match="use 2 or more"):
        Design.fixed(pairs)


@pytest.mark.parametrize(("design", "candidates", "least"), [
    (Design.fixed(5), 2, None), (Design.fixed(6), 2, 6), (Design.fixed(7), 3, 7), (Design.fixed(7), 4, None),
    (Design.auto(), 2, 7), (Design.auto(), 3, 10), (Design.auto(), 5, 10), (Design.auto(), 6, 20),
])  # fmt: skip
def test_too_few_pairs_to_tell_anything_apart_are_known_beforehand(design, candidates, least):
    assert design.least_pairs(candidates) == least
    # The clearest of all differences is called there and no earlier.
    values = {str(place): [100.0**place] * 20 for place in range(candidates)}
    called = [look for look in design.looks if Word.BETTER in words(design.judge(cut(values, look))).values()]
    assert called[:1] == ([] if least is None else [least])


def test_of_several_candidates_every_pair_is_judged_with_holms_correction():
    values = scores(mlp=0.0, cnn=0.3, lstm=3.0)
    found = Design.fixed(20).judge(values)
    assert {(each.a, each.b) for each in found} == {("lstm", "cnn"), ("lstm", "mlp"), ("cnn", "mlp")}
    assert [each.p_adjusted for each in found] == holm([each.paired.p for each in found])
    assert all(each.paired.difference >= 0 for each in found)


def test_holm_is_that_of_statsmodels():
    p_values = [*np.random.default_rng(0).uniform(0, 0.2, 9), 0.0, 0.1, 0.1, 1.0]
    assert holm(p_values) == multipletests(p_values, method="holm")[1].tolist()
    assert holm([]) == []


@given(st.lists(st.floats(0.0, 1.0), min_size=1, max_size=10))
def test_holm_keeps_the_order_and_lowers_nothing(p_values):
    found = holm(p_values)
    assert all(p <= adjusted <= 1.0 for adjusted, p in zip(found, p_values, strict=True))
    ordered = [adjusted for _, adjusted in sorted(zip(p_values, found, strict=True))]
    assert all(before <= after for before, after in pairwise(ordered))


def test_a_margin_makes_what_is_near_equivalent():
    values = {"mlp": NOISE.tolist(), "cnn": (NOISE + 0.01 * RNG.normal(size=20)).tolist()}
    (found,) = Design.auto().judge(values, margin=MARGIN)
    assert found.verdict == "equivalent within 0.5 points"
    assert found.paired.pairs == 7
    assert Design.auto().next_look(cut(values, 7), margin=MARGIN) is None
    assert Design.auto().next_look(cut(values, 7)) == 10


def test_a_difference_within_the_margin_is_equivalent_though_it_is_detected():
    values = {"mlp": NOISE.tolist(), "cnn": (NOISE + 0.1).tolist()}
    assert Design.auto().judge(values)[0].word is Word.BETTER
    assert Design.auto().judge(values, margin=MARGIN)[0].word is Word.EQUIVALENT


def test_unpaired_seeds_are_refused_with_their_numbers():
    with pytest.raises(InputError, match=r"mlp 7, cnn 6.*every candidate needs a score under every seed"):
        Design.auto().judge({"mlp": [0.5] * 7, "cnn": [0.5] * 6})
    with pytest.raises(InputError, match="1 candidate cannot be compared"):
        Design.auto().next_look({"mlp": [0.5] * 7})


@given(st.integers(0, 2**32 - 1), st.integers(2, 4), st.sampled_from([None, MARGIN]))
@settings(max_examples=20)
def test_a_verdict_does_not_depend_on_the_order_of_the_candidates(seed, count, margin):
    rng = np.random.default_rng(seed)
    values = {f"{place}": rng.normal(0.5 * place, 1, 20).tolist() for place in range(count)}
    turned = dict(reversed(values.items()))
    design = Design.auto()
    assert words(design.judge(values, margin=margin)) == words(design.judge(turned, margin=margin))


def simulated(comparisons, seed, **shifts):
    rng = np.random.default_rng(seed)
    for _ in range(comparisons):
        yield {name: rng.normal(shift, np.sqrt(0.5), 20).tolist() for name, shift in shifts.items()}


def test_equals_are_seldom_called_and_a_difference_of_one_deviation_is_found():
    design = Design.auto()
    of_equals = [design.calls(values)["a", "b"] for values in simulated(400, 0, a=0.0, b=0.0)]
    assert np.mean([call.decided for call in of_equals]) < 0.05 + 2 * np.sqrt(0.05 * 0.95 / 400)
    apart = [design.calls(values)["a", "b"] for values in simulated(300, 1, a=1.0, b=0.0)]
    assert np.mean([call.decided for call in apart]) > 0.93
    assert np.mean([call.look for call in apart]) < 13.7


@pytest.mark.slow
@pytest.mark.parametrize(
    ("shifts", "margin"),
    [((0.0, 0.0), None), ((0.0,) * 3, None), ((0.0,) * 5, None), ((0.0, 0.0, -5.0), None), ((1.0, 0.0), 1.0)],
)
def test_the_whole_procedure_is_wrong_in_at_most_five_percent(shifts, margin):
    """No winner among equals, however many they are, and no equivalence of what lies a margin apart; see benchmarks."""
    comparisons, design = 2000, Design.auto()
    asked = None if margin is None else Margin(margin, "a deviation")
    wanted = Word.BETTER if margin is None else Word.EQUIVALENT
    wrong = 0
    for values in simulated(comparisons, 3, **{str(place): shift for place, shift in enumerate(shifts)}):
        calls = design.calls(values, margin=asked)
        bad = {pair for pair in calls if (shifts[int(pair[0])] == shifts[int(pair[1])]) == (margin is None)}
        wrong += any(calls[pair].word is wanted for pair in bad)
    assert wrong / comparisons < 0.05 + 2 * np.sqrt(0.05 * 0.95 / comparisons)
