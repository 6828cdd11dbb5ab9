"""The speednet family against NumPy, the paper's layers and closed forms."""

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from harness.data import load
from harness.errors import InputError
from harness.models import build, count_flops, evaluating, example_inputs
from harness.models.families.speednet import EPSILON
from harness.records import Named, TaskKind, TaskShape, image_inputs, table_inputs
from harness.spec.task import parse_task
from harness.train.weights import groups_of

configurations = st.fixed_dictionaries(
    {
        "width": st.integers(4, 10),
        "width_multiplier": st.sampled_from([1.0, 1.5, 4.0]),
        "depth": st.integers(1, 4),
        "patch": st.sampled_from([1, 2, 3]),
        "kernel": st.sampled_from([3, 5]),
    }
)
images = st.tuples(st.sampled_from([1, 3]), st.integers(4, 17), st.integers(4, 17))


def shape_of(*image, patches=()):
    return TaskShape(kind=TaskKind.CLASSIFICATION, outputs=5, inputs=image_inputs(*image, patches))


SMALL = shape_of(1, 8, 8)


def speednet(shape=SMALL, **params):
    return build(Named("speednet", params), shape)


@pytest.fixture(scope="module")
def digits():
    return load(parse_task({"builtin": "digits"}), seed=0)


@given(params=configurations, image=images)
@settings(max_examples=25)
def test_every_configuration_has_the_parameters_of_the_closed_form_and_a_gradient_for_each(params, image):
    torch.manual_seed(0)
    model = speednet(shape_of(*image), **params)
    y = model(torch.randn(3, *image))
    assert y.shape == (3, 5)
    (y - 1).square().sum().backward()
    assert all(parameter.grad is not None for parameter in model.parameters() if parameter.requires_grad)
    assert model.eval()(torch.randn(1, *image)).shape == (1, 5)
    whitened = 2 * image[0] * params["patch"] ** 2
    wide = round(params["width"] * params["width_multiplier"])
    channels = [whitened, *[params["width"]] * params["depth"], *[wide] * 2 * params["depth"]]
    convolutions = params["kernel"] ** 2 * sum(a * b for a, b in itertools.pairwise(channels))
    assert sum(p.numel() for p in model.parameters()) == whitened + convolutions + 2 * sum(channels[1:]) + wide * 5


def covariance_by_hand(x_NCHW, side):
    count, channels, height, width = x_NCHW.shape
    patches = [
        x_NCHW[n, :, top : top + side, left : left + side].ravel()
        for n in range(count)
        for top in range(height - side + 1)
        for left in range(width - side + 1)
    ]
    return np.cov(np.array(patches), rowvar=False, bias=True).reshape(channels * side**2, -1)


def test_the_shape_of_a_task_has_the_covariance_of_its_training_patches(digits):
    (x_NCHW,) = digits.train.tensors(torch.device("cpu"))
    expected = covariance_by_hand(x_NCHW.double().numpy(), 3)
    np.testing.assert_allclose(np.array(digits.shape.inputs[0].patches), expected, rtol=1e-4, atol=1e-6)


def test_images_that_are_too_small_have_no_patches_and_are_told_so(tmp_path):
    x = np.random.default_rng(0).integers(0, 255, (60, 3, 5, 2), dtype=np.uint8)
    np.savez(tmp_path / "small.npz", x=x, y=np.arange(60) % 2)
    data = load(parse_task({"npz": str(tmp_path / "small.npz")}), seed=0)
    assert data.shape.inputs[0].patches == ()
    with pytest.raises(
        InputError, match=r"^architecture.speednet: takes images of at least 4 x 4 pixels, .* 5 x 2; use"
    ):
        speednet(data.shape)


@pytest.mark.parametrize("patch", [1, 2, 3])
def test_whitening_leaves_no_correlations_and_unit_variance(digits, patch):
    (x_NCHW,) = digits.train.tensors(torch.device("cpu"))
    model = speednet(digits.shape, patch=patch)
    out = model.whitening(x_NCHW).detach().double()[:, :, :6, :6]  # where a patch of 3 x 3 begins
    half = out.shape[1] // 2
    assert half == patch**2
    torch.testing.assert_close(out[:, :half], -out[:, half:])
    corners = x_NCHW[:, :, : 5 + patch, : 5 + patch].double().numpy()
    values = np.linalg.eigvalsh(covariance_by_hand(corners, patch))
    covariance = np.atleast_2d(np.cov(out[:, :half].transpose(0, 1).reshape(half, -1).numpy(), bias=True))
    np.testing.assert_allclose(covariance, np.diag(values / (values + EPSILON)), atol=1e-3)


def test_without_known_patches_each_kernel_is_one_pixel():
    kernels = speednet(shape_of(2, 6, 6)).whitening.kernels
    assert kernels.shape == (16, 2, 2, 2)
    assert ((kernels != 0).flatten(1).sum(1) == 1).all()


def test_whitening_is_no_parameter_and_travels_with_the_weights(digits):
    fitted, blank = speednet(digits.shape), speednet()
    assert "whitening.kernels" not in dict(fitted.named_parameters())
    blank.load_state_dict({**fitted.state_dict(), "head.weight": blank.head.weight})
    assert torch.equal(blank.whitening.kernels, fitted.whitening.kernels)


@pytest.mark.parametrize("kernel", [3, 5])
def test_convolutions_begin_as_the_identity_of_their_inputs(kernel):
    x = torch.randn(2, 8, 6, 6)
    for layer in (speednet(kernel=kernel).groups[0].convolution, speednet(width=4).groups[0].convolution):
        through = layer(x)
        torch.testing.assert_close(through[:, :8], x[:, : through.shape[1]])


def test_three_convolutions_and_more_are_added_to_what_the_second_sees():
    group = speednet(width=8, depth=3).groups[0]
    for layer in group.rest:
        if isinstance(layer, nn.BatchNorm2d):
            nn.init.zeros_(layer.weight)
    x = torch.randn(2, 8, 6, 6)
    first = group.activation(group.norm(group.pool(group.convolution(x))))
    torch.testing.assert_close(group(x), group.activation(first))


def test_layers_are_those_of_the_paper():
    model = speednet(shape_of(3, 32, 32), width=64)
    convolutions = [layer for layer in model.modules() if isinstance(layer, nn.Conv2d)]
    assert [(layer.in_channels, layer.out_channels) for layer in convolutions] == [
        (24, 64), (64, 64), (64, 256), (256, 256), (256, 256), (256, 256),
    ]  # fmt: skip
    norms = [layer for layer in model.modules() if isinstance(layer, nn.BatchNorm2d)]
    assert {(norm.momentum, norm.weight.requires_grad, norm.bias.requires_grad) for norm in norms} == {
        (0.4, False, True)
    }
    assert model.groups(torch.randn(2, 24, 31, 31)).shape == (2, 256, 3, 3)
    torch.testing.assert_close(model.head.weight.std(), torch.tensor(1.0))


def test_outputs_are_scaled():
    torch.manual_seed(0)
    plain = speednet(scale=1.0).eval()
    torch.manual_seed(0)
    scaled = speednet(scale=0.25).eval()
    x = torch.randn(4, 1, 8, 8)
    torch.testing.assert_close(scaled(x), 0.25 * plain(x))


def test_the_average_over_flips_is_the_mean_of_both_in_use_and_nothing_in_training():
    torch.manual_seed(0)
    once = speednet()
    both = speednet(flip_average=True)
    both.load_state_dict(once.state_dict())
    x = torch.randn(4, 1, 8, 8)
    torch.testing.assert_close(both(x), once(x), rtol=0, atol=0)
    with evaluating(once), evaluating(both):
        both.load_state_dict(once.state_dict())
        torch.testing.assert_close(both(x), (once(x) + once(x.flip(3))) / 2)
        torch.testing.assert_close(both(x), both(x.flip(3)))
    one = example_inputs(SMALL)
    assert count_flops(both, one).values["flops"] == 2 * count_flops(once, one).values["flops"]


@pytest.mark.parametrize("flip", [False, True])
def test_the_average_over_shifts_gives_half_the_weight_to_two_moved_images(flip):
    torch.manual_seed(0)
    once = speednet(flip_average=flip)
    thrice = speednet(flip_average=flip, shift_average=True)
    thrice.load_state_dict(once.state_dict())
    x = torch.randn(4, 1, 8, 8)
    torch.testing.assert_close(thrice(x), once(x), rtol=0, atol=0)
    moved = [
        torch.from_numpy(np.pad(x.numpy(), [(0, 0), (0, 0), (before, after), (before, after)], "edge"))
        for before, after in ((1, 0), (0, 1))
    ]
    with evaluating(once), evaluating(thrice):
        thrice.load_state_dict(once.state_dict())
        expected = once(x) / 2 + once(moved[0][:, :, :8, :8]) / 4 + once(moved[1][:, :, 1:, 1:]) / 4
        torch.testing.assert_close(thrice(x), expected)
    one = example_inputs(SMALL)
    assert count_flops(thrice, one).values["flops"] == 3 * count_flops(once, one).values["flops"]


def test_biases_of_norms_alone_learn_at_their_own_rate():
    model = speednet(norm_bias_rate=64.0)
    by_rate = {group["lr"]: group["params"] for group in groups_of(model, 0.1, 0.01) if group["lr"] != 0.1}
    assert set(by_rate) == {0.1 * 64.0}
    biases = {id(layer.bias) for layer in model.modules() if isinstance(layer, nn.BatchNorm2d)}
    assert {id(parameter) for parameter in by_rate[0.1 * 64.0]} == biases


def test_tables_are_told_what_fits_them():
    shape = TaskShape(kind=TaskKind.CLASSIFICATION, outputs=2, inputs=table_inputs(3))
    with pytest.raises(InputError, match=r"takes image inputs, the task has numeric inputs; use one of: .*mlp"):
        speednet(shape)
