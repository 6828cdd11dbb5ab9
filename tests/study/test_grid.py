import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.errors import SpecError
from harness.spec import parse_spec, size
from harness.spec.parameters import parse_node
from harness.study.decide.grid import check_grid, point, shuffled

scalars = st.sampled_from([1, 2.5, "a", True])
ranges = st.builds(lambda low, n: {"int": [low, low + n]}, st.integers(0, 5), st.integers(0, 3))
lists = st.lists(st.integers(0, 9), min_size=1, max_size=3, unique=True)
leaves = scalars | ranges | lists
spaces = st.recursive(
    leaves,
    lambda inner: st.dictionaries(
        st.sampled_from(["p", "q", "r"]),
        st.dictionaries(st.sampled_from(["x", "y"]), inner, max_size=2),
        min_size=1,
        max_size=3,
    ),
    max_leaves=6,
)


@settings(max_examples=100)
@given(spaces)
def test_every_candidate_of_a_nested_space_is_visited_once(space):
    node = parse_node(space, ())
    count = int(size(node))
    seen = {tuple(sorted(point(node, index, "s").items(), key=str)) for index in range(count)}
    assert len(seen) == count


@settings(max_examples=100)
@given(count=st.integers(1, 300), seed=st.integers(0, 5))
def test_the_shuffle_is_a_permutation(count, seed):
    assert sorted(shuffled(number, count, seed) for number in range(count)) == list(range(count))


def test_the_shuffle_depends_on_the_seed():
    orders = {tuple(shuffled(number, 101, seed) for number in range(101)) for seed in range(10)}
    assert len(orders) == 10


def test_a_continuous_range_has_no_grid():
    text = "task: digits\nspace: {architecture: {mlp: {dropout: {float: [0, 0.5]}}}}"
    with pytest.raises(SpecError, match=r"space\.architecture\.mlp\.dropout: a grid needs values"):
        check_grid(parse_spec(text, origin="x").group)


def test_parameters_of_options_that_were_not_chosen_are_absent():
    node = parse_node({"mlp": {"depth": [1, 2]}, "cnn": {"kernel": [3, 5, 7]}}, ())
    points = [point(node, index, "a") for index in range(int(size(node)))]
    assert points == [{"a": "mlp", "a.mlp.depth": d} for d in (1, 2)] + [
        {"a": "cnn", "a.cnn.kernel": k} for k in (3, 5, 7)
    ]
    assert math.isfinite(size(node))
