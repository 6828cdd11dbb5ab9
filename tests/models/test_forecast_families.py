"""Families of forecasts against their definitions, and the normalisation of windows around any of them."""

from typing import get_args

import numpy as np
import pytest
import torch
from torch import nn

from harness.errors import InputError
from harness.models import build
from harness.models.families.nhits import _lines
from harness.models.naive import DAMPED, Base, Naive
from harness.models.reversible import Reversible
from harness.records import Input, InputKind, Named, Target, TaskKind, TaskShape, image_inputs

HORIZON, STEPS = 6, 20


def shape_of(channels=1, *, kind=TaskKind.FORECASTING, quantiles=(), season=4):
    target = Target(shape=(HORIZON + 1,), centre=(0.0,) * (HORIZON + 1), scale=(1.0,) * (HORIZON + 1),
                    quantiles=quantiles, season=season)  # fmt: skip
    inputs = (Input(kind=InputKind.SERIES, shape=(STEPS, channels)),)
    return TaskShape(kind=kind, outputs=HORIZON * max(1, len(quantiles)), inputs=inputs, target=target)


@pytest.mark.parametrize("name", ["dlinear", "nhits", "gru", "tcn", "transformer"])
def test_forecasts_follow_the_level_and_the_size_of_a_window(name):
    torch.manual_seed(0)
    model = build(Named(name), shape_of(2)).eval()
    x_BTC = torch.randn(5, STEPS, 2, dtype=torch.float32)
    moved = x_BTC.clone()
    moved[:, :, 0] = 3.0 * x_BTC[:, :, 0] + 40.0
    torch.testing.assert_close(model(moved), 3.0 * model(x_BTC) + 40.0, rtol=1e-4, atol=1e-3)
    assert model(x_BTC).shape == (5, HORIZON)
    flat = torch.full((1, STEPS, 2), 7.0)
    assert torch.isfinite(model(flat)).all()


def test_dlinear_is_two_linear_maps_of_moving_average_and_rest():
    torch.manual_seed(0)
    model = build(Named("dlinear", {"kernel": 5, "base": "mean"}), shape_of()).model.double()
    x_BT = torch.randn(3, STEPS, dtype=torch.float64)
    ends = np.pad(x_BT.numpy(), ((0, 0), (2, 2)), mode="edge")
    trend = np.stack([np.convolve(row, np.ones(5) / 5, mode="valid") for row in ends])
    weights = {name: value.detach().numpy() for name, value in model.named_parameters()}
    expected = (
        trend @ weights["trend.weight"].T + weights["trend.bias"] + (x_BT.numpy() - trend) @ weights["rest.weight"].T
    )
    np.testing.assert_allclose(model(x_BT.unsqueeze(2)).detach().numpy(), expected)


@pytest.mark.parametrize(("season", "horizon"), [(4, 6), (1, 6), (10, 6), (15, 6), (30, 6)])
def test_the_naive_forecast_is_the_last_season_or_nothing(season, horizon):
    torch.manual_seed(0)
    shape = shape_of(season=season)
    history = np.random.default_rng(0).normal(size=STEPS)
    found = {base: Naive(base, shape)(torch.tensor(history[None]).float())[0].numpy() for base in get_args(Base)}
    again = np.resize(history[-season:], horizon) if season <= STEPS else np.zeros(horizon)
    np.testing.assert_allclose(found["mean"], np.zeros(horizon))
    np.testing.assert_allclose(found["season"], again, rtol=1e-5)
    if not 1 < season <= STEPS // 2:
        np.testing.assert_allclose(found["growth"], again, rtol=1e-5)


@pytest.mark.parametrize("season", [2, 4, 5, 10])
def test_a_line_with_a_season_goes_on_damped(season):
    steps = np.arange(STEPS + HORIZON)
    pattern = np.random.default_rng(0).normal(size=season)
    series = 0.3 * steps + pattern[steps % season] + 2.0
    naive = Naive("growth", shape_of(season=season))
    found = naive(torch.tensor(series[None, :STEPS]).float())[0].numpy()
    lost = (1.0 - DAMPED) * 0.3 * np.arange(1, HORIZON + 1)
    np.testing.assert_allclose(found, series[STEPS:] - lost, rtol=1e-4)


def test_nhits_adds_up_what_its_blocks_say_of_what_is_left():
    torch.manual_seed(0)
    model = build(Named("nhits", {"stacks": 2, "pooling": 3, "base": "mean"}), shape_of()).model
    x_BTC = torch.randn(4, STEPS, 1)
    first, second = model.blocks
    assert (first.knots, second.knots) == ((7, 2), (STEPS, HORIZON))
    none = x_BTC[:, :, 1:].flatten(1)
    past, future = first(x_BTC[:, :, 0], none)
    torch.testing.assert_close(model(x_BTC), future + second(x_BTC[:, :, 0] - past, none)[1])


@pytest.mark.parametrize(("knots", "length"), [(1, 5), (2, 7), (4, 10), (6, 6)])
def test_lines_between_knots_are_torchs_interpolation(knots, length):
    values = torch.randn(3, 1, knots)
    expected = nn.functional.interpolate(values, size=length, mode="linear", align_corners=True)
    torch.testing.assert_close(values @ _lines(knots, length), expected)


def test_quantiles_have_outputs_of_their_own():
    shape = shape_of(quantiles=(0.1, 0.5, 0.9))
    for name in ("dlinear", "nhits"):
        assert build(Named(name), shape)(torch.randn(2, STEPS, 1)).shape == (2, HORIZON * 3)


def test_the_gradient_through_the_normalisation_is_exact():
    model = Reversible(nn.Sequential(nn.Flatten(), nn.Linear(8, 3), nn.Tanh())).double()
    x_BTC = torch.randn(2, 4, 2, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(model, x_BTC)


def test_families_say_why_they_do_not_fit():
    images = TaskShape(kind=TaskKind.CLASSIFICATION, outputs=2, inputs=image_inputs(1, 6, 6))
    with pytest.raises(
        InputError, match=r"^architecture\.dlinear: takes series inputs, the task has image inputs; use"
    ):
        build(Named("dlinear"), images)
    with pytest.raises(InputError, match="says how a series goes on, the task is one of regression"):
        build(Named("nhits"), shape_of(kind=TaskKind.REGRESSION))
