"""How late a search learns of results: by the number of a stretch alone."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.spec import parse_spec
from harness.study.decide.lag import Lag, lag_of
from harness.study.decide.samplers import samplers

SPACE = "task: digits\nspace: {architecture: {mlp: {width: [8, 16]}}}"


def lag(sampler, pruner="median", *first):
    asked = [f"search.sampler={sampler}", f"search.pruner={pruner}", f"search.first={list(first)}"]
    return lag_of(parse_spec(SPACE, origin="x", overrides=asked))


@given(st.integers(1, 64), st.integers(1, 64), st.floats(0.0, 1.0))
def test_what_is_known_never_shrinks_is_in_the_past_and_leaves_no_more_under_way_than_is_said(free, most, share):
    rule = Lag(free=free, most=max(free, most), share=share)
    known = [rule.known(number) for number in range(300)]
    assert known == sorted(known)
    assert not any(known[:free])
    assert all(0 <= count <= number for number, count in enumerate(known))
    assert max(number + 1 - count for number, count in enumerate(known)) <= rule.most


@pytest.mark.parametrize("sampler", sorted(samplers))
def test_every_sampler_has_a_rule_and_those_that_look_at_results_soon_know_some(sampler):
    rule = lag(sampler)
    assert rule.most >= rule.free
    blind = sampler in ("random", "grid", "qmc")
    assert rule.most == {"nsga2": 16}.get(sampler, 64 if blind else 8)
    assert rule.known(63) >= 31


def test_where_nobody_looks_at_results_as_many_as_possible_are_under_way():
    assert lag("random", "none") == Lag(free=64, most=64, share=0.0)
    assert lag("random").known(32) == 16, "the median rule does"
    assert lag("random", "asha") == lag("tpe"), "promotions are decided by results"


def test_tpe_begins_to_learn_after_its_startup():
    assert [lag("tpe").known(number) for number in (4, 5, 9, 30, 48, 60)] == [0, 3, 6, 23, 41, 53]
    first = [{"architecture": {"mlp": {"width": 8}}}] * 7
    assert lag("tpe", "median", *first).free == 8
