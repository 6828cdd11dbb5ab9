import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.spec import parse_spec
from harness.spec.growth import growth
from harness.spec.parameters import NodeError, Range, contains

SPACE = """
task: digits
space:
  architecture:
    mlp: {depth: {int: [1, 3]}, width: {int: [32, 64], step: 16}, activation: [relu, gelu]}
    cnn: {stages: 2}
  optimizer: {adamw: {lr: {float: [1e-3, 1e-2], log: true}}}
  batch_size: 64
  label_smoothing: [0.0, 0.1]
"""


def group(*overrides):
    return parse_spec(SPACE, origin="x", overrides=[f"space.{each}" for each in overrides]).group


@pytest.mark.parametrize(
    ("override", "gained"),
    [
        ("label_smoothing=[0.1, 0.0]", []),
        ("label_smoothing=[0.0, 0.1, 0.2, 0.3]", ["label_smoothing: 0.2, 0.3 are new"]),
        ("architecture.mlp.activation=[silu, relu, gelu]", ["architecture.mlp.activation: silu is new"]),
        ("architecture.mlp.depth={int: [0, 5]}", ["architecture.mlp.depth: from 1 to 3 before, from 0 to 5 now"]),
        (
            "architecture.mlp.width={int: [16, 80], step: 16}",
            ["architecture.mlp.width: from 32 to 64 before, from 16 to 80 now"],
        ),
        (
            "optimizer.adamw.lr={float: [1e-4, 1e-2], log: true}",
            ["optimizer.adamw.lr: from 0.001 to 0.01 before, from 0.0001 to 0.01 now"],
        ),
    ],
)
def test_what_is_gained_is_told(override, gained):
    assert list(growth(group(), group())) == []
    assert list(growth(group(), group(override))) == gained


def test_a_new_option_brings_its_own_parameters():
    wider = group("architecture.own={family: 'mine:Model', depth: {int: [1, 9]}}")
    assert list(growth(group(), wider)) == ["architecture: own is new"]


@pytest.mark.parametrize(
    ("override", "place", "why"),
    [
        ("label_smoothing=[0.0, 0.2]", "label_smoothing", "0.1 is missing"),
        ("label_smoothing=0.1", "label_smoothing", "it is of another kind"),
        ("architecture={mlp: {depth: {int: [1, 3]}}}", "architecture.cnn", "it is missing"),
        (
            "architecture.cnn.stages=[2, 3]",
            "architecture.cnn.stages",
            "it was always 2, so that earlier trials have no",
        ),
        ("architecture.cnn.stages=3", "architecture.cnn.stages", "it was 2 and is 3"),
        ("architecture.cnn.width=8", "architecture.cnn.width", "it is new, so that earlier trials have no value of it"),
        ("architecture.mlp.depth={int: [2, 3]}", "architecture.mlp.depth", "it no longer has 1"),
        ("architecture.mlp.depth={int: [1, 3], log: true}", "architecture.mlp.depth", "a range of another kind"),
        ("architecture.mlp.width={int: [40, 72], step: 16}", "architecture.mlp.width", "it no longer has 32"),
        ("optimizer.sgd={lr: 0.1}", "optimizer", "it was always adamw"),
        ("optimizer={sgd: {lr: 0.1}}", "optimizer.adamw", "it is missing"),
        ("batch_size=[64, 128]", "batch_size", "it was always 64"),
    ],
)
def test_any_other_change_is_refused_where_it_is(override, place, why):
    with pytest.raises(NodeError, match=re.escape(why)) as caught:
        list(growth(group(), group(override)))
    assert ".".join(map(str, caught.value.path)) == place


RANGES = st.builds(
    lambda low, steps, step: Range(True, low, low + steps * step, step=step),
    st.integers(-6, 6),
    st.integers(1, 6),
    st.integers(1, 3),
)


@given(RANGES, RANGES)
def test_a_range_has_grown_just_where_it_has_all_values_in_the_same_steps(old, new):
    whole = old.step == new.step and all(contains(new, value) for value in old.grid())
    try:
        gained = list(growth(old, new, ("x",)))
    except NodeError:
        assert not whole
    else:
        assert whole
        assert bool(gained) == (old != new)
