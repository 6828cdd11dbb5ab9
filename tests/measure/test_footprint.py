"""The memory of a training step: against closed forms, and against a real step as torch's profiler saw it."""

import math
import resource
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch
from torch import nn
from torch.profiler import ProfilerActivity, profile
from torch.utils._python_dispatch import TorchDispatchMode

from harness.data import Batch
from harness.measure import training_footprint
from harness.measure.footprint import lstm_workspace
from harness.models import build, example_inputs
from harness.records import Input, InputKind, Named, TaskKind, TaskShape, image_inputs, table_inputs
from harness.spec import Training
from harness.train.loss import make_criterion

MIB = 2**20
NAME = "static_memory_mb"
TABLE = TaskShape(kind=TaskKind.CLASSIFICATION, outputs=8, inputs=table_inputs(64))
IMAGES = TaskShape(kind=TaskKind.CLASSIFICATION, outputs=10, inputs=image_inputs(3, 16, 16))
SERIES = TaskShape(
    kind=TaskKind.CLASSIFICATION,
    outputs=5,
    inputs=(Input(kind=InputKind.SERIES, shape=(50, 3)), Input(kind=InputKind.MASK, shape=(50,), dtype="bool")),
)
TEXT = TaskShape(
    kind=TaskKind.CLASSIFICATION,
    outputs=3,
    inputs=(
        Input(kind=InputKind.TOKENS, shape=(40,), dtype="int64", cardinalities=(500,)),
        Input(kind=InputKind.MASK, shape=(40,), dtype="bool"),
    ),
)
MIXED = TaskShape(kind=TaskKind.REGRESSION, outputs=1, inputs=table_inputs(5, cardinalities=(50, 900)))


def loss_of(shape):
    criterion = make_criterion(shape, Training(), class_counts=None, device=torch.device("cpu"))
    return lambda outputs, targets: criterion.loss(criterion.scores(outputs), targets)


def sample(shape, batch=1):
    classes = shape.kind is TaskKind.CLASSIFICATION
    return Batch(
        example_inputs(shape, batch=batch), torch.zeros(batch, dtype=torch.int64 if classes else torch.float32)
    )


def footprint_mib(make_model, shape, *, batch=4, state_per_parameter=0):
    figures = training_footprint(
        make_model, sample(shape), loss_of(shape), batch=batch, state_per_parameter=state_per_parameter
    )
    assert figures.reasons == {}
    return figures.values[NAME]


def mlp(depth, width):
    return lambda: build(Named("mlp", {"depth": depth, "width": width}), TABLE)


def test_a_small_batch_takes_the_weights_and_their_gradients():
    parameters = (64 + 1) * 1024 + 2 * (1024 + 1) * 1024 + (1024 + 1) * 8
    assert footprint_mib(mlp(3, 1024), TABLE, batch=1) == pytest.approx(2 * 4 * parameters / MIB, rel=0.01)


def test_a_large_batch_takes_what_every_layer_keeps_for_the_backward_pass():
    # After each of 20 activations, and in the backward pass the gradients before and after the last of them.
    numbers = 4096 * (64 + (20 + 2) * 32)
    assert footprint_mib(mlp(20, 32), TABLE, batch=4096) == pytest.approx(4 * numbers / MIB, rel=0.02)


@pytest.mark.parametrize("state_per_parameter", [1, 2])
def test_the_optimizers_numbers_for_each_trained_parameter_are_added(state_per_parameter):
    def half_frozen():
        return nn.Sequential(nn.Linear(64, 512).requires_grad_(False), nn.Linear(512, 8))

    state_mib = footprint_mib(half_frozen, TABLE, state_per_parameter=state_per_parameter) - footprint_mib(
        half_frozen, TABLE
    )
    assert state_mib == pytest.approx(state_per_parameter * 4 * (512 * 8 + 8) / MIB)


def test_shared_weights_count_once():
    def layers(count):
        return nn.Sequential(*[nn.Linear(256, 256) for _ in range(count)], *[nn.Linear(256, 256)] * (8 - count))

    shape = replace(TABLE, inputs=table_inputs(256))
    separate, shared = (footprint_mib(partial(layers, count), shape, batch=1) for count in (7, 0))
    layer_mib = 4 * 256 * 257 / MIB
    assert separate == pytest.approx(2 * 8 * layer_mib, rel=0.05)
    # The weights, their gradient so far, that of one more use, and the sum of both.
    assert shared == pytest.approx(4 * layer_mib, rel=0.05)


def profiled_mib(make_model, shape, batch):
    """Return the peak of a real step on the CPU, by the allocations that torch's profiler recorded."""
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
        model = make_model()
        samples = sample(shape, batch)
        torch.autograd.backward(loss_of(shape)(model(*samples.inputs), samples.targets))
    events = sorted(profiler.profiler.kineto_results.events(), key=lambda event: event.start_ns())
    now = peak = 0
    for event in events:
        if event.name() == "[memory]":
            now += event.nbytes()
            peak = max(peak, now)
    return peak / MIB


@pytest.mark.parametrize(
    ("architecture", "shape"),
    [
        (Named("cnn", {"width": 16, "blocks": 2}), IMAGES),
        (Named("cnn", {"width": 16, "norm": "group", "residual": True, "activation": "gelu"}), IMAGES),
        (Named("cnn", {"width": 16, "global_pooling": "none", "head": {"mlp": {"width": 64}}}), IMAGES),
        pytest.param(Named("speednet", {"width": 16, "depth": 3}), IMAGES, marks=pytest.mark.slow),
        (Named("resnet", {"block": "bottleneck", "stochastic_depth": 0.2}), IMAGES),
        pytest.param(Named("convnext", {"dropout": 0.2, "stochastic_depth": 0.2}), IMAGES, marks=pytest.mark.slow),
        pytest.param(Named("mobilenet", {"stochastic_depth": 0.2}), IMAGES, marks=pytest.mark.slow),
        (Named("vit", {"pooling": "class", "registers": 2, "positions": "rotary", "stochastic_depth": 0.2}), IMAGES),
        (Named("mlp", {"depth": 4, "width": 256, "norm": "batch", "dropout": 0.5, "residual": True}), TABLE),
        (Named("mlp", {"depth": 2, "width": 256, "norm": "layer"}), MIXED),
        (Named("tabm", {"members": 8, "width": 64}), MIXED),
        (Named("tabm", {"members": 8, "width": 64, "kind": "mini"}), TABLE),
        (Named("realmlp", {"width": 256}), MIXED),
        (Named("ft_transformer", {"depth": 2, "heads": 4, "head_width": 16}), MIXED),
        pytest.param(Named("mlp", {"numeric": "periodic"}), TABLE, marks=pytest.mark.slow),
        pytest.param(Named("rnn", {"depth": 2}), SERIES, marks=pytest.mark.slow),
        pytest.param(Named("gru", {"pooling": "attention"}), TEXT, marks=pytest.mark.slow),
        (Named("tcn", {"dropout": 0.2}), SERIES),
        pytest.param(Named("inception_time", {"width": 16}), SERIES, marks=pytest.mark.slow),
        (Named("transformer", {"patch": 4}), SERIES),
        pytest.param(Named("transformer", {"positions": "rotary", "pooling": "class"}), TEXT, marks=pytest.mark.slow),
        pytest.param(Named("embedding_bag", {"depth": 1, "bigrams": 1000}), TEXT, marks=pytest.mark.slow),
    ],
)
def test_a_real_step_takes_about_as_much(architecture, shape):
    def make_model():
        return build(architecture, shape)

    predicted = footprint_mib(make_model, shape, batch=128)
    assert predicted == pytest.approx(profiled_mib(make_model, shape, 128), rel=0.05)


@pytest.mark.parametrize(
    ("architecture", "shape"),
    [
        (Named("lstm", {"depth": 2, "dropout": 0.2}), SERIES),
        (Named("lite"), SERIES),
        (Named("text_cnn"), TEXT),
    ],
)
def test_layers_that_copy_within_take_up_to_a_tenth_more(architecture, shape):
    def make_model():
        return build(architecture, shape)

    assert 0.9 < footprint_mib(make_model, shape, batch=128) / profiled_mib(make_model, shape, 128) < 1.01


class Workspaces(TorchDispatchMode):
    """Keeps the bytes of the workspaces of LSTMs."""

    def __init__(self):
        super().__init__()
        self.found = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        returned = func(*args, **(kwargs or {}))
        if func is torch.ops.aten.mkldnn_rnn_layer.default:
            self.found.append(returned[3].nbytes)
        return returned


@pytest.mark.parametrize(
    ("batch", "steps", "inputs", "width", "off"),
    [(128, 50, 3, 64, 0.0), (16, 20, 128, 64, 0.01), (3, 4, 5, 128, 0.1), (32, 9, 3, 8, 0.2), (8, 9, 40, 24, 0.2)],
)
def test_the_workspace_of_an_lstm_is_what_onednn_takes(batch, steps, inputs, width, off):
    layer = nn.LSTM(inputs, width, batch_first=True)
    with Workspaces() as workspaces:
        layer(torch.zeros(batch, steps, inputs))
    assert [lstm_workspace((steps, batch, inputs), width)] == pytest.approx(workspaces.found, rel=off)


def test_gigabytes_of_weights_are_predicted_without_the_memory():
    def huge():
        layer = nn.Linear(32_768, 32_768, bias=False)
        nn.init.kaiming_normal_(layer.weight)
        return nn.Sequential(nn.Linear(64, 32_768), layer, nn.Linear(32_768, 8))

    before_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert footprint_mib(huge, TABLE, state_per_parameter=2) == pytest.approx(4 * 4096, rel=0.01)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before_kib < 500 * 1024


def test_attention_keeps_no_matrix_of_positions():
    class Attention(nn.Linear):
        def forward(self, x_BF):
            x_BHPD = super().forward(x_BF).view(-1, 1, 1024, 8)
            return nn.functional.scaled_dot_product_attention(x_BHPD, x_BHPD, x_BHPD).mean(dim=(1, 2))

    matrix_mib = 4 * 4 * 1024**2 / MIB
    assert footprint_mib(lambda: Attention(64, 8192), TABLE, batch=4) < matrix_mib / 2


def test_predicting_leaves_the_random_generator_alone():
    torch.manual_seed(0)
    state = torch.get_rng_state()
    footprint_mib(lambda: build(Named("mlp", {"dropout": 0.5}), TABLE), TABLE)
    assert torch.equal(torch.get_rng_state(), state)


class Peeks(nn.Linear):
    """Looks at a value."""

    def forward(self, x_BF):
        return super().forward(x_BF) if x_BF.sum() > 0 else -super().forward(x_BF)


@pytest.mark.parametrize("make_model", [lambda: Peeks(64, 1), lambda: nn.Linear(65, 1)])
def test_a_model_that_cannot_run_without_values_has_an_unknown_footprint(make_model, caplog):
    figures = training_footprint(make_model, sample(TABLE), loss_of(TABLE), batch=4, state_per_parameter=0)
    assert math.isnan(figures.values[NAME])
    assert "cannot run without values" in figures.reasons[NAME]
    assert "\n" not in figures.reasons[NAME]
    assert caplog.records == []


def test_constants_that_are_no_tensors_of_torch_at_first_are_understood():
    class Scaled(nn.Linear):
        def __init__(self):
            super().__init__(64, 8)
            self.scale_F = torch.from_numpy(np.ones(64, np.float32))

        def forward(self, x_BF):
            return super().forward(x_BF * self.scale_F)

    assert footprint_mib(Scaled, TABLE) > 0.0
