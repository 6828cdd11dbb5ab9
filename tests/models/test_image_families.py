"""The families for images against the papers' networks, torch's layers and closed forms."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from harness.errors import InputError
from harness.models import build, count_flops, count_parameters, evaluating, example_inputs, families
from harness.models.families.convnext import Block, ConvnextConfig
from harness.models.families.mobilenet import SqueezeExcite
from harness.models.families.vit import VitConfig, angles
from harness.models.layers import Residual
from harness.models.stages import Place, StochasticDepth, patches
from harness.models.transformers import Attention, Rotation
from harness.records import Named, TaskKind, TaskShape, image_inputs, table_inputs
from harness.train.weights import groups_of

FAMILIES = ("resnet", "convnext", "mobilenet", "vit")


def shape_of(*sizes, outputs=5):
    return TaskShape(kind=TaskKind.CLASSIFICATION, outputs=outputs, inputs=image_inputs(*sizes))


SMALL = shape_of(1, 8, 8)
LARGE = shape_of(3, 224, 224, outputs=1000)

stages = {"stages": st.integers(1, 3), "width": st.sampled_from([4, 6, 8]), "blocks": st.integers(1, 2)}
activations = st.sampled_from(["relu", "gelu", "tanh"])
norms = st.sampled_from(["batch", "group", "layer", "none"])
configurations = {
    "resnet": st.fixed_dictionaries(
        {
            **stages,
            "block": st.sampled_from(["basic", "bottleneck"]),
            "order": st.sampled_from(["post", "pre"]),
            "stem": st.sampled_from(["small", "large"]),
            "activation": activations,
            "norm": norms,
        }
    ),
    "convnext": st.fixed_dictionaries(
        {
            **stages,
            "patch": st.integers(1, 5),
            "kernel": st.sampled_from([3, 7]),
            "expansion": st.integers(1, 2),
            "layer_scale": st.sampled_from([0.0, 0.1]),
        }
    ),
    "mobilenet": st.fixed_dictionaries(
        {
            **stages,
            "expansion": st.integers(1, 3),
            "squeeze_excite": st.sampled_from([0.0, 0.1, 1.0]),
            "features": st.just(8),
            "stem": st.sampled_from(["small", "large"]),
            "norm": norms,
        }
    ),
    "vit": st.fixed_dictionaries(
        {
            "patch": st.integers(1, 5),
            "depth": st.integers(1, 2),
            "heads": st.integers(1, 2),
            "head_width": st.sampled_from([4, 8]),
            "positions": st.sampled_from(["learned", "rotary"]),
            "pooling": st.sampled_from(["class", "mean"]),
            "registers": st.integers(0, 2),
        }
    ),
}


@pytest.mark.parametrize("name", FAMILIES)
def test_every_configuration_takes_images_of_any_size_and_trains_all_it_has(name):
    @given(params=configurations[name], sizes=st.tuples(st.integers(1, 3), st.integers(1, 9), st.integers(1, 9)))
    @settings(max_examples=20)
    def check(params, sizes):
        torch.manual_seed(0)
        model = build(Named(name, params), shape_of(*sizes))
        y = model(torch.randn(3, *sizes))
        assert y.shape == (3, 5)
        (y - 1).square().sum().backward()
        assert all(parameter.grad is not None for parameter in model.parameters())
        assert bool(torch.isfinite(y).all())
        assert model.eval()(torch.randn(1, *sizes)).shape == (1, 5)

    check()


# The networks of the papers, with the numbers of parameters of torchvision's models.
RESNET18 = {"stages": 4, "width": 64, "stem": "large"}
VIT_B16 = {"depth": 12, "heads": 12, "head_width": 64, "expansion": 4, "patch": 16, "pooling": "class"}


def parameters_of(name, params, shape=LARGE):
    with torch.device("meta"):
        return count_parameters(build(Named(name, params), shape))


def test_the_networks_of_the_papers_have_their_numbers_of_parameters():
    assert parameters_of("resnet", RESNET18) == 11_689_512
    assert parameters_of("vit", VIT_B16) == 86_567_656 - 768  # the class token has no position here


def test_a_bottleneck_network_has_the_parameters_of_the_closed_form():
    # ResNet-50 has 3, 4, 6 and 3 blocks in its stages; here each has two, so the further ones are taken off.
    further = sum(n * (8 * w * w + 9 * w * w + 12 * w) for n, w in zip((1, 2, 4, 1), (64, 128, 256, 512), strict=True))
    assert parameters_of("resnet", {**RESNET18, "block": "bottleneck"}) == 25_557_032 - further


def test_a_convnext_has_the_parameters_of_the_closed_form():
    # ConvNeXt-T has 3, 3, 9 and 3 blocks in its stages; here each has three.
    tiny = {"stages": 4, "width": 96, "blocks": 3, "patch": 4, "kernel": 7}
    further = 6 * (384 * 49 + 384 + 2 * 384 + 2 * 4 * 384**2 + 5 * 384 + 384)
    assert parameters_of("convnext", tiny) == 28_589_128 - further


def test_the_flops_of_the_papers_networks_are_theirs():
    """torchvision gives 1.814 and 17.564 billion multiply-adds; torch's counter takes each for two operations."""
    for name, params, billions in (("resnet", RESNET18, 1.814), ("vit", VIT_B16, 17.564)):
        with torch.device("meta"):
            model = build(Named(name, params), LARGE)
        (image,) = example_inputs(LARGE, device="meta")
        assert count_flops(model, [image]).values["flops"] == pytest.approx(2e9 * billions, rel=0.01)


def test_attention_is_torchs():
    torch.manual_seed(0)
    own = Attention(VitConfig(heads=3, head_width=8), None, 1.0)
    other = nn.MultiheadAttention(24, 3, batch_first=True)
    other.load_state_dict(
        {
            "in_proj_weight": own.inputs.weight,
            "in_proj_bias": own.inputs.bias,
            "out_proj.weight": own.output.weight,
            "out_proj.bias": own.output.bias,
        }
    )
    x = torch.randn(2, 7, 24)
    torch.testing.assert_close(own(x), other(x, x, x, need_weights=False)[0])


def test_a_block_of_vit_is_torchs_encoder_layer():
    torch.manual_seed(0)
    block = build(Named("vit", {"depth": 1, "heads": 2, "head_width": 8, "activation": "relu"}), SMALL).blocks[0]
    for parameter in block.parameters():
        nn.init.normal_(parameter, std=0.3)
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
    x = torch.randn(2, 5, 16)
    torch.testing.assert_close(block(x), other(x), rtol=1e-4, atol=1e-5)


def test_rotary_positions_see_differences_of_places_alone():
    """The product of a turned query and key depends on how far their patches are apart, down and across."""
    torch.manual_seed(0)
    rotation = Rotation(angles(16, (5, 4))).double()
    query, key = torch.randn(2, 16, dtype=torch.float64)
    turned = [rotation(x.expand(1, 1, 20, 16))[0, 0].unflatten(0, (5, 4)) for x in (query, key)]
    products = torch.einsum("abk,cdk->abcd", *turned)
    found = {}
    for a, b, c, d in torch.cartesian_prod(*map(torch.arange, (5, 4, 5, 4))).tolist():
        found.setdefault((c - a, d - b), []).append(float(products[a, b, c, d]))
    assert all(max(values) - min(values) < 1e-5 for values in found.values())
    assert len({round(values[0], 3) for values in found.values()}) == len(found)
    assert found[0, 0][0] == pytest.approx(float(query @ key), abs=1e-6)


def test_tokens_that_are_no_patches_are_not_turned():
    params = {"patch": 4, "heads": 1, "head_width": 8, "positions": "rotary", "registers": 2, "pooling": "class"}
    rotation = build(Named("vit", params), SMALL).blocks[0].attention.branch.attention.rotation
    x = torch.randn(1, 1, 7, 8)
    turned = rotation(x)
    assert torch.equal(turned[:, :, :4], x[:, :, :4])  # the first patch is at row 0 and column 0
    assert not torch.equal(turned[:, :, 4:], x[:, :, 4:])
    torch.testing.assert_close(turned.norm(dim=-1), x.norm(dim=-1))


def test_rotary_attention_has_the_gradient_of_finite_differences():
    torch.manual_seed(0)
    config = VitConfig(heads=2, head_width=4)
    attention = Attention(config, Rotation(angles(4, (2, 2))), 1.0).double()
    assert torch.autograd.gradcheck(attention, torch.randn(1, 4, 8, dtype=torch.float64, requires_grad=True))


@pytest.mark.parametrize(("positions", "pooling"), [("learned", "mean"), ("rotary", "mean"), ("rotary", "class")])
def test_a_vit_knows_where_its_patches_are(positions, pooling):
    torch.manual_seed(0)
    params = {"patch": 4, "positions": positions, "pooling": pooling, "registers": 1}
    model = build(Named("vit", params), SMALL).eval()
    x = torch.randn(2, 1, 8, 8)
    moved = x.roll(4, 3)
    assert (model(x) - model(moved)).abs().max() > 1e-4


def test_tokens_and_positions_of_a_vit_do_not_decay():
    model = build(Named("vit", {"pooling": "class", "registers": 2}), SMALL)
    decays = {id(p): group["weight_decay"] for group in groups_of(model, 0.1, 0.01) for p in group["params"]}
    assert decays[id(model.tokens)] == decays[id(model.positions)] == 0.0
    assert decays[id(model.patches.weight)] == 0.01


def test_the_width_of_a_head_must_be_a_multiple_of_four():
    with pytest.raises(InputError, match=r"architecture\.vit\.head_width: .*multiple of 4"):
        build(Named("vit", {"head_width": 6}), SMALL)


def test_patches_that_fit_are_a_linear_map_of_their_pixels_and_others_are_padded():
    layer, counts = patches(2, 5, 3, (6, 9))
    x = torch.randn(4, 2, 6, 9)
    by_hand = nn.functional.unfold(x, 3, stride=3).transpose(1, 2) @ layer.weight.flatten(1).T + layer.bias
    torch.testing.assert_close(layer(x).flatten(2).transpose(1, 2), by_hand)
    assert counts == (2, 3)


@given(side=st.integers(1, 9), height=st.integers(1, 20), width=st.integers(1, 20))
@settings(max_examples=60)
def test_every_pixel_is_in_a_patch(side, height, width):
    layer, counts = patches(1, 4, side, (height, width))
    x = torch.zeros(1, 1, height, width, requires_grad=True)
    out = layer(x)
    assert out.shape[2:] == counts == (math.ceil(height / min(side, height)), math.ceil(width / min(side, width)))
    out.square().sum().backward()
    nn.init.ones_(layer.weight)
    x.grad = None
    layer(x).sum().backward()
    assert bool((x.grad == 4).all())


@pytest.mark.parametrize(("order", "block"), [("post", "basic"), ("post", "bottleneck"), ("pre", "basic")])
def test_a_block_of_resnet_is_what_the_paper_writes(order, block):
    torch.manual_seed(0)
    params = {"stages": 2, "blocks": 1, "width": 4, "order": order, "block": block}
    model = build(Named("resnet", params), SMALL).eval()
    x = torch.randn(2, 4 * (4 if block == "bottleneck" else 1), 8, 8)
    last = model.blocks[1]
    residual = last if order == "pre" else last.residual
    layers = dict(residual.branch.named_children())
    y, count = x, 3 if block == "bottleneck" else 2
    for number in range(1, count + 1):
        norm, convolution = layers[f"norm{number}"], layers[f"convolution{number}"]
        if order == "pre":
            y = convolution(norm(y).relu())
        else:
            y = norm(convolution(y))
            y = y.relu() if number < count else y
    y = y + residual.skip(x)
    torch.testing.assert_close(last(x), y if order == "pre" else y.relu())
    assert y.shape[2:] == (4, 4)


def test_a_block_of_convnext_is_what_the_paper_writes():
    torch.manual_seed(0)
    block = Block(ConvnextConfig(kernel=7), Place(6, 6, 1, 0.0))
    x = torch.randn(2, 6, 5, 4)
    y = nn.functional.conv2d(x, block.depthwise.weight, block.depthwise.bias, padding=3, groups=6)
    y = (y - y.mean(1, keepdim=True)) / (y.var(1, unbiased=False, keepdim=True) + 1e-5).sqrt()
    y = nn.functional.conv2d(y, block.expand.weight[:, :, None, None], block.expand.bias)
    y = nn.functional.conv2d(nn.functional.gelu(y), block.project.weight[:, :, None, None], block.project.bias)
    torch.testing.assert_close(block(x), x + 0.1 * y, rtol=1e-4, atol=1e-5)


def test_mobilenets_add_where_the_shape_stays():
    model = build(Named("mobilenet", {"stages": 2, "blocks": 2, "width": 8}), SMALL)
    assert [isinstance(block, Residual) for block in model.blocks] == [True, True, False, True]
    depthwise = model.blocks[2].depthwise_convolution
    assert (depthwise.groups, depthwise.in_channels, depthwise.stride) == (32, 32, (2, 2))
    plain = build(Named("mobilenet", {"expansion": 1, "squeeze_excite": 0.0}), SMALL)
    assert not any("expand" in name or "squeeze" in name for name in plain.state_dict())


def test_squeeze_excite_multiplies_each_channel_by_a_factor_of_all_means():
    torch.manual_seed(0)
    layer = SqueezeExcite(6, 2, "relu")
    x = torch.randn(3, 6, 4, 5)
    hidden = (x.mean((2, 3)) @ layer.squeeze.weight.flatten(1).T).relu()
    factors = torch.sigmoid(hidden @ layer.excite.weight.flatten(1).T)
    torch.testing.assert_close(layer(x), x * factors[:, :, None, None])


def test_stochastic_depth_drops_whole_samples_in_training_alone_and_keeps_the_mean():
    torch.manual_seed(0)
    layer, x = StochasticDepth(0.25), torch.ones(4000, 3, 2)
    y = layer(x)
    whole = y.flatten(1)
    assert bool((whole == whole[:, :1]).all())
    torch.testing.assert_close(y.unique(), torch.tensor([0.0, 1 / 0.75]))
    assert float(y.mean()) == pytest.approx(1.0, abs=0.03)
    with evaluating(layer):
        assert torch.equal(layer(x), x)


@pytest.mark.parametrize("name", FAMILIES)
def test_stochastic_depth_rises_to_what_was_asked_in_the_last_block(name):
    blocks = {"depth": 4} if name == "vit" else {"stages": 2, "blocks": 2}
    model = build(Named(name, {**blocks, "stochastic_depth": 0.4}), SMALL)
    found = [layer.p for layer in model.modules() if isinstance(layer, StochasticDepth)]
    expected = [0.1, 0.2, 0.4] if name == "mobilenet" else [0.1, 0.2, 0.3, 0.4]  # its third block adds nothing
    assert sorted(set(found)) == pytest.approx(expected)
    assert found == sorted(found)


@pytest.mark.parametrize("name", FAMILIES)
def test_tables_are_told_what_fits_them(name):
    shape = TaskShape(kind=TaskKind.CLASSIFICATION, outputs=2, inputs=table_inputs(3))
    with pytest.raises(InputError, match=r"takes image inputs, the task has numeric inputs; use one of: .*mlp"):
        build(Named(name), shape)
    assert families[name].why_not(SMALL) == ""
