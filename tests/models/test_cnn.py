"""The cnn family against closed forms and by its properties."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from harness.models import build
from harness.models.families.cnn import CNNConfig
from harness.models.layers import ACTIVATIONS, Residual, groups
from harness.models.masks import QuickDropout
from harness.records import Named, TaskKind, TaskShape, image_inputs

SHAPE = TaskShape(kind=TaskKind.CLASSIFICATION, outputs=5, inputs=image_inputs(3, 8, 8))

configurations = st.fixed_dictionaries(
    {
        "stages": st.integers(1, 4),
        "width": st.integers(4, 12),
        "width_multiplier": st.sampled_from([1.0, 1.5, 2.0]),
        "blocks": st.integers(1, 3),
        "kernel": st.sampled_from([1, 3, 5]),
        "pooling": st.sampled_from(["max", "average"]),
        "activation": st.sampled_from(sorted(ACTIVATIONS)),
        "norm": st.sampled_from(["batch", "layer", "group", "none"]),
        "dropout": st.sampled_from([0.0, 0.3]),
        "residual": st.booleans(),
        "global_pooling": st.sampled_from(["average", "max", "none"]),
        "head": st.sampled_from(["linear", {"linear": {}}, {"mlp": {"width": 6}}]),
    }
)
images = st.tuples(st.sampled_from([1, 3]), st.integers(1, 9), st.integers(1, 9))


def cnn(shape=SHAPE, **params):
    return build(Named("cnn", params), shape)


def modules(model, kind):
    return [module for module in model.modules() if isinstance(module, kind)]


def last_positions(height, width, stages):
    for _ in range(stages - 1):
        height, width = max(height // 2, 1), max(width // 2, 1)
    return height * width


@given(params=configurations, image=images)
@settings(max_examples=25)
def test_every_configuration_gives_outputs_of_the_task_and_a_gradient_to_every_parameter(params, image):
    torch.manual_seed(0)
    model = cnn(TaskShape(kind=TaskKind.CLASSIFICATION, outputs=5, inputs=image_inputs(*image)), **params)
    y = model(torch.randn(3, *image))
    assert y.shape == (3, 5)
    assert torch.isfinite(y).all()
    (y - 1).square().sum().backward()
    assert all(parameter.grad is not None for parameter in model.parameters())
    assert model.eval()(torch.randn(1, *image)).shape == (1, 5)


@given(params=configurations, image=images)
@settings(max_examples=25)
def test_the_number_of_parameters_is_the_closed_form(params, image):
    widths = [round(params["width"] * params["width_multiplier"] ** stage) for stage in range(params["stages"])]
    convolved = [width for width in widths for _ in range(params["blocks"])]
    pairs = list(zip([image[0], *convolved[:-1]], convolved, strict=True))
    convolutions = params["kernel"] ** 2 * sum(a * b for a, b in pairs)
    biases = 0 if params["norm"] == "batch" else sum(convolved)
    norms = 0 if params["norm"] == "none" else 2 * sum(convolved)
    skips = sum(a * b for a, b in pairs[1:] if a != b) if params["residual"] else 0
    flat = params["global_pooling"] == "none"
    features = widths[-1] * (last_positions(image[1], image[2], params["stages"]) if flat else 1)
    head = features * 6 + 6 + 6 * 5 + 5 if params["head"] == {"mlp": {"width": 6}} else features * 5 + 5
    model = cnn(TaskShape(kind=TaskKind.CLASSIFICATION, outputs=5, inputs=image_inputs(*image)), **params)
    assert sum(p.numel() for p in model.parameters()) == convolutions + biases + norms + skips + head


def test_no_gradient_is_all_zero_with_smooth_activations():
    torch.manual_seed(0)
    model = cnn(stages=2, blocks=2, width=8, activation="gelu", residual=True, head={"mlp": {"width": 8}})
    model(torch.randn(8, 3, 8, 8)).square().sum().backward()
    assert all(parameter.grad.abs().max() > 0 for parameter in model.parameters())


@pytest.mark.parametrize(
    ("image", "stages", "windows"),
    [
        ((1, 8, 8), 3, [(2, 2), (2, 2)]),
        ((1, 2, 2), 4, [(2, 2)]),
        ((1, 1, 1), 3, []),
        ((1, 1, 6), 4, [(1, 2), (1, 2)]),
        ((1, 7, 5), 3, [(2, 2), (2, 2)]),
    ],
)
def test_maps_are_halved_between_stages_down_to_one_by_one(image, stages, windows):
    model = cnn(TaskShape(kind=TaskKind.CLASSIFICATION, outputs=2, inputs=image_inputs(*image)), stages=stages, width=4)
    assert [pool.kernel_size for pool in modules(model, nn.MaxPool2d)] == windows


def test_pooling_is_the_kind_configured():
    average = cnn(pooling="average")
    assert (len(modules(average, nn.AvgPool2d)), len(modules(average, nn.MaxPool2d))) == (2, 0)
    assert (len(modules(cnn(), nn.AvgPool2d)), len(modules(cnn(), nn.MaxPool2d))) == (0, 2)


def test_channels_grow_from_stage_to_stage():
    assert CNNConfig(stages=4, width=10, width_multiplier=1.5).widths() == [10, 15, 22, 34]


@pytest.mark.parametrize("norm", ["batch", "layer", "group", "none"])
def test_a_residual_block_with_a_zero_branch_is_the_identity(norm):
    block = cnn(blocks=2, width=8, norm=norm, residual=True, activation="sigmoid").stages[0].block1
    assert isinstance(block, Residual)
    nn.init.zeros_(block.branch.convolution.weight)
    x = torch.randn(2, 8, 4, 4)
    torch.testing.assert_close(block(x), x, rtol=0, atol=0)


def test_a_residual_block_that_changes_the_channels_projects():
    block = cnn(stages=2, width=4, residual=True).stages[1].block1
    nn.init.zeros_(block.branch.convolution.weight)
    x = torch.randn(2, 4, 4, 4)
    torch.testing.assert_close(block(x), torch.einsum("bchw,dc->bdhw", x, block.skip.weight[:, :, 0, 0]))


@pytest.mark.parametrize("activation", sorted(ACTIVATIONS))
@pytest.mark.parametrize(
    ("norm", "kind"), [("batch", nn.BatchNorm2d), ("layer", nn.GroupNorm), ("group", nn.GroupNorm)]
)
def test_each_convolution_has_the_configured_norm_and_activation(activation, norm, kind):
    model = cnn(stages=2, blocks=2, width=16, activation=activation, norm=norm)
    assert len(modules(model, ACTIVATIONS[activation])) == 4
    assert len(modules(model, (nn.BatchNorm2d, nn.GroupNorm))) == len(modules(model, kind)) == 4
    if norm == "layer":
        assert {found.num_groups for found in modules(model, nn.GroupNorm)} == {1}
    if norm == "group":
        assert [found.num_groups for found in modules(model, nn.GroupNorm)] == [2, 2, 4, 4]


@given(channels=st.integers(1, 2048))
@settings(max_examples=25)
def test_groups_divide_the_channels_and_are_never_thin(channels):
    count = groups(channels)
    assert channels % count == 0
    assert count == 1 or channels // count >= 8
    assert all(channels % more or channels // more < 8 for more in (2, 4, 8, 16, 32) if more > count)


def test_convolution_biases_are_left_out_only_in_front_of_a_batch_norm():
    assert all(layer.bias is None for layer in modules(cnn(norm="batch"), nn.Conv2d))
    assert all(layer.bias is not None for layer in modules(cnn(norm="group"), nn.Conv2d))
    assert all(layer.bias is not None for layer in modules(cnn(norm="none"), nn.Conv2d))


def test_dropout_stands_before_every_linear_layer_of_the_head():
    kinds = [type(layer) for layer in cnn(dropout=0.2, head={"mlp": {"width": 16}}, activation="silu").head]
    assert kinds == [QuickDropout, nn.Linear, nn.SiLU, QuickDropout, nn.Linear]
    assert [type(layer) for layer in cnn(head="linear").head] == [nn.Linear]


@pytest.mark.parametrize(
    ("global_pooling", "reference"),
    [
        ("average", lambda x: nn.AdaptiveAvgPool2d(1)(x).flatten(1)),
        ("max", lambda x: nn.AdaptiveMaxPool2d(1)(x).flatten(1)),
        ("none", lambda x: x.flatten(1)),
    ],
)
def test_the_head_sees_what_global_pooling_says(global_pooling, reference):
    x = torch.randn(2, 3, 4, 5)
    torch.testing.assert_close(cnn(global_pooling=global_pooling).collapse(x), reference(x))


def test_weights_are_spread_to_suit_the_activation_before_them():
    torch.manual_seed(0)
    fan = 64 * 9
    for activation, expected in (("relu", (2 / fan) ** 0.5), ("tanh", 5 / 3 * (2 / (2 * fan)) ** 0.5)):
        weight = cnn(stages=1, blocks=2, width=64, activation=activation).stages[0].block1.convolution.weight
        torch.testing.assert_close(weight.std().item(), expected, rtol=0.03, atol=0)
