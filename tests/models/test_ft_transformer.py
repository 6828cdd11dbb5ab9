"""The ft_transformer family against loops in float64, torch's own dropout and closed forms."""

import itertools
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional

from harness.errors import InputError
from harness.models import build, count_flops, example_inputs
from harness.models.transformers import Attention, TransformerConfig
from harness.records import Named, TaskKind, TaskShape, image_inputs, table_inputs
from harness.train.weights import groups_of, matrices

CARDINALITIES = (4, 2)
SHAPE = TaskShape(kind=TaskKind.CLASSIFICATION, outputs=3, inputs=table_inputs(3, CARDINALITIES))
SMALL = {"depth": 2, "heads": 2, "head_width": 4}
GATES = {"reglu": torch.relu, "geglu": functional.gelu}
PLAIN = {"relu": torch.relu, "silu": functional.silu}


def ft_transformer(shape=SHAPE, **params):
    torch.manual_seed(0)
    return build(Named("ft_transformer", {**SMALL, **params}), shape)


def spread(model):
    """Return the model with no number left that is 0 or 1."""
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.1 * torch.randn(parameter.shape)
    return model


def samples(batch=5):
    torch.manual_seed(1)
    codes = [torch.randint(0, count, (batch,)) for count in CARDINALITIES]
    return torch.randn(batch, 3, dtype=torch.float64), torch.stack(codes, dim=1)


def test_each_column_is_a_token_behind_the_class_token():
    tokens = spread(ft_transformer()).double().tokens
    x_BF, c_BK = samples()
    found = tokens(x_BF, c_BK)
    assert found.shape == (5, 1 + 3 + 2, 8)
    for row in range(5):
        expected = [tokens.front[0, 0]]
        expected += [x_BF[row, column] * tokens.slope[0, column] + tokens.bias[0, column] for column in range(3)]
        for column in range(2):
            before = sum(CARDINALITIES[:column])
            expected.append(tokens.vectors.weight[before + c_BK[row, column]] + tokens.bias[0, 3 + column])
        torch.testing.assert_close(found[row], torch.stack(expected))


def test_categories_that_are_not_known_start_at_their_columns_bias():
    tokens = ft_transformer().tokens
    known, unknown = tokens(torch.zeros(2, 3), torch.tensor([[1, 1], [0, 0]]))[:, 4:]
    torch.testing.assert_close(unknown, tokens.bias[0, 3:])
    assert (known != unknown).all()


def normalised(x, layer):
    if isinstance(layer, nn.Identity):
        return x
    centred = x - x.mean()
    return centred / (centred.square().mean() + layer.eps).sqrt() * layer.weight + layer.bias


def as_the_paper_writes(model, x_F, c_K, activation, gated):
    """Return the outputs for one sample, token by token and head by head."""
    tokens = list(model.tokens(x_F[None], c_K[None])[0])
    for block in model.blocks:
        branch, mlp = block.attention.branch, block.mlp.branch
        parts = [branch.attention.inputs(normalised(token, branch.norm)).chunk(3) for token in tokens]
        attended = []
        for query, _, _ in parts:
            heads = []
            for head in range(2):
                own = slice(4 * head, 4 * head + 4)
                scores = torch.stack([query[own] @ key[own] for _, key, _ in parts]) / 2.0  # the root of 4
                shares = scores.exp() / scores.exp().sum()
                heads.append(sum(share * value[own] for share, (_, _, value) in zip(shares, parts, strict=True)))
            attended.append(branch.attention.output(torch.cat(heads)))
        tokens = [token + more for token, more in zip(tokens, attended, strict=True)]
        for place, token in enumerate(tokens):
            hidden = mlp.hidden(normalised(token, mlp.norm))
            half = len(hidden) // 2
            hidden = hidden[:half] * activation(hidden[half:]) if gated else activation(hidden)
            tokens[place] = token + mlp.output(hidden)
    return model.output(activation(normalised(tokens[0], model.norm)))


@pytest.mark.parametrize("name", [*GATES, *PLAIN])
def test_the_network_is_what_the_paper_writes(name):
    model = spread(ft_transformer(activation=name, expansion=3)).double().eval()
    assert model.blocks[0].mlp.branch.output.in_features == (16 if name in GATES else 24)
    norms = [block.attention.branch.norm for block in model.blocks]
    assert [type(norm) for norm in norms] == [nn.Identity, nn.LayerNorm]
    x_BF, c_BK = samples(batch=2)
    activation = {**GATES, **PLAIN}[name]
    expected = [as_the_paper_writes(model, *row, activation, name in GATES) for row in zip(x_BF, c_BK, strict=True)]
    torch.testing.assert_close(model(x_BF, c_BK), torch.stack(expected))


def test_dropout_in_attention_is_torchs_of_its_weights():
    torch.manual_seed(0)
    layer = Attention(TransformerConfig(heads=2, head_width=4), None, 1.0, 0.4)
    x_BND = torch.randn(3, 5, 8)
    query, key, value = layer.inputs(x_BND).unflatten(-1, (3, 2, 4)).permute(2, 0, 3, 1, 4)
    weights = (query @ key.transpose(-2, -1) / 2.0).softmax(dim=-1)

    def after(weights_BANN):
        return layer.output((weights_BANN @ value).transpose(1, 2).flatten(2))

    torch.manual_seed(5)
    found = layer(x_BND)
    torch.manual_seed(5)
    torch.testing.assert_close(found, after(functional.dropout(weights, 0.4)))
    torch.testing.assert_close(layer.eval()(x_BND), after(weights))


def test_a_schedule_of_dropout_reaches_all_of_it():
    model = ft_transformer(dropout=0.3).train()
    shares = sorted(layer.p for layer in model.modules() if isinstance(layer, nn.Dropout))
    assert shares == [0.1] * 2 + [0.2] * 2 + [0.3] * 4
    for layer in model.modules():
        if isinstance(layer, nn.Dropout):
            layer.p = 0.0
    inputs = example_inputs(SHAPE, batch=4)
    torch.testing.assert_close(model(*inputs), model.eval()(*inputs))


@given(st.permutations(range(3)), st.permutations(range(2)))
@settings(max_examples=5)
def test_the_order_of_columns_does_not_matter(numbers, codes):
    model, other = (spread(ft_transformer()).double().eval() for _ in range(2))
    with torch.no_grad():
        other.tokens.slope.copy_(model.tokens.slope[:, numbers])
        other.tokens.bias.copy_(model.tokens.bias[:, [*numbers, *(3 + code for code in codes)]])
        other.tokens.vectors.weight.copy_(
            torch.cat([model.tokens.vectors.weight.split(CARDINALITIES)[code] for code in codes])
        )
        starts = [0, *itertools.accumulate(CARDINALITIES[code] for code in codes)]
        other.tokens.offsets.copy_(torch.tensor(starts[:-1]))
    x_BF, c_BK = samples()
    torch.testing.assert_close(other(x_BF[:, numbers], c_BK[:, codes]), model(x_BF, c_BK))


def test_tokens_neither_decay_nor_are_matrices():
    model = ft_transformer()
    decayed = {id(p) for group in groups_of(model, 0.1, 0.01) if group["weight_decay"] for p in group["params"]}
    names = {name for name, parameter in model.named_parameters() if id(parameter) in decayed}
    assert names == {name for name, p in model.named_parameters() if p.ndim == 2 and not name.startswith("tokens.")}
    assert decayed == set(map(id, matrices(model)))


configurations = st.fixed_dictionaries(
    {
        "depth": st.integers(1, 2),
        "heads": st.integers(1, 3),
        "head_width": st.sampled_from([4, 8]),
        "expansion": st.integers(1, 4),
        "activation": st.sampled_from(["reglu", "geglu", "gelu"]),
        "attention_dropout": st.sampled_from([0.0, 0.2]),
        "ffn_dropout": st.sampled_from([0.0, 0.2]),
    }
)


@given(params=configurations)
@settings(max_examples=8)
def test_every_configuration_has_the_parameters_and_flops_of_the_closed_form(params):
    model = ft_transformer(**params)
    inputs = example_inputs(SHAPE, batch=3)
    model(*inputs).square().sum().backward()
    assert all(parameter.grad is not None for parameter in model.parameters())
    depth, width = params["depth"], params["heads"] * params["head_width"]
    hidden, halves = params["expansion"] * width, 1
    if params["activation"].endswith("glu"):
        hidden, halves = 2 * hidden // 3, 2
    tokens = (1 + 3 + 5 + sum(CARDINALITIES)) * width
    attention, ffn = 4 * width * width, (halves + 1) * hidden * width
    biases = 4 * width + halves * hidden + width
    norms = 2 * width * (2 * depth - 1 + 1)
    expected = tokens + depth * (attention + ffn + biases) + norms + (width + 1) * 3
    assert sum(p.numel() for p in model.parameters()) == expected
    flops = count_flops(model, example_inputs(SHAPE)).values["flops"]
    assert flops == 2 * (depth * (6 * (attention + ffn) + 2 * 6 * 6 * width) + 3 * width)


def test_the_defaults_are_the_papers():
    model = build(Named("ft_transformer"), SHAPE)
    assert len(model.blocks) == 3
    assert model.blocks[0].mlp.branch.hidden.weight.shape == (2 * 256, 192)
    assert model.tokens.slope.abs().max().item() == pytest.approx(1 / math.sqrt(192), rel=0.02)


@pytest.mark.parametrize("inputs", [table_inputs(0, (3, 4)), table_inputs(2)], ids=["categories", "numbers"])
def test_tables_of_one_kind_of_column_are_taken(inputs):
    shape = TaskShape(kind=TaskKind.REGRESSION, outputs=1, inputs=inputs)
    model = ft_transformer(shape)
    assert model(*example_inputs(shape, batch=5)).shape == (5, 1)
    assert all(parameter.numel() for parameter in model.parameters())


def test_what_does_not_fit_is_told():
    images = TaskShape(kind=TaskKind.CLASSIFICATION, outputs=2, inputs=image_inputs(1, 8, 8))
    with pytest.raises(InputError, match=r"^architecture.ft_transformer: takes numeric or numeric and categorical"):
        ft_transformer(images)
    with pytest.raises(InputError, match=r"^architecture.ft_transformer.head_width: .*multiple of 4"):
        ft_transformer(head_width=6)
