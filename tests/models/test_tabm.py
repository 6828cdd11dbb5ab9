"""The tabm family against perceptrons of torch's own layers, one for each member, and closed forms."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional

from harness.data import Batch
from harness.errors import InputError
from harness.models import Members, build, count_flops, evaluating, example_inputs, mapped
from harness.problems.outputs import prediction
from harness.records import Named, TaskKind, TaskShape, image_inputs, table_inputs
from harness.spec import Training
from harness.train.loss import cost, make_criterion
from harness.train.weights import groups_of, matrices

QUANTILES = ((-1.0, 0.0, 0.5, 1.0), (-2.0, 2.0), (0.0, 0.1, 0.2))
INPUTS = table_inputs(3, (4, 2), QUANTILES)
CLASSES = TaskShape(kind=TaskKind.CLASSIFICATION, outputs=3, inputs=INPUTS)
VALUES = TaskShape(kind=TaskKind.REGRESSION, outputs=1, inputs=INPUTS)


def tabm(shape=CLASSES, **params):
    torch.manual_seed(0)
    model = build(Named("tabm", {"members": 4, "width": 8, **params}), shape)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.1 * torch.randn(parameter.shape)  # nothing is 0 or 1 any more
    return model


def samples(batch=6):
    torch.manual_seed(1)
    return torch.randn(batch, 3), torch.stack([torch.randint(0, 4, (batch,)), torch.randint(0, 2, (batch,))], dim=1)


def alone(model, member, x_BI):
    """Return what one member says, by layers with weights that have its factors in them."""
    found = x_BI * model.start.scale[member]
    for layer in model.hidden:
        parts = dict(layer.named_children())
        weight, bias = parts["linear"].weight, parts["linear"].bias
        if "taken" in parts:
            weight = weight * parts["taken"].scale[member]
        if "returned" in parts:
            weight, bias = weight * parts["returned"].scale[member].T, parts["bias"].bias[member, 0]
        found = functional.relu(functional.linear(found, weight, bias))
    return functional.linear(found, model.output.weight[member].T, model.output.bias[member, 0])


@pytest.mark.parametrize("kind", ["full", "mini"])
@pytest.mark.parametrize("numeric", ["plain", "piecewise_linear", "periodic"])
def test_each_member_is_a_perceptron_with_weights_of_its_own(kind, numeric):
    model = tabm(kind=kind, numeric=numeric, depth=3, dropout=0.0)
    inputs = samples()
    each = model(*inputs).each
    expected = torch.stack([alone(model, member, model.columns(*inputs)) for member in range(4)])
    torch.testing.assert_close(each, expected)


def test_classes_are_answered_with_the_mean_probabilities_and_values_with_their_mean():
    for shape, answers in [(CLASSES, lambda y: y.softmax(dim=-1)), (VALUES, lambda y: y)]:
        model, inputs = tabm(shape, dropout=0.0), samples()
        together, each = model(*inputs)
        torch.testing.assert_close(answers(together), answers(each).mean(dim=0))
        with evaluating(model):
            torch.testing.assert_close(model(*inputs), together)


@pytest.mark.parametrize("mixed", [False, True])
@pytest.mark.parametrize(
    ("outputs", "options"),
    [
        (3, {"label_smoothing": 0.2, "class_weights": "balanced"}),
        (1, {"loss": "binary", "class_weights": "balanced"}),
        (None, {"loss": "huber"}),
    ],
    ids=["weighted", "binary", "values"],
)
def test_the_loss_is_the_mean_of_the_members(outputs, options, mixed):
    torch.manual_seed(2)
    classes = max(outputs or 0, 2)
    kind = TaskKind.REGRESSION if outputs is None else TaskKind.CLASSIFICATION
    shape = TaskShape(kind=kind, outputs=classes if outputs else 1, inputs=INPUTS)
    counts = None if outputs is None else list(range(3, 3 + classes))
    criterion = make_criterion(shape, Training(**options), class_counts=counts, device=torch.device("cpu"))
    each = torch.randn(5, 7, outputs or 1)
    first, second = (torch.randn(7) if outputs is None else torch.randint(0, classes, (7,)) for _ in range(2))
    batch = Batch((), first, second, torch.rand(7)) if mixed else Batch((), first)
    loss, scores = cost(criterion, Members(each[0], each), batch)
    losses = [criterion.training_loss(criterion.scores(one), batch) for one in each]
    torch.testing.assert_close(loss, torch.stack(losses).mean())
    torch.testing.assert_close(scores, criterion.scores(each[0]))


def test_outputs_of_members_stay_members_when_they_are_mapped():
    halves = mapped(torch.Tensor.half, Members(torch.ones(2, 1), torch.ones(3, 2, 1)))
    assert isinstance(halves, Members)
    assert {each.dtype for each in halves} == {torch.float16}
    assert prediction(halves) is halves.together


def test_members_begin_apart_by_one_number_for_each_column():
    for numeric in ("plain", "piecewise_linear", "periodic"):
        torch.manual_seed(0)
        model = build(Named("tabm", {"members": 64, "width": 8, "numeric": numeric}), CLASSES)
        scale_MI, owners = model.start.scale[:, 0], torch.tensor(model.columns.owners)
        assert scale_MI.shape[1] == len(owners) == model.columns(*samples()).shape[1]
        for column in range(5):
            own = scale_MI[:, owners == column]
            assert torch.equal(own, own[:, :1].expand_as(own))
            assert len(own[:, 0].unique()) == (2 if numeric == "plain" else 64)
        if numeric == "plain":
            assert set(scale_MI.unique().tolist()) == {-1.0, 1.0}


configurations = st.fixed_dictionaries(
    {
        "members": st.integers(2, 5),
        "kind": st.sampled_from(["full", "mini"]),
        "depth": st.integers(1, 3),
        "width": st.integers(4, 12),
        "activation": st.sampled_from(["relu", "tanh"]),
        "numeric": st.sampled_from(["plain", "piecewise_linear"]),
    }
)


@given(params=configurations)
@settings(max_examples=20)
def test_every_configuration_has_the_parameters_and_flops_of_the_closed_form(params):
    model = build(Named("tabm", params), CLASSES)
    model(*samples()).each.square().sum().backward()
    assert all(parameter.grad is not None for parameter in model.parameters())
    members, width, further = params["members"], params["width"], params["depth"] - 1
    vectors = sum(embed.weight.numel() for embed in model.columns.embeddings)
    inputs = len(model.columns.owners)
    weights = inputs * width + further * width * width
    full = members * (2 * width + further * 3 * width)
    own = full if params["kind"] == "full" else width * (1 + further)
    heads = members * (width + 1) * 3
    assert sum(p.numel() for p in model.parameters()) == vectors + members * inputs + weights + own + heads
    flops = count_flops(model, example_inputs(CLASSES)).values["flops"]
    assert flops == 2 * members * (weights + width * 3)


def test_what_members_have_for_themselves_neither_decays_nor_is_a_matrix():
    model = tabm()
    decayed = {id(p) for group in groups_of(model, 0.1, 0.01) if group["weight_decay"] for p in group["params"]}
    names = {name for name, parameter in model.named_parameters() if id(parameter) in decayed}
    embeddings = {"columns.embeddings.0.weight", "columns.embeddings.1.weight"}
    assert names == embeddings | {"hidden.0.linear.weight", "hidden.1.linear.weight", "output.weight"}
    assert len(matrices(model)) == 2


def test_images_are_told_what_fits_them():
    shape = TaskShape(kind=TaskKind.CLASSIFICATION, outputs=2, inputs=image_inputs(1, 8, 8))
    with pytest.raises(InputError, match=r"^architecture.tabm: takes numeric or numeric and categorical inputs, .*cnn"):
        tabm(shape)


def test_no_dropout_layer_stands_where_it_would_do_nothing():
    assert any(isinstance(layer, nn.Dropout) for layer in tabm(dropout=0.1).modules())
    assert not any(isinstance(layer, nn.Dropout) for layer in tabm(dropout=0.0).modules())
