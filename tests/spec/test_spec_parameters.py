import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.spec.parameters import (
    Categorical,
    Choice,
    Fixed,
    Group,
    NodeError,
    Range,
    parameters,
    parse_choice,
    parse_node,
    size,
)


@pytest.mark.parametrize(
    ("value", "node"),
    [
        (3, Fixed(3)),
        ("relu", Fixed("relu")),
        (None, Fixed(None)),
        (["a", "b"], Categorical(("a", "b"))),
        (["a"], Fixed("a")),
        ({"int": [1, 4]}, Range(True, 1, 4)),
        ({"int": [1, 9], "step": 4}, Range(True, 1, 9, step=4)),
        ({"int": [7, 7]}, Fixed(7)),
        ({"float": [1, 2]}, Range(False, 1.0, 2.0)),
        ({"float": [1e-4, 1e-1], "log": True}, Range(False, 1e-4, 1e-1, log=True)),
        ({"float": [0.0, 1.0], "step": 0.1}, Range(False, 0.0, 1.0, step=0.1)),
        ({"linear": None, "mlp": {"width": 3}}, Choice({"linear": Group({}), "mlp": Group({"width": Fixed(3)})})),
    ],
)
def test_every_form_of_a_node(value, node):
    assert parse_node(value, ()) == node


@pytest.mark.parametrize(
    ("value", "path", "message"),
    [
        ([], (), "empty"),
        ([1, 2, 1], (2,), "appears twice"),
        ([1, True], (1,), "appears twice"),
        ([1, [2]], (1,), "plain value"),
        (math.nan, (), "finite"),
        ({}, (), "expected a value"),
        ({"lo": 1}, (), "expected a value"),
        ({"int": [1, 4], "lgo": True}, ("lgo",), "did you mean 'log'"),
        ({"int": 3}, ("int",), "[low, high]"),
        ({"int": [1, 2, 3]}, ("int",), "[low, high]"),
        ({"int": [4, 1]}, ("int",), "swap"),
        ({"int": [1, 2.5]}, ("int", 1), "whole number"),
        ({"int": [1, True]}, ("int", 1), "finite number"),
        ({"int": [0, 2**60]}, ("int", 1), "64-bit"),
        ({"float": [0, math.inf]}, ("float", 1), "finite"),
        ({"float": [0, 1], "log": True}, (), "above 0"),
        ({"float": [0.1, 1], "log": "yes"}, ("log",), "true or false"),
        ({"float": [1, 2], "log": True, "step": 1}, (), "exclude"),
        ({"int": [1, 8], "step": 3}, ("step",), "end at 7 or 10"),
        ({"int": [1, 8], "step": 0}, ("step",), "above 0"),
        ({"int": [1, 8], "step": 0.5}, ("step",), "whole"),
        ({"float": [0, 1], "step": 1e-9}, ("step",), "cuts the range"),
        ({"int": [1, 2], "float": [1, 2]}, ("float",), "unknown key in a range"),
    ],
)
def test_every_malformed_node_names_its_place(value, path, message):
    with pytest.raises(NodeError) as caught:
        parse_node(value, ())
    assert caught.value.path == path
    assert message in str(caught.value)


@pytest.mark.parametrize("value", [[], {}, 3, [1, 2], None, ["a", {"b": 1}]])
def test_a_choice_needs_options(value):
    with pytest.raises(NodeError):
        parse_choice(value, ())


def test_a_choice_by_names_alone_has_no_parameters():
    assert parse_choice("mlp", ()) == Choice({"mlp": Group({})})
    assert parse_choice(["mlp", "cnn"], ()) == Choice({"mlp": Group({}), "cnn": Group({})})


NESTED = {
    "head": {"linear": {}, "mlp": {"width": [1, 2, 3], "inner": {"a": {"x": {"int": [1, 2]}}, "b": None}}},
    "depth": {"int": [1, 4]},
}


def test_parameters_are_listed_with_their_conditions():
    found = [(p.path, p.condition) for p in parameters(parse_node({"cnn": NESTED, "mlp": {}}, ()), "arch")]
    assert found == [
        ("arch", ""),
        ("arch.cnn.head", "arch = cnn"),
        ("arch.cnn.head.mlp.width", "arch.cnn.head = mlp"),
        ("arch.cnn.head.mlp.inner", "arch.cnn.head = mlp"),
        ("arch.cnn.head.mlp.inner.a.x", "arch.cnn.head.mlp.inner = a"),
        ("arch.cnn.depth", "arch = cnn"),
    ]


def test_the_size_of_a_nested_space():
    # head: linear | mlp with 3 widths x (a with 2 values | b) = 1 + 3 * 3; depth: 4; and the option without parameters
    assert size(parse_node({"cnn": NESTED, "mlp": {}}, ())) == (1 + 3 * (2 + 1)) * 4 + 1
    assert size(parse_node({"float": [0, 1]}, ())) == math.inf


@settings(max_examples=50)
@given(low=st.integers(-50, 50), count=st.integers(1, 40), step=st.integers(1, 7))
def test_a_stepped_range_has_both_ends_and_equal_steps(low, count, step):
    node = parse_node({"int": [low, low + count * step], "step": step}, ())
    assert node.grid() == tuple(range(low, low + count * step + 1, step))


@settings(max_examples=50)
@given(count=st.integers(1, 200), step=st.sampled_from([0.1, 0.05, 0.3, 1e-3]))
def test_a_stepped_real_range_reaches_its_end(count, step):
    node = parse_node({"float": [0.0, count * step], "step": step}, ())
    assert len(node.grid()) == count + 1
    assert node.grid()[-1] == pytest.approx(count * step)
