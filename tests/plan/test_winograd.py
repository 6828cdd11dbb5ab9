"""Winograd's convolutions give what torch's give, in outputs and gradients, and go where they can alone."""

import copy

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from harness.plan import winograd
from harness.plan.winograd import LARGEST, LEAST, SMALLEST, WinogradConv2d, convolve, has_small_maps, use_winograd

SIDES = range(SMALLEST, LARGEST + 1)


@pytest.fixture(autouse=True)
def _seeded():
    torch.manual_seed(0)


@pytest.mark.parametrize("height", SIDES)
def test_outputs_and_gradients_are_those_of_a_convolution(height):
    width = LARGEST + SMALLEST - height
    x_BCHW = torch.randn(5, 3, height, width, dtype=torch.float64, requires_grad=True)
    weight_KCRS = torch.randn(4, 3, 3, 3, dtype=torch.float64, requires_grad=True)
    gradient = torch.randn(5, 4, height, width, dtype=torch.float64)
    expected = F.conv2d(x_BCHW, weight_KCRS, padding=1)
    found = convolve(x_BCHW, weight_KCRS)
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-9)
    for one, other in zip(
        torch.autograd.grad(found, (x_BCHW, weight_KCRS), gradient),
        torch.autograd.grad(expected, (x_BCHW, weight_KCRS), gradient),
        strict=True,
    ):
        torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-9)


def _off(found, exact):
    return ((found.double() - exact).square().mean() / exact.square().mean()).sqrt().item()


@pytest.mark.parametrize("side", SIDES)
def test_in_fp32_sums_are_off_by_far_less_than_tf32_is(side):
    x_BCHW, weight_KCRS = torch.randn(64, 48, side, side), torch.randn(40, 48, 3, 3)
    exact = F.conv2d(x_BCHW.double(), weight_KCRS.double(), padding=1)
    cut_off = ~torch.tensor(2**13 - 1, dtype=torch.int32)  # TF32 has 10 of the 23 bits
    tf32 = [(each.view(torch.int32) & cut_off).view(torch.float32) for each in (x_BCHW, weight_KCRS)]
    assert _off(convolve(x_BCHW, weight_KCRS), exact) < 6e-5
    assert _off(convolve(x_BCHW, weight_KCRS), exact) < 0.2 * _off(F.conv2d(*tf32, padding=1), exact)


def _layer(**changed):
    return nn.Conv2d(**{"in_channels": LEAST, "out_channels": LEAST, "kernel_size": 3, "padding": 1} | changed)


@pytest.mark.parametrize(
    "layer",
    [
        _layer(stride=2),
        _layer(dilation=2),
        _layer(padding=0),
        _layer(kernel_size=5),
        _layer(kernel_size=(3, 1)),
        _layer(groups=2),
        _layer(padding_mode="reflect"),
        _layer(in_channels=LEAST - 1),
        _layer(out_channels=LEAST - 1),
        nn.ConvTranspose2d(LEAST, LEAST, 3, padding=1),
    ],
    ids=str,
)
def test_other_convolutions_stay_as_they_are(layer):
    use_winograd(layer)
    assert type(layer) in (nn.Conv2d, nn.ConvTranspose2d)
    assert not has_small_maps(layer, [torch.randn(LEAST, layer.in_channels, 6, 6)])


@pytest.mark.parametrize("padding", [1, "same"])
@pytest.mark.parametrize("bias", [True, False])
def test_a_layer_keeps_its_parameters_and_its_outputs(padding, bias):
    layer = _layer(padding=padding, bias=bias)
    other = copy.deepcopy(layer)
    use_winograd(nn.Sequential(other))
    assert isinstance(other, WinogradConv2d)
    assert list(other.state_dict()) == list(layer.state_dict())
    x_BCHW = torch.randn(LEAST, LEAST, 6, 7)
    torch.testing.assert_close(other(x_BCHW), layer(x_BCHW), rtol=1e-3, atol=1e-4)
    assert not torch.equal(other(x_BCHW), layer(x_BCHW))  # it went the other way
    assert torch.equal(other.eval()(x_BCHW), layer(x_BCHW))  # and in use it does not


@pytest.mark.parametrize(
    "shape",
    [
        (LEAST, LEAST, LARGEST + 1, 4),
        (LEAST, LEAST, 4, LARGEST + 1),
        (LEAST, LEAST, 1, 4),
        (LEAST - 1, LEAST, 4, 4),
        (LEAST, 4, 4),
    ],
)
def test_what_does_not_fit_goes_torchs_way(shape):
    layer = _layer()
    use_winograd(layer)
    x = torch.randn(shape)
    assert torch.equal(layer(x), F.conv2d(x, layer.weight, layer.bias, padding=1))
    assert x.ndim == 3 or not has_small_maps(_layer(), [x])


def test_where_another_precision_or_device_computes_it_goes_torchs_way():
    layer, x = _layer(), torch.randn(LEAST, LEAST, 4, 4)
    use_winograd(layer)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert layer(x).dtype == torch.bfloat16
        assert torch.equal(layer(x), F.conv2d(x, layer.weight, layer.bias, padding=1))
    assert layer.to("meta")(x.to("meta")).shape == x.shape


def test_a_model_that_was_used_first_can_be_trained():
    x, layer = torch.randn(LEAST, LEAST, 3, 8), _layer()
    use_winograd(layer)
    winograd._transforms.cache_clear()
    with torch.inference_mode():
        layer(x)
    layer(x).sum().backward()
    assert layer.weight.grad.isfinite().all()


def test_a_models_maps_are_looked_at_and_nothing_stays():
    model = nn.Sequential(_layer(), nn.MaxPool2d(2), _layer())
    assert not has_small_maps(model, [torch.randn(LEAST, LEAST, 40, 40)])
    assert has_small_maps(model, [torch.randn(LEAST, LEAST, 16, 16)])
    assert not has_small_maps(model, [torch.randn(1, LEAST, 16, 16)])
    assert not any(layer._forward_pre_hooks for layer in model)
    with pytest.raises(RuntimeError):
        has_small_maps(model, [torch.randn(LEAST, 3, 16, 16)])
    assert not any(layer._forward_pre_hooks for layer in model)
