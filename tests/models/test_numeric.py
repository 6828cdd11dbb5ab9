"""Encodings of numbers, against the papers' definitions and numpy."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from harness.errors import InputError
from harness.models import build
from harness.models.tables import Periodic, PiecewiseLinear
from harness.records import Named, TaskKind, TaskShape, image_inputs, table_inputs
from harness.train.weights import groups_of, matrices

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


def test_beside_numbers_stands_what_is_above_0_of_combinations_of_their_own_waves():
    torch.manual_seed(0)
    layer = Periodic(3)
    x_BF = torch.randn(5, 3)
    found = layer(x_BF).detach().double().numpy()
    np.testing.assert_array_equal(found[:, :3], x_BF.numpy())
    frequency, weight, bias = (
        getattr(layer, name).detach().double().numpy() for name in ("frequency", "weight", "bias")
    )
    encoded = found[:, 3:].reshape(5, 3, 8)
    for row in range(5):
        for column in range(3):
            angles = 2 * np.pi * x_BF[row, column].item() * frequency[column, 0]
            waves = np.concatenate([np.cos(angles), np.sin(angles)])
            expected = np.maximum(waves @ weight[column] + bias[column, 0], 0.0)
            np.testing.assert_allclose(encoded[row, column], expected, rtol=1e-4, atol=1e-5)
    assert 0.2 < (encoded > 0).mean() < 0.8
    assert layer.columns == [0] * 8 + [1] * 8 + [2] * 8


def test_frequencies_are_drawn_at_first_with_the_deviation_that_is_said_and_learn():
    torch.manual_seed(0)
    layer = Periodic(500)
    assert layer.frequency.std().item() == pytest.approx(0.1, rel=0.03)
    layer(torch.randn(2, 500)).square().sum().backward()
    assert (layer.frequency.grad != 0.0).any(dim=2).all()


@pytest.mark.parametrize(("family", "part"), [("mlp", ""), ("tabm", "columns.")])
def test_frequencies_and_biases_of_waves_do_not_decay_and_their_weights_are_no_matrix(family, part):
    shape = TaskShape(kind=TaskKind.REGRESSION, outputs=1, inputs=table_inputs(3, cardinalities=(3,)))
    model = build(Named(family, {"numeric": "periodic"}), shape)
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    decayed = {names[id(p)] for group in groups_of(model, 0.1, 0.01) if group["weight_decay"] for p in group["params"]}
    of_waves = {name for name in names.values() if name.startswith(f"{part}numeric.")}
    assert of_waves == {f"{part}numeric.{own}" for own in ("frequency", "weight", "bias")}
    assert decayed & of_waves == {f"{part}numeric.weight"}
    assert not of_waves & {names[id(matrix)] for matrix in matrices(model)}


@pytest.mark.parametrize("numeric", ["piecewise_linear", "periodic"])
@pytest.mark.parametrize("family", ["mlp", "tabm"])
def test_a_table_without_numbers_has_nothing_to_encode(family, numeric):
    shape = TaskShape(kind=TaskKind.REGRESSION, outputs=1, inputs=table_inputs(0, cardinalities=(3,)))
    model = build(Named(family, {"numeric": numeric}), shape).eval()
    assert model(torch.zeros(2, 0), torch.zeros(2, 1, dtype=torch.int64)).shape == (2, 1)
    assert not [name for name, _ in model.named_parameters() if "numeric" in name]


def test_numbers_whose_quantiles_are_not_known_have_nothing_to_encode():
    unknown = TaskShape(kind=TaskKind.REGRESSION, outputs=1, inputs=table_inputs(2))
    assert build(Named("mlp", PIECEWISE), unknown)(torch.zeros(2, 2)).shape == (2, 1)


@pytest.mark.parametrize("numeric", ["piecewise_linear", "periodic"])
def test_pixels_are_refused(numeric):
    shape = TaskShape(kind=TaskKind.CLASSIFICATION, outputs=2, inputs=image_inputs(1, 4, 4))
    with pytest.raises(InputError, match=rf"architecture\.mlp\.numeric: {numeric} is for columns of a table"):
        build(Named("mlp", {"numeric": numeric}), shape)
