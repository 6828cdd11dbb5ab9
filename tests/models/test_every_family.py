"""What holds for every built-in family, whatever its parameters."""

import copy
import pickle

import pytest
import torch
from torch import nn

from harness.models import build, evaluating, example_inputs, families, prediction
from harness.records import Input, InputKind, Named, TaskKind, TaskShape, image_inputs, table_inputs

IMAGE = TaskShape(kind=TaskKind.CLASSIFICATION, outputs=2, inputs=image_inputs(1, 6, 6))
TABLE = TaskShape(kind=TaskKind.CLASSIFICATION, outputs=2, inputs=table_inputs(3, cardinalities=(4, 2)))
WINDOW = (Input(kind=InputKind.SERIES, shape=(8, 3)),)
STRETCH = TaskShape(kind=TaskKind.CLASSIFICATION, outputs=2, inputs=WINDOW)
FORECAST = TaskShape(kind=TaskKind.FORECASTING, outputs=2, inputs=WINDOW)
SERIES = TaskShape(
    kind=TaskKind.REGRESSION,
    outputs=2,
    inputs=(Input(kind=InputKind.SERIES, shape=(12, 2)), Input(kind=InputKind.MASK, shape=(12,), dtype="bool")),
)
TEXT = TaskShape(
    kind=TaskKind.CLASSIFICATION,
    outputs=2,
    inputs=(
        Input(kind=InputKind.TOKENS, shape=(10,), dtype="int64", cardinalities=(9,)),
        Input(kind=InputKind.MASK, shape=(10,), dtype="bool"),
    ),
)
CASES = [
    pytest.param(Named("mlp", {"norm": "batch", "residual": True, "dropout": 0.1}), IMAGE, id="mlp-image"),
    pytest.param(Named("mlp", {"norm": "group"}), TABLE, id="mlp-table"),
    pytest.param(Named("mlp", {"numeric": "periodic"}), TABLE, id="mlp-periodic"),
    pytest.param(Named("cnn", {"width": 8, "residual": True, "blocks": 2}), IMAGE, id="cnn-residual"),
    pytest.param(
        Named("cnn", {"width": 8, "global_pooling": "none", "head": "mlp", "norm": "group"}), IMAGE, id="cnn-flatten"
    ),
    pytest.param(Named("speednet", {"width": 8, "depth": 3, "flip_average": True}), IMAGE, id="speednet"),
    pytest.param(Named("resnet", {"stages": 2, "stochastic_depth": 0.1}), IMAGE, id="resnet"),
    pytest.param(Named("resnet", {"width": 8, "block": "bottleneck", "order": "pre"}), IMAGE, id="resnet-pre"),
    pytest.param(Named("convnext", {"stages": 2, "stochastic_depth": 0.1}), IMAGE, id="convnext"),
    pytest.param(Named("mobilenet", {"stages": 2, "stochastic_depth": 0.1}), IMAGE, id="mobilenet"),
    pytest.param(Named("vit", {"depth": 2, "stochastic_depth": 0.1}), IMAGE, id="vit"),
    pytest.param(Named("vit", {"depth": 1, "positions": "rotary", "pooling": "class"}), IMAGE, id="vit-rotary"),
    pytest.param(Named("tabm", {"width": 16, "members": 4}), TABLE, id="tabm"),
    pytest.param(Named("tabm", {"width": 16, "kind": "mini", "numeric": "piecewise_linear"}), TABLE, id="tabm-mini"),
    pytest.param(Named("realmlp", {"width": 16}), TABLE, id="realmlp"),
    pytest.param(Named("ft_transformer", {"depth": 2, "heads": 2, "head_width": 8}), TABLE, id="ft_transformer"),
    pytest.param(Named("dlinear", {"kernel": 3, "dropout": 0.1}), STRETCH, id="dlinear"),
    pytest.param(Named("nhits", {"width": 32, "dropout": 0.1}), FORECAST, id="nhits"),
    pytest.param(Named("rnn", {"width": 8, "pooling": "last", "activation": "relu"}), SERIES, id="rnn"),
    pytest.param(Named("lstm", {"width": 8, "depth": 2, "pooling": "attention", "dropout": 0.1}), SERIES, id="lstm"),
    pytest.param(Named("gru", {"width": 8, "bidirectional": False}), TEXT, id="gru"),
    pytest.param(Named("gru", {"width": 8, "patch": 2}), IMAGE, id="gru-image"),
    pytest.param(Named("tcn", {"width": 8, "depth": 2, "kernel": 3, "dropout": 0.1}), SERIES, id="tcn"),
    pytest.param(Named("tcn", {"width": 8, "depth": 2, "norm": "layer", "pooling": "max"}), TEXT, id="tcn-text"),
    pytest.param(Named("inception_time", {"width": 4, "depth": 4, "kernel": 8}), SERIES, id="inception_time"),
    pytest.param(Named("lite", {"width": 8, "kernel": 8}), SERIES, id="lite"),
    pytest.param(Named("transformer", {"depth": 1, "patch": 3, "pooling": "class"}), SERIES, id="transformer"),
    pytest.param(
        Named("transformer", {"depth": 1, "positions": "rotary", "dropout": 0.1}), TEXT, id="transformer-text"
    ),
    pytest.param(Named("embedding_bag", {"width": 8, "depth": 1, "bigrams": 20}), TEXT, id="embedding_bag"),
    pytest.param(Named("text_cnn", {"width": 8, "filters": 8, "kernel": 2}), TEXT, id="text_cnn"),
]
FURTHER = {
    *(
        "mlp-periodic",
        "cnn-flatten",
        "resnet-pre",
        "vit-rotary",
        "tabm-mini",
        "gru-image",
        "tcn-text",
        "transformer-text",
    ),
    *("convnext", "mobilenet", "nhits", "rnn", "inception_time", "lite", "text_cnn"),
}
"""Cases whose parts others have too: among the slow tests."""
every_case = pytest.mark.parametrize(
    ("architecture", "shape"),
    [pytest.param(*case.values, id=case.id, marks=pytest.mark.slow) if case.id in FURTHER else case for case in CASES],
)


def samples(shape, batch=32):
    generator = torch.Generator().manual_seed(1)
    x, *others = example_inputs(shape, batch=batch)
    first = shape.inputs[0]
    if first.kind is InputKind.TOKENS:
        x = torch.randint(2, first.cardinalities[0], x.shape, generator=generator)
    else:
        x = torch.randn(x.shape, generator=generator)
    if shape.find(InputKind.MASK):
        steps = x.shape[1]
        mask = torch.arange(steps) < torch.randint(1, steps + 1, (batch, 1), generator=generator)
        return x * (mask if x.ndim == 2 else mask[..., None]), mask
    return (x, *others)


def test_every_family_is_tested_here():
    trained = {name for name, known in families.items() if known.fitting is None}  # test_classical.py has the others
    assert {case.values[0].name for case in CASES} == trained


@every_case
def test_weights_are_the_same_for_the_same_seed_only(architecture, shape):
    torch.manual_seed(7)
    first = build(architecture, shape).state_dict()
    torch.manual_seed(7)
    second = build(architecture, shape).state_dict()
    other = build(architecture, shape).state_dict()
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert any(not torch.equal(first[name], other[name]) for name in first)


@every_case
def test_a_model_is_built_and_run_on_the_meta_device(architecture, shape):
    with torch.device("meta"):
        model = build(architecture, shape)
    assert all(parameter.is_meta for parameter in model.parameters())
    outputs = prediction(model(*example_inputs(shape, batch=3, device="meta")))
    assert outputs.shape == (3, shape.outputs)


@every_case
def test_channels_last_changes_nothing_but_the_layout(architecture, shape):
    model = build(architecture, shape).eval()
    inputs = samples(shape)
    expected = model(*inputs)
    model = model.to(memory_format=torch.channels_last)
    if inputs[0].ndim == 4:
        inputs = (inputs[0].to(memory_format=torch.channels_last), *inputs[1:])
    torch.testing.assert_close(model(*inputs), expected, rtol=1e-4, atol=1e-5)


@every_case
def test_bf16_autocast_stays_close_and_trains(architecture, shape):
    torch.manual_seed(0)
    model = build(architecture, shape)
    inputs = samples(shape)
    with evaluating(model):
        expected = model(*inputs)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            torch.testing.assert_close(model(*inputs).float(), expected, rtol=0.1, atol=0.1)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        y = prediction(model(*inputs))
    y.float().square().sum().backward()
    assert all(parameter.grad is not None for parameter in model.parameters() if parameter.requires_grad)


@every_case
def test_one_sample_gives_the_same_alone_as_in_a_batch(architecture, shape):
    model = build(architecture, shape).eval()
    inputs = samples(shape)
    alone = model(*(tensor[:1] for tensor in inputs))
    torch.testing.assert_close(alone, model(*inputs)[:1], rtol=1e-4, atol=1e-5)


@every_case
def test_a_small_problem_is_learned(architecture, shape):
    torch.manual_seed(0)
    model = build(architecture, shape)
    inputs = samples(shape)
    means = inputs[0].flatten(1).float().mean(dim=1)
    targets = (means > (means.median() if shape is TEXT else 0)).long()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)

    def loss():
        with evaluating(model), torch.no_grad():
            return nn.functional.cross_entropy(model(*inputs), targets).item()

    start = loss()
    for _ in range(30):
        optimizer.zero_grad()
        nn.functional.cross_entropy(prediction(model(*inputs)), targets).backward()
        optimizer.step()
    assert loss() < 0.7 * start


@every_case
def test_the_state_survives_a_copy(architecture, shape):
    model = build(architecture, shape).eval()
    other = build(architecture, shape).eval()
    other.load_state_dict(copy.deepcopy(model.state_dict()))
    inputs = samples(shape)
    torch.testing.assert_close(other(*inputs), model(*inputs), rtol=0, atol=0)
    sent = pickle.loads(pickle.dumps(model))  # as a process sends the model that it has trained
    torch.testing.assert_close(sent(*inputs), model(*inputs), rtol=0, atol=0)


def test_evaluating_gives_each_module_back_its_own_mode_even_after_an_error():
    model = nn.Sequential(nn.Linear(1, 1), nn.Dropout())
    model[1].eval()
    try:
        with evaluating(model):
            assert not any(module.training for module in model.modules())
            raise RuntimeError
    except RuntimeError:
        pass
    assert [model.training, model[0].training, model[1].training] == [True, True, False]


def test_example_inputs_are_what_the_task_is_called_with():
    (x,) = example_inputs(IMAGE, batch=2)
    assert (x.shape, x.dtype) == ((2, 1, 6, 6), torch.float32)
    x, codes = example_inputs(TABLE)
    assert (x.shape, codes.shape, codes.dtype) == ((1, 3), (1, 2), torch.int64)


OTHERS = {
    "width": [8, 16],
    "shape": ["constant", "pyramid"],
    "activation": ["relu", "tanh"],
    "norm": ["none", "batch"],
    "dropout": [0.0, 0.5],
    "residual": [False, True],
    "width_multiplier": [1.0, 3.0],
    "pooling": ["max", "average"],
}
RULES = [(name, rule) for name in families for rule in families[name].idle]


def fitting(name):
    return next(shape for shape in (IMAGE, TEXT) if not families[name].why_not(shape))


@pytest.mark.parametrize(("name", "rule"), RULES)
def test_what_is_said_to_do_nothing_does_nothing(name, rule):
    found, shape = [], fitting(name)
    for changed in ({param: value} for param in rule.names for value in OTHERS[param]):
        torch.manual_seed(7)
        model = build(Named(name, {**rule.where, **changed}), shape)
        torch.manual_seed(8)
        found.append((model.state_dict(), model(*samples(shape))))
    weights, outputs = found[0]
    for others, other in found[1:]:
        assert torch.equal(other, outputs)
        assert all(torch.equal(others[key], tensor) for key, tensor in weights.items())


@pytest.mark.parametrize(("name", "rule"), RULES)
def test_what_is_said_to_do_nothing_does_something_beyond(name, rule):
    shape = fitting(name)
    beyond = {param: limit + 1 for param, limit in rule.where.items()}
    if name == "mlp" and beyond["depth"] == 1:
        beyond["depth"] = 2
    for param in rule.names:
        outputs = []
        for value in OTHERS[param]:
            torch.manual_seed(7)
            model = build(Named(name, {**beyond, param: value}), shape)
            torch.manual_seed(8)
            outputs.append(model(*samples(shape)))
        assert not torch.equal(*outputs)
