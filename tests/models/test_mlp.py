"""The mlp family against closed forms and by its properties."""

import itertools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from harness.models import build, example_inputs
from harness.models.families.mlp import MLPConfig
from harness.models.layers import ACTIVATIONS, Residual
from harness.models.masks import QuickDropout
from harness.models.tables import embedding_width
from harness.records import InputKind, Named, TaskKind, TaskShape, image_inputs, table_inputs

TABLE = TaskShape(kind=TaskKind.CLASSIFICATION, outputs=3, inputs=table_inputs(5))
MIXED = TaskShape(kind=TaskKind.REGRESSION, outputs=1, inputs=table_inputs(2, cardinalities=(3, 10, 1)))
IMAGE = TaskShape(kind=TaskKind.CLASSIFICATION, outputs=4, inputs=image_inputs(2, 3, 5))

configurations = st.fixed_dictionaries(
    {
        "depth": st.integers(0, 4),
        "width": st.integers(4, 40),
        "shape": st.sampled_from(["constant", "pyramid"]),
        "activation": st.sampled_from(sorted(ACTIVATIONS)),
        "norm": st.sampled_from(["batch", "layer", "group", "none"]),
        "dropout": st.sampled_from([0.0, 0.3]),
        "residual": st.booleans(),
    }
)


def mlp(shape=TABLE, /, **params):
    return build(Named("mlp", params), shape)


def random_inputs(shape, batch):
    generator = torch.Generator().manual_seed(0)
    inputs = [torch.randn(x.shape, generator=generator) for x in example_inputs(shape, batch=batch)]
    if shape.find(InputKind.CATEGORICAL):
        codes = [torch.randint(n, (batch,), generator=generator) for n in shape.inputs[1].cardinalities]
        inputs[1] = torch.stack(codes, dim=1)
    return tuple(inputs)


def closed_form_parameters(params, inputs, outputs):
    """Weights and biases, norms, projections, counted by hand."""
    halve = params["shape"] == "pyramid"
    widths = [max(params["width"] // 2**layer, 4) if halve else params["width"] for layer in range(params["depth"])]
    sizes = [inputs, *widths]
    weights = sum(before * after for before, after in itertools.pairwise(sizes))
    biases = 0 if params["norm"] == "batch" else sum(widths)
    norms = 0 if params["norm"] == "none" else 2 * sum(widths)
    skips = [a * b for a, b in itertools.pairwise(widths) if a != b] if params["residual"] else []
    return weights + biases + norms + sum(skips) + sizes[-1] * outputs + outputs


@given(params=configurations, shape=st.sampled_from([TABLE, MIXED, IMAGE]), batch=st.integers(2, 4))
@settings(max_examples=25)
def test_every_configuration_gives_outputs_of_the_task_and_a_gradient_to_every_parameter(params, shape, batch):
    torch.manual_seed(0)
    model = mlp(shape, **params)
    y = model(*random_inputs(shape, batch))
    assert y.shape == (batch, shape.outputs)
    assert torch.isfinite(y).all()
    (y - 1).square().sum().backward()
    assert all(parameter.grad is not None for parameter in model.parameters())
    assert model.eval()(*random_inputs(shape, 1)).shape == (1, shape.outputs)


@given(params=configurations)
@settings(max_examples=25)
def test_the_number_of_parameters_is_the_closed_form(params):
    count = sum(p.numel() for p in mlp(TABLE, **params).parameters())
    assert count == closed_form_parameters(params, TABLE.inputs[0].sizes[0], TABLE.outputs)


def test_no_gradient_is_all_zero_with_smooth_activations():
    torch.manual_seed(0)
    model = mlp(MIXED, depth=4, activation="gelu", norm="layer", residual=True, shape="pyramid")
    model(*random_inputs(MIXED, 8)).square().sum().backward()
    assert all(parameter.grad.abs().max() > 0 for parameter in model.parameters())


def test_depth_zero_is_one_linear_layer():
    model = mlp(TABLE, depth=0)
    (linear,) = [module for module in model.modules() if isinstance(module, nn.Linear)]
    (x,) = random_inputs(TABLE, 6)
    torch.testing.assert_close(model(x), x @ linear.weight.T + linear.bias)


def test_widths_are_constant_or_halve_down_to_the_minimum():
    assert MLPConfig(depth=4, width=16).widths() == [16, 16, 16, 16]
    assert MLPConfig(depth=4, width=18, shape="pyramid").widths() == [18, 9, 4, 4]


@pytest.mark.parametrize("norm", ["batch", "layer", "group", "none"])
def test_a_residual_block_with_a_zero_branch_is_the_identity(norm):
    model = mlp(depth=3, width=8, norm=norm, residual=True, activation="sigmoid")
    block = model.hidden.block1
    assert isinstance(block, Residual)
    nn.init.zeros_(block.branch.linear.weight)
    x = torch.randn(5, 8)
    torch.testing.assert_close(block(x), x, rtol=0, atol=0)


def test_a_residual_block_that_changes_the_width_projects():
    block = mlp(depth=2, width=16, shape="pyramid", residual=True).hidden.block1
    assert isinstance(block.skip, nn.Linear)
    nn.init.zeros_(block.branch.linear.weight)
    x = torch.randn(5, 16)
    torch.testing.assert_close(block(x), x @ block.skip.weight.T)


@pytest.mark.parametrize("activation", sorted(ACTIVATIONS))
@pytest.mark.parametrize(
    ("norm", "kind"), [("batch", nn.BatchNorm1d), ("layer", nn.LayerNorm), ("group", nn.GroupNorm), ("none", None)]
)
def test_each_hidden_layer_has_the_configured_norm_activation_and_dropout(activation, norm, kind):
    kinds = [type(module) for module in mlp(depth=3, activation=activation, norm=norm, dropout=0.25).modules()]
    assert kinds.count(ACTIVATIONS[activation]) == 3
    assert kinds.count(QuickDropout) == 3
    norms = [found for found in kinds if found in (nn.BatchNorm1d, nn.LayerNorm, nn.GroupNorm)]
    assert norms == ([] if kind is None else [kind] * 3)


def test_dropout_acts_in_training_only_with_its_share():
    model = mlp(dropout=0.5)
    (x,) = random_inputs(TABLE, 4)
    assert not torch.equal(model(x), model(x))
    model.eval()
    assert torch.equal(model(x), model(x))
    assert {module.p for module in model.modules() if isinstance(module, nn.Dropout)} == {0.5}


def test_biases_are_left_out_only_in_front_of_a_batch_norm():
    def biases(norm):
        model = mlp(depth=2, norm=norm)
        return [m.bias is not None for m in model.modules() if isinstance(m, nn.Linear)]

    assert biases("batch") == [False, False, True]
    assert biases("layer") == [True, True, True]


def test_group_norm_does_not_wipe_out_what_it_normalises():
    model = mlp(depth=1, width=32, norm="group", activation="tanh")
    (x,) = random_inputs(TABLE, 16)
    assert model(x).std(dim=0).min() > 0.1


@pytest.mark.parametrize(("cardinality", "width"), [(1, 2), (2, 2), (10, 6), (100, 21), (1000, 77), (10**6, 600)])
def test_embedding_widths_follow_fastai(cardinality, width):
    assert embedding_width(cardinality) == width


def test_each_categorical_column_has_an_embedding_that_changes_the_output():
    model = mlp(MIXED, activation="tanh").eval()
    shapes = [(table.num_embeddings, table.embedding_dim) for table in model.embeddings]
    assert shapes == [(3, embedding_width(3)), (10, embedding_width(10)), (1, embedding_width(1))]
    x, codes = random_inputs(MIXED, 1)
    codes = torch.ones_like(codes) * torch.tensor([1, 1, 0])
    for column in (0, 1):
        changed = codes.clone()
        changed[0, column] = 2
        assert model(x, changed) != model(x, codes)


def test_the_code_for_unknown_starts_neutral():
    model = mlp(MIXED)
    assert all(not table.weight[0].any() for table in model.embeddings)
    assert model.embeddings[1].weight[1:].std().item() == pytest.approx(1.0, abs=0.4)


def test_a_table_of_categories_alone_is_enough():
    shape = TaskShape(kind=TaskKind.CLASSIFICATION, outputs=2, inputs=table_inputs(0, cardinalities=(4,)))
    assert mlp(shape)(*random_inputs(shape, 3)).shape == (3, 2)


@pytest.mark.parametrize("activation", sorted(ACTIVATIONS))
@pytest.mark.parametrize("residual", [False, True])
def test_signals_keep_their_size_through_many_layers_without_norms(activation, residual):
    torch.manual_seed(0)
    shape = TaskShape(kind=TaskKind.REGRESSION, outputs=8, inputs=table_inputs(64))
    model = mlp(shape, depth=12, width=256, activation=activation, residual=residual)
    size = model(torch.randn(64, 64)).std().item()
    assert 0.02 < size < 20
