"""Piecewise-linear encodings, against the paper's definition and numpy's interpolation."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from harness.errors import InputError
from harness.models import build
from harness.models.tables import PiecewiseLinear
from harness.records import Named, TaskKind, TaskShape, image_inputs, table_inputs

QUANTILES = ((-2.0, -0.5, 0.0, 3.0), (0.0, 1.0), (-1.0, 0.0, 1.0))
PIECEWISE = {"numeric": "piecewise_linear"}


def test_each_bin_is_0_before_1_behind_and_linear_within():
    encode = PiecewiseLinear(QUANTILES)
    x_BF = torch.tensor([[-0.25, 0.3, 0.5]])
    assert encode.encodings == 5, "the second column has one bin, which says what the number says"
    # -0.25 is behind -0.5 and half way to 0; 0.5 is behind 0 and half way to 1.
    expected = [-0.25, 0.3, 0.5, 1.0, 0.5, 0.0, 1.0, 0.5]
    assert encode(x_BF)[0].tolist() == pytest.approx(expected)


def test_the_first_bin_has_no_lower_end_and_the_last_one_no_upper_end():
    encode = PiecewiseLinear(QUANTILES[:1])
    assert encode(torch.tensor([[-5.0]]))[0].tolist() == pytest.approx([-5.0, -2.0, 0.0, 0.0])
    assert encode(torch.tensor([[6.0]]))[0].tolist() == pytest.approx([6.0, 1.0, 1.0, 2.0])


@given(st.lists(st.floats(-3, 3, width=32), min_size=3, max_size=9, unique=True), st.floats(-3, 3, width=32))
def test_a_linear_layer_on_top_can_be_any_function_that_is_linear_within_the_bins(ends, value):
    ends = sorted(ends)
    if min(np.diff(ends)) < 1e-3 or not ends[0] <= value <= ends[-1]:
        return
    heights = np.random.default_rng(0).normal(size=len(ends))
    encoded = PiecewiseLinear([ends])(torch.tensor([[value]]))[0, 1:].double().numpy()
    assert heights[0] + encoded @ np.diff(heights) == pytest.approx(np.interp(value, ends, heights), abs=1e-3)


def test_it_is_no_part_of_the_weights_and_widens_the_first_layer():
    shape = TaskShape(kind=TaskKind.REGRESSION, outputs=1, inputs=table_inputs(3, quantiles=QUANTILES))
    model = build(Named("mlp", PIECEWISE), shape)
    assert not [name for name in model.state_dict() if name.startswith("numeric")]
    assert model.hidden.stem.in_features == 3 + 5
    assert model(torch.zeros(2, 3)).shape == (2, 1)


def test_a_table_without_numbers_and_one_whose_quantiles_are_not_known_have_nothing_to_encode():
    shape = TaskShape(kind=TaskKind.REGRESSION, outputs=1, inputs=table_inputs(0, cardinalities=(3,)))
    assert build(Named("mlp", PIECEWISE), shape)(torch.zeros(2, 0), torch.zeros(2, 1, dtype=torch.int64)).shape == (
        2,
        1,
    )
    unknown = TaskShape(kind=TaskKind.REGRESSION, outputs=1, inputs=table_inputs(2))
    assert build(Named("mlp", PIECEWISE), unknown)(torch.zeros(2, 2)).shape == (2, 1)


def test_pixels_are_refused():
    shape = TaskShape(kind=TaskKind.CLASSIFICATION, outputs=2, inputs=image_inputs(1, 4, 4))
    with pytest.raises(InputError, match=r"architecture\.mlp\.numeric: piecewise_linear is for columns of a table"):
        build(Named("mlp", PIECEWISE), shape)
