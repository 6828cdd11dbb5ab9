"""The reference models: their sizes never change, and their FLOPs are right."""

import pytest
import torch
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from harness.bench.macro.models import BACKWARD, CLASSES, FULL, LSTM, SMALL, Layer, flops, references
from harness.models import count_parameters


def counted(work):
    with FlopCounterMode(display=False) as counter:
        work()
    return counter.get_total_flops()


def built(name):
    torch.manual_seed(0)
    return references[name].build()


@pytest.mark.parametrize(
    ("name", "parameters", "forward_flops", "source"),
    [
        ("mlp-1", 1_863_690, 3_723_264, "counter"),
        ("cnn-1", 1_227_594, 389_420_032, "counter"),
        ("lstm-1", 299_530, 75_502_592, "formula"),
        ("transformer-1", 3_211_530, 876_614_656, "formula"),
        ("mlp-1-small", 269_322, 537_600, "counter"),
        ("cnn-1-small", 78_042, 25_003_264, "counter"),
        ("lstm-1-small", 25_738, 1_574_144, "formula"),
        ("transformer-1-small", 106_954, 7_079_168, "formula"),
    ],
)
def test_a_name_stands_for_one_size_for_good(name, parameters, forward_flops, source):
    assert count_parameters(built(name)) == parameters
    assert flops(references[name], batch=1, training=False) == (forward_flops, source)


def test_every_model_has_a_twin_that_is_at_least_six_times_cheaper():
    assert set(references) == {*FULL, *SMALL}
    for name, twin in zip(FULL, SMALL, strict=True):
        costs = [flops(references[each], batch=1, training=False)[0] for each in (name, twin)]
        assert costs[0] > 6 * costs[1]


def test_the_mlp_costs_what_its_layers_say():
    assert flops(references["mlp-1"], batch=1, training=False)[0] == 2 * (784 * 1024 + 1024 * 1024 + 1024 * 10)


def test_the_cnn_costs_what_its_layers_say():
    products = 3 * 9 * 64 * 32**2  # stem
    before, side = 64, 32
    for after in (64, 128, 256):
        side = side if after == 64 else side // 2
        products += (before + after) * 9 * after * side**2
        products += 0 if before == after else before * after * side**2
        before = after
    assert flops(references["cnn-1"], batch=1, training=False)[0] == 2 * (products + 256 * 10)


@pytest.mark.parametrize("name", ["lstm-1", "lstm-1-small"])
def test_the_lstm_costs_what_its_cells_cost_one_by_one(name):
    model, sample = built(name), references[name].sample
    x_1SF = torch.randn(1, *sample)
    lstm = model.lstm

    def by_hand():
        hidden = cell = torch.zeros(1, lstm.hidden_size)
        for step in range(sample[0]):
            gates = (
                torch.addmm(lstm.bias_ih_l0, x_1SF[:, step], lstm.weight_ih_l0.T)
                + torch.addmm(lstm.bias_hh_l0, hidden, lstm.weight_hh_l0.T)
            ).chunk(4, dim=1)
            cell = gates[1].sigmoid() * cell + gates[0].sigmoid() * gates[2].tanh()
            hidden = gates[3].sigmoid() * cell.tanh()
        outputs.append(model.head(hidden))

    outputs = []
    assert counted(by_hand) == flops(references[name], batch=1, training=False)[0]
    torch.testing.assert_close(outputs[0], model(x_1SF))


@pytest.mark.parametrize("name", ["transformer-1", "transformer-1-small"])
def test_the_transformer_costs_what_is_counted_when_attention_is_written_out(name):
    model, x = built(name), torch.randn(1, *references[name].sample)
    with sdpa_kernel(SDPBackend.MATH):
        assert counted(lambda: model(x)) == flops(references[name], batch=1, training=False)[0]


def test_a_layer_of_the_transformer_is_that_of_torch():
    torch.manual_seed(0)
    own = Layer(16, 2)
    torchs = nn.TransformerEncoderLayer(
        16, 2, dim_feedforward=64, dropout=0.0, activation="gelu", batch_first=True, norm_first=True
    )
    pairs = {
        "self_attn.in_proj_": own.qkv,
        "self_attn.out_proj.": own.out,
        "norm1.": own.attention_norm,
        "norm2.": own.hidden[0],
        "linear1.": own.hidden[1],
        "linear2.": own.hidden[3],
    }
    torchs.load_state_dict(
        {f"{prefix}{kind}": getattr(layer, kind) for prefix, layer in pairs.items() for kind in ("weight", "bias")}
    )
    x_BSD = torch.randn(3, 5, 16)
    torch.testing.assert_close(own(x_BSD), torchs(x_BSD))


@pytest.mark.parametrize(
    ("name", "too_much"), [("mlp-1", 0.17), ("mlp-1-small", 0.33), ("cnn-1", 0.003), ("cnn-1-small", 0.012)]
)
def test_the_convention_counts_the_gradient_of_the_input_too_much(name, too_much):
    model, x = built(name), torch.randn(2, *references[name].sample)
    true = counted(lambda: model(x).sum().backward())
    convention, _ = flops(references[name], batch=2, training=True)
    assert convention / true - 1 == pytest.approx(too_much, abs=0.005)


def test_a_step_costs_three_passes_of_every_sample():
    reference = references["lstm-1-small"]
    one, _ = flops(reference, batch=1, training=False)
    assert flops(reference, batch=7, training=False)[0] == 7 * one
    assert flops(reference, batch=7, training=True)[0] == 7 * (1 + BACKWARD) * one == 21 * one


@pytest.mark.parametrize("name", SMALL)
def test_outputs_are_logits_of_the_classes(name):
    model = built(name)
    assert model(torch.randn(3, *references[name].sample)).shape == (3, CLASSES)


@pytest.mark.parametrize("name", SMALL)
def test_no_tensor_is_wider_than_said(name):
    sizes = []
    model = built(name)
    for layer in model.modules():
        layer.register_forward_hook(lambda _, __, out: sizes.append(out.numel()) if torch.is_tensor(out) else None)
    model(torch.randn(1, *references[name].sample))
    widest = references[name].widest
    assert max(sizes) <= widest
    if not isinstance(model, LSTM):  # its gates are inside
        assert max([*sizes, torch.Size(references[name].sample).numel()]) == widest


def test_counting_leaves_the_generator_alone():
    flops.__globals__["_forward_flops"].cache_clear()
    before = torch.random.get_rng_state()
    flops(references["mlp-1-small"], batch=1, training=False)
    assert torch.equal(torch.random.get_rng_state(), before)
