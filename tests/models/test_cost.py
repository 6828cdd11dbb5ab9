"""Parameters and FLOPs against closed forms."""

import copy
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from harness.models import build, count_flops, count_parameters, example_inputs
from harness.records import Named, TaskKind, TaskShape, image_inputs, table_inputs

TABLE = TaskShape(kind=TaskKind.CLASSIFICATION, outputs=3, inputs=table_inputs(6))


@given(depth=st.integers(1, 4), width=st.integers(4, 64), norm=st.sampled_from(["none", "batch", "group"]))
@settings(max_examples=15)
def test_flops_of_an_mlp_are_two_for_each_weight(depth, width, norm):
    model = build(Named("mlp", {"depth": depth, "width": width, "norm": norm}), TABLE)
    weights = 6 * width + (depth - 1) * width * width + width * 3
    assert count_flops(model, example_inputs(TABLE)).values == {"flops": 2 * weights}


@given(
    image=st.tuples(st.sampled_from([1, 3]), st.integers(1, 9), st.integers(1, 9)),
    stages=st.integers(1, 3),
    blocks=st.integers(1, 2),
    kernel=st.sampled_from([1, 3]),
)
@settings(max_examples=15)
def test_flops_of_a_cnn_are_two_for_each_weight_at_each_position(image, stages, blocks, kernel):
    shape = TaskShape(kind=TaskKind.CLASSIFICATION, outputs=3, inputs=image_inputs(*image))
    model = build(Named("cnn", {"stages": stages, "blocks": blocks, "width": 4, "kernel": kernel}), shape)
    channels, height, width = image
    products = 0
    for stage in range(stages):
        for _ in range(blocks):
            products += kernel**2 * channels * 4 * 2**stage * height * width
            channels = 4 * 2**stage
        height, width = max(height // 2, 1), max(width // 2, 1)
    assert count_flops(model, example_inputs(shape)).values == {"flops": 2 * (products + channels * 3)}


def test_flops_count_embeddings_as_inputs_of_the_next_layer_only():
    shape = TaskShape(kind=TaskKind.REGRESSION, outputs=1, inputs=table_inputs(2, cardinalities=(10,)))
    model = build(Named("mlp", {"depth": 0}), shape)
    assert count_flops(model, example_inputs(shape)).values == {"flops": 2 * (2 + 6)}


def test_counting_leaves_the_model_as_it_was():
    model = build(Named("mlp", {"norm": "batch", "dropout": 0.5}), TABLE)
    before = copy.deepcopy(model.state_dict())
    count_flops(model, example_inputs(TABLE))
    assert model.training
    assert all(parameter.requires_grad and parameter.device.type == "cpu" for parameter in model.parameters())
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())


def test_shared_weights_count_once_but_work_each_time():
    layer = nn.Linear(6, 6, bias=False)
    model = nn.Sequential(layer, layer)
    assert count_parameters(model) == 36
    assert count_flops(model, example_inputs(TABLE)).values == {"flops": 2 * 2 * 36}


def test_frozen_parameters_count_and_buffers_do_not():
    model = nn.BatchNorm1d(5).requires_grad_(False)
    assert count_parameters(model) == 10


class Peeks(nn.Module):
    """Looks at the values of its input, which a meta tensor does not have."""

    def forward(self, x):
        return x if x.sum() > 0 else -x


@pytest.mark.parametrize("model", [Peeks(), nn.Linear(7, 1)])
def test_a_model_that_cannot_run_on_the_meta_device_has_unknown_flops(model):
    figures = count_flops(model, example_inputs(TABLE))
    assert math.isnan(figures.values["flops"])
    assert "cannot run on the meta device" in figures.reasons["flops"]
    assert "\n" not in figures.reasons["flops"]


def test_no_counted_operation_is_unknown_rather_than_free():
    figures = count_flops(nn.Softmax(dim=1), example_inputs(TABLE))
    assert math.isnan(figures.values["flops"])
    assert figures.reasons["flops"]
