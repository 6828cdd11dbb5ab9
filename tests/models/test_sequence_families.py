"""The families for sequences against torch's layers, the papers' networks and closed forms."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from harness.errors import InputError
from harness.models import build, count_flops, count_parameters, evaluating, example_inputs, families
from harness.models.families.lite import Filters, peak, rise
from harness.models.families.transformer import angles
from harness.models.recurrent import turned
from harness.models.sequences import Convolution, Pool, Steps, masked_max, masked_mean
from harness.models.transformers import Attention, Rotation, TransformerConfig
from harness.plan.calibration import Probe
from harness.plan.plan import choose_layout
from harness.records import Input, InputKind, Named, TaskKind, TaskShape, image_inputs, table_inputs
from harness.train.weights import groups_of

RECURRENT = ("rnn", "lstm", "gru")
OF_SERIES = ("inception_time", "lite")
OF_TEXT = ("embedding_bag", "text_cnn")
OF_BOTH = (*RECURRENT, "tcn", "transformer")
GATES = {"rnn": 1, "lstm": 4, "gru": 3}
TORCH = {"rnn": nn.RNN, "lstm": nn.LSTM, "gru": nn.GRU}
WORDS = 11


def shape_of(first, *, masked=False, outputs=3):
    mask = Input(kind=InputKind.MASK, shape=first.shape[:1], dtype="bool")
    inputs = (first, mask) if masked else (first,)
    return TaskShape(kind=TaskKind.CLASSIFICATION, outputs=outputs, inputs=inputs)


def series(steps=9, channels=2, **options):
    return shape_of(Input(kind=InputKind.SERIES, shape=(steps, channels)), **options)


def text(steps=9, **options):
    tokens = Input(kind=InputKind.TOKENS, shape=(steps,), dtype="int64", cardinalities=(WORDS,))
    return shape_of(tokens, **options)


def first_of(shape, batch=4, seed=0):
    generator = torch.Generator().manual_seed(seed)
    sizes = (batch, *shape.inputs[0].sizes)
    if shape.inputs[0].kind is InputKind.TOKENS:
        return torch.randint(2, WORDS, sizes, generator=generator)
    return torch.randn(sizes, generator=generator)


def network(name, shape, **params):
    torch.manual_seed(0)
    return build(Named(name, params), shape)


recurrent = {
    "depth": st.integers(1, 2),
    "width": st.just(4),
    "bidirectional": st.booleans(),
    "pooling": st.sampled_from(["last", "mean", "max", "attention"]),
    "patch": st.integers(1, 4),
    "dropout": st.sampled_from([0.0, 0.3]),
}
configurations = {
    "rnn": {**recurrent, "activation": st.sampled_from(["tanh", "relu"])},
    "lstm": recurrent,
    "gru": recurrent,
    "tcn": {
        "depth": st.integers(1, 3),
        "width": st.just(4),
        "kernel": st.integers(2, 5),
        "pooling": st.sampled_from(["last", "mean", "max", "attention"]),
        "patch": st.integers(1, 4),
        "norm": st.sampled_from(["batch", "layer", "none"]),
        "dropout": st.sampled_from([0.0, 0.3]),
    },
    "inception_time": {
        "depth": st.integers(1, 4),
        "width": st.just(4),
        "kernel": st.sampled_from([4, 9]),
        "residual": st.booleans(),
        "patch": st.integers(1, 4),
    },
    "lite": {
        "depth": st.integers(1, 3),
        "width": st.just(4),
        "kernel": st.sampled_from([4, 9]),
        "filters": st.booleans(),
        "patch": st.integers(1, 4),
    },
    "transformer": {
        "depth": st.integers(1, 2),
        "head_width": st.just(4),
        "positions": st.sampled_from(["learned", "rotary"]),
        "pooling": st.sampled_from(["class", "mean"]),
        "patch": st.integers(1, 4),
    },
    "embedding_bag": {
        "width": st.just(4),
        "depth": st.integers(0, 2),
        "bigrams": st.sampled_from([0, 5]),
        "dropout": st.sampled_from([0.0, 0.3]),
    },
    "text_cnn": {"width": st.just(4), "filters": st.just(4), "kernel": st.integers(1, 4)},
}


def columns(steps=9, **options):
    """Return the shape of images without a mask, whatever is asked for."""
    return shape_of(image_inputs(2, 3, steps)[0], **(options | {"masked": False}))


def kinds_of(name):
    of_series = [series, columns]
    return [*(of_series if name not in OF_TEXT else []), *([text] if name not in OF_SERIES else [])]


@pytest.mark.parametrize("name", configurations)
def test_every_configuration_takes_sequences_of_any_length_and_trains_all_it_has(name):
    @given(
        params=st.fixed_dictionaries(configurations[name]),
        kind=st.sampled_from(kinds_of(name)),
        steps=st.integers(1, 9),
        masked=st.booleans(),
    )
    @settings(max_examples=12)
    def check(params, kind, steps, masked):
        shape = kind(steps, masked=masked)
        model = network(name, shape, **params)
        inputs = (first_of(shape), *example_inputs(shape, batch=4)[1:])
        y = model(*inputs)
        assert y.shape == (4, 3)
        (y - 1).square().sum().backward()
        assert all(parameter.grad is not None for parameter in model.parameters())
        assert bool(torch.isfinite(y).all())
        assert model.eval()(*(each[:1] for each in inputs)).shape == (1, 3)

    check()


LENGTHS = torch.tensor([5, 9, 1, 7])
MASK = torch.arange(9) < LENGTHS[:, None]
PADDED = [
    *((name, {"bidirectional": both, "pooling": pooling, "depth": 2, "patch": patch})
      for name in RECURRENT for both in (True, False) for pooling, patch in (("last", 1), ("mean", 2))),
    *(("lstm", {"pooling": pooling}) for pooling in ("max", "attention")),
    *(("tcn", {"depth": 2, "norm": norm, "pooling": "last"}) for norm in ("batch", "layer", "none")),
    ("inception_time", {"width": 4, "depth": 4}),
    ("inception_time", {"width": 4, "depth": 1, "patch": 2}),
    ("lite", {"width": 4}),
    *(("transformer", {"positions": positions, "pooling": pooling, "depth": 2, "patch": patch})
      for positions in ("learned", "rotary") for pooling, patch in (("mean", 1), ("class", 2))),
    ("embedding_bag", {"width": 8, "bigrams": 7}),
    ("text_cnn", {"width": 8, "filters": 8}),
]  # fmt: skip


def spread(model):
    """Draw every parameter and statistic anew, so that none is 0 or 1."""
    for parameter in model.parameters():
        nn.init.normal_(parameter, std=0.4)
    for layer in model.modules():
        if isinstance(layer, nn.BatchNorm1d | nn.BatchNorm2d):
            nn.init.normal_(layer.running_mean)
    return model.eval()


@pytest.mark.parametrize(("name", "params"), PADDED)
def test_padding_changes_no_answer_whatever_stands_in_it(name, params):
    shape = (text if name in OF_TEXT else series)(masked=True)
    model = spread(network(name, shape, **params)).double()
    x = first_of(shape)
    x = x if name in OF_TEXT else x.double()
    there = MASK if x.ndim == 2 else MASK[..., None]
    clean, dirty = torch.where(there, x, 0), torch.where(there, x, 7)
    y = model(clean, MASK)
    torch.testing.assert_close(model(dirty, MASK), y, rtol=0, atol=0)
    for row, length in enumerate(LENGTHS.tolist()):
        alone = x[row : row + 1, :length]
        full = torch.ones(1, length, dtype=torch.bool)
        torch.testing.assert_close(model(alone, full), y[row : row + 1], rtol=1e-9, atol=1e-9)
        torch.testing.assert_close(model(alone), y[row : row + 1], rtol=1e-9, atol=1e-9)


def torchs(model, name, depth, both):
    """Return torch's layers, all in one, with the weights of ours."""
    width = model.layers[0].onwards.hidden_size
    inputs = model.steps.channels
    other = TORCH[name](inputs, width, depth, batch_first=True, bidirectional=both)
    state = {}
    for number, layer in enumerate(model.layers):
        for part, end in ((layer.onwards, ""), (layer.backwards, "_reverse")):
            if part is not None:
                state |= {f"{key[:-1]}{number}{end}": value for key, value in part.state_dict().items()}
    other.load_state_dict(state)
    return other


@pytest.mark.parametrize("both", [True, False])
@pytest.mark.parametrize("name", RECURRENT)
def test_recurrent_layers_are_torchs_with_packed_sequences_too(name, both):
    shape = series(masked=True)
    model = spread(network(name, shape, depth=2, width=5, bidirectional=both, pooling="last"))
    other = torchs(model, name, 2, both)
    x = first_of(shape)
    y, _ = other(x)
    pooled = torch.cat([y[:, -1, :5], y[:, 0, 5:]], dim=1)
    torch.testing.assert_close(model(x), model.output(pooled))
    packed, state = other(pack_padded_sequence(x, LENGTHS, batch_first=True, enforce_sorted=False))
    hidden = state[0] if name == "lstm" else state
    last = torch.cat([*hidden[-2:]], dim=1) if both else hidden[-1]
    torch.testing.assert_close(model(x, MASK), model.output(last))
    model.pool, model._config = Pool("mean", 1), model._config.model_copy(update={"pooling": "mean"})
    mean = pad_packed_sequence(packed, batch_first=True)[0].sum(1) / LENGTHS[:, None]
    torch.testing.assert_close(model(x, MASK), model.output(mean))


@pytest.mark.parametrize("name", RECURRENT)
def test_weights_between_states_begin_orthogonal_and_a_forget_gate_open(name):
    layer = network(name, series(), width=8).layers[0].onwards
    for gate in layer.weight_hh_l0.split(8):
        torch.testing.assert_close(gate @ gate.T, torch.eye(8))
    biases = layer.bias_ih_l0 + layer.bias_hh_l0
    expected = [0, 1, 0, 0] if name == "lstm" else [0] * GATES[name]
    assert biases.tolist() == [float(value) for value in expected for _ in range(8)]


@pytest.mark.parametrize("both", [True, False])
@pytest.mark.parametrize("name", RECURRENT)
def test_the_flops_of_recurrent_layers_are_those_of_the_closed_form(name, both):
    shape = series(7, 3)
    model = network(name, shape, depth=2, width=6, bidirectional=both)
    ways = 1 + both
    products = 7 * ways * GATES[name] * 6 * ((3 + 6) + (6 * ways + 6))
    assert count_flops(model, example_inputs(shape)).values == {"flops": 2 * (products + 6 * ways * 3)}


def test_a_block_of_the_transformer_is_torchs_encoder_layer():
    shape = series(masked=True)
    model = spread(network("transformer", shape, depth=1, heads=2, head_width=8, activation="relu"))
    block = model.blocks[0]
    other = nn.TransformerEncoderLayer(16, 2, 32, dropout=0.0, norm_first=True, batch_first=True)
    attention, mlp = block.attention.branch, block.mlp.branch
    pairs = {
        "self_attn.in_proj_": attention.attention.inputs,
        "self_attn.out_proj.": attention.attention.output,
        "norm1.": attention.norm,
        "norm2.": mlp.norm,
        "linear1.": mlp.hidden,
        "linear2.": mlp.output,
    }
    other.load_state_dict(
        {f"{name}{key}": getattr(layer, key) for name, layer in pairs.items() for key in ("weight", "bias")}
    )
    x = torch.randn(4, 9, 16)
    theirs = other(x, src_key_padding_mask=~MASK)
    torch.testing.assert_close(block(x, MASK)[MASK], theirs[MASK], rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(block(x), other(x), rtol=1e-4, atol=1e-5)


def test_rotary_positions_see_differences_of_places_alone():
    torch.manual_seed(0)
    rotation = Rotation(angles(8, 12)).double()
    query, key = torch.randn(2, 8, dtype=torch.float64)
    turned_query, turned_key = (rotation(x.expand(1, 1, 12, 8))[0, 0] for x in (query, key))
    products = turned_query @ turned_key.T
    for distance in range(-11, 12):
        along = products.diagonal(distance)
        assert float(along.max() - along.min()) < 1e-5
    assert len({round(float(products[0, place]), 4) for place in range(12)}) == 12


def test_tokens_and_positions_of_a_transformer_do_not_decay():
    model = network("transformer", text(), pooling="class")
    decays = {id(p): group["weight_decay"] for group in groups_of(model, 0.1, 0.01) for p in group["params"]}
    assert decays[id(model.tokens)] == decays[id(model.positions)] == 0.0
    assert decays[id(model.patches.map.weight)] == 0.01


def test_a_step_of_a_tcn_sees_as_far_back_as_the_closed_form_says_and_nothing_later():
    model = network("tcn", series(40, 1), depth=3, kernel=3, width=4, norm="layer")
    blocks = model.blocks.double().eval()
    x = torch.randn(1, 1, 40, dtype=torch.float64, requires_grad=True)
    blocks(x)[0, :, 35].sum().backward()
    seen = x.grad[0, 0].nonzero().flatten().tolist()
    reach = 1 + 2 * 2 * (2**3 - 1)
    assert (min(seen), max(seen)) == (35 - reach + 1, 35)


def test_a_block_of_a_tcn_is_what_the_paper_writes():
    model = spread(network("tcn", series(9, 2), depth=2, kernel=3, width=4, norm="none"))
    block = model.blocks[1].residual.branch
    x = torch.randn(2, 4, 9)
    y = x
    for number in (1, 2):
        layer = getattr(block, f"convolution{number}")
        past = nn.functional.pad(y, (4, 0))
        taps = torch.stack([past[:, :, start : start + 9] for start in (0, 2, 4)])
        y = (torch.einsum("kbct,ock->bot", taps, layer.weight) + layer.bias[:, None]).relu()
    torch.testing.assert_close(model.blocks[1](x), (x + y).relu(), rtol=1e-4, atol=1e-5)


def test_the_papers_networks_for_series_have_their_numbers_of_parameters():
    """The papers' kernels are of 40, 20 and 10 steps, ours of one step more."""
    classes = 5
    inception = count_parameters(network("inception_time", series(30, 1, outputs=classes)))
    further = 3 * 32 + 5 * 3 * 32 * 32
    assert inception == 420_192 + further + (4 * 32 + 1) * classes
    lite = count_parameters(network("lite", series(30, 1, outputs=classes)))
    assert lite == 9_814 + 3 * 32 + (3 * 32 + 17) + 32 + (32 + 1) * classes


def test_a_module_of_inception_time_is_what_the_paper_writes():
    shape = series(20, 3)
    model = spread(network("inception_time", shape, depth=1, width=4, kernel=8))
    module = model.modules_of_three[0].parts[0]
    x = first_of(shape).transpose(1, 2)
    narrow = torch.einsum("bct,oc->bot", x, module.bottleneck.weight[:, :, 0, 0])
    parts = [nn.functional.conv1d(narrow, layer.weight[:, :, 0], padding="same") for layer in module.convolutions]
    edge = nn.functional.pad(x, (1, 1), value=-math.inf)
    highest = torch.stack([edge[:, :, start : start + 20] for start in range(3)]).amax(0)
    parts.append(torch.einsum("bct,oc->bot", highest, module.projection.weight[:, :, 0, 0]))
    by_hand = module.norm(torch.cat(parts, 1)[:, :, None])
    torch.testing.assert_close(module(x[:, :, None], None), by_hand, rtol=1e-4, atol=1e-5)
    assert [layer.weight.shape[3] for layer in module.convolutions] == [9, 5, 3]


@given(data=st.data(), length=st.sampled_from([2, 4, 8]))
@settings(max_examples=20)
def test_filters_tell_rises_from_falls_and_are_silent_where_nothing_changes(data, length):
    steps = data.draw(st.lists(st.floats(0.1, 2.0), min_size=length, max_size=length))
    rising = torch.tensor(steps).cumsum(0)
    assert float(rising @ rise(length)) > 0
    assert float(rising.flip(0) @ rise(length)) < 0
    for shape in (rise(length), peak(2 * length)):
        assert float(shape.sum()) == pytest.approx(0.0, abs=1e-5)


def test_the_filter_for_peaks_answers_most_to_a_peak():
    hill = torch.cat([torch.zeros(8), torch.hann_window(16, periodic=False), torch.zeros(8)])
    answers = nn.functional.conv1d(hill[None, None], peak(16)[None, None], padding=12)[0, 0]
    assert answers.argmax().item() in (16, 17)
    assert answers.max() > -2 * answers.min()


def test_all_filters_stand_in_the_middle_of_one_convolution():
    filters = Filters()
    x = torch.randn(2, 3, 150)
    lengths = [2, 4, 8, 16, 32, 64]
    shapes = [*map(rise, lengths), *(-rise(length) for length in lengths), *map(peak, lengths[1:])]
    each = [nn.functional.conv1d(x.sum(1, keepdim=True), one[None, None], padding="same") for one in map(_odd, shapes)]
    torch.testing.assert_close(filters(x.mT), torch.cat(each, 1).relu().mT, rtol=1e-4, atol=1e-4)
    assert not list(filters.parameters())


@pytest.mark.parametrize("before", [1, 6])
@pytest.mark.parametrize("dilation", [1, 2, 4])
@pytest.mark.parametrize("grouped", [False, True])
def test_a_convolution_of_steps_side_by_side_is_that_of_torch(before, dilation, grouped):
    layer = Convolution(before, 6, 8, dilation=dilation, groups=before if grouped else 1).double()
    x_BTC = torch.randn(3, 21, before, dtype=torch.float64)
    known = nn.functional.conv1d(x_BTC.mT, layer.weight, padding="same", dilation=dilation, groups=layer.groups)
    torch.testing.assert_close(layer(x_BTC), known.mT)
    assert layer.weight.shape[2] == 9


def _odd(shape):
    """Return the filter with a zero in front, so that its middle is that of an even one in Keras."""
    return torch.cat([torch.zeros(1), shape])


def test_an_embedding_bag_is_torchs():
    shape = text(masked=True)
    model = spread(network("embedding_bag", shape, width=6))
    codes = first_of(shape)
    bag = nn.EmbeddingBag.from_pretrained(model.steps.embedding.weight, mode="mean")
    offsets = torch.tensor([0, *LENGTHS.cumsum(0)[:-1]])
    torch.testing.assert_close(model(codes, MASK), model.output(bag(codes[MASK], offsets)))


def test_pairs_of_neighbours_make_the_order_of_words_count():
    shape = text(4)
    codes = torch.tensor([[2, 3, 4, 5]])
    turned_codes = torch.tensor([[5, 4, 3, 2]])
    plain, paired = (spread(network("embedding_bag", shape, bigrams=bigrams)) for bigrams in (0, 97))
    torch.testing.assert_close(plain(codes), plain(turned_codes))
    assert (paired(codes) - paired(turned_codes)).abs().max() > 1e-3
    classes = [(a * 116_049_371 + b) % 97 for a, b in ((2, 3), (3, 4), (4, 5))]
    vectors = torch.cat([paired.steps.embedding(codes[0]), paired.pairs(torch.tensor(classes))])
    torch.testing.assert_close(paired(codes)[0], paired.output(vectors.mean(0)))


def test_a_text_cnn_is_a_linear_map_of_every_window_and_the_maximum():
    shape = text(6)
    model = spread(network("text_cnn", shape, width=4, filters=5, kernel=2))
    codes = first_of(shape)
    x = model.steps.embedding(codes)
    features = []
    for layer in model.convolutions:
        kernel = layer.weight.shape[2]
        windows = nn.functional.pad(x, (0, 0, (kernel - 1) // 2, kernel // 2)).unfold(1, kernel, 1)
        features.append((torch.einsum("btdk,cdk->btc", windows, layer.weight) + layer.bias).amax(1))
    torch.testing.assert_close(model(codes), model.output(torch.cat(features, 1).relu()), rtol=1e-4, atol=1e-5)
    assert [layer.weight.shape[2] for layer in model.convolutions] == [2, 3, 4]


def test_vectors_of_padding_and_unknown_tokens_begin_as_nothing():
    weight = network("gru", text()).steps.embedding.weight
    assert not weight[:2].any()
    assert bool(weight[2:].abs().sum(1).all())


def test_steps_are_taken_together_and_an_image_is_the_series_of_its_columns():
    x = torch.arange(24.0).view(1, 2, 3, 4)
    made, mask = Steps(shape_of(image_inputs(2, 3, 4)[0]), 8)(x)
    assert mask is None
    assert made.shape == (1, 4, 6)
    assert torch.equal(made[0, 1], x[0, :, :, 1].flatten())
    patched = Steps(series(5, 2, masked=True), 8, patch=2)
    assert (patched.count, patched.channels) == (3, 4)
    there = torch.tensor([[True, True, True, False, False]])
    taken, mask = patched(torch.arange(1.0, 11).view(1, 5, 2), there)
    assert taken[0].tolist() == [[1, 2, 3, 4], [5, 6, 0, 0], [0, 0, 0, 0]]
    assert mask.tolist() == [[True, True, False]]


@given(steps=st.integers(1, 3000))
@settings(max_examples=30)
def test_a_patch_that_is_chosen_is_the_smallest_that_leaves_few_steps(steps):
    made = Steps(series(steps, 2), 8, "auto")
    assert made.count == math.ceil(steps / made.patch) <= 256
    assert made.patch == 1 or math.ceil(steps / (made.patch - 1)) > 256


def test_pools_are_what_their_names_say():
    x = torch.randn(4, 9, 3)
    rows = [row[:length] for row, length in zip(x, LENGTHS.tolist(), strict=True)]
    expected = {
        "last": torch.stack([row[-1] for row in rows]),
        "mean": torch.stack([row.mean(0) for row in rows]),
        "max": torch.stack([row.amax(0) for row in rows]),
    }
    for kind, pooled in expected.items():
        torch.testing.assert_close(Pool(kind, 3)(x, MASK), pooled)
    attention = Pool("attention", 3)
    torch.testing.assert_close(attention(x, MASK), expected["mean"])
    nn.init.normal_(attention.score.weight)
    weighted = [(row @ attention.score.weight[0]).softmax(0) @ row for row in rows]
    torch.testing.assert_close(attention(x, MASK), torch.stack(weighted))


def checked(function, *sizes):
    x = torch.randn(*sizes, dtype=torch.float64, requires_grad=True)
    return torch.autograd.gradcheck(function, x)


def test_what_is_written_by_hand_has_the_gradient_of_finite_differences():
    torch.manual_seed(0)
    mask = torch.tensor([[True, True, False], [True, True, True]])
    attention = Pool("attention", 2).double()
    nn.init.normal_(attention.score.weight)
    for function in (masked_mean, masked_max, turned, attention):
        assert checked(lambda x, function=function: function(x, mask), 2, 3, 2)
    steps = Steps(series(3, 2, masked=True), 4, patch=2)
    assert checked(lambda x: steps(x, mask)[0], 2, 3, 2)
    config = TransformerConfig(heads=2, head_width=4)
    layer = Attention(config, Rotation(angles(4, 3)), 1.0).double()
    assert checked(lambda x: layer(x, mask), 2, 3, 8)


@pytest.mark.parametrize("name", ["lstm", "tcn", "inception_time", "lite", "transformer"])
def test_a_whole_network_has_the_gradient_of_finite_differences(name):
    shape = series(4, 2, masked=True)
    small = {"heads": 1, "head_width": 4, "depth": 1} if name == "transformer" else {"width": 4, "depth": 1}
    model = spread(network(name, shape, **small)).double()
    mask = torch.tensor([[True, True, False, False], [True, True, True, True]])
    assert checked(lambda x: model(x, mask), 2, 4, 2)


@pytest.mark.parametrize("name", configurations)
def test_what_does_not_fit_is_told_what_the_family_takes(name):
    table = TaskShape(kind=TaskKind.CLASSIFICATION, outputs=2, inputs=table_inputs(3))
    taken = {
        **dict.fromkeys(OF_BOTH, "series or series and mask or image or tokens or tokens and mask"),
        **dict.fromkeys(OF_SERIES, "series or series and mask or image"),
        **dict.fromkeys(OF_TEXT, "tokens or tokens and mask"),
    }
    message = rf"^architecture\.{name}: takes {taken[name]} inputs, the task has numeric inputs; use one of: .*mlp"
    with pytest.raises(InputError, match=message):
        build(Named(name), table)
    fits = {kind: not families[name].why_not(kind(masked=True)) for kind in (series, text)}
    assert fits == {series: name not in OF_TEXT, text: name not in OF_SERIES}


@pytest.mark.parametrize("inputs", [series().inputs, image_inputs(1, 4, 5)])
def test_the_layout_of_a_series_is_no_question(inputs):
    shape = TaskShape(kind=TaskKind.CLASSIFICATION, outputs=3, inputs=inputs)
    batch = type("Batch", (), {"inputs": example_inputs(shape)})
    probe = Probe(lambda: network("tcn", shape, width=4), batch, torch.device("cpu"), loss=None)
    assert choose_layout(probe, "fp32", memory=object()).value == "contiguous"


def test_dropout_acts_in_training_alone():
    for name in configurations:
        shape = text() if name in OF_TEXT else series()
        model = network(name, shape, dropout=0.5)
        x = first_of(shape)
        assert not torch.equal(model(x), model(x))
        with evaluating(model):
            assert torch.equal(model(x), model(x))
