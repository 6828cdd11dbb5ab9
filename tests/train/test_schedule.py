import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from harness.errors import InputError
from harness.records import Named
from harness.train import anneals, build_schedule, schedules, validate_schedule


def rates_of(schedule, steps: int) -> list[float]:
    """Return the learning rates that one of torch's schedulers gives for a full rate of 1."""
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    scheduler = schedule(optimizer)
    rates = []
    for _ in range(steps):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return rates


def factors(named: Named, steps_per_epoch: int, epochs: int) -> list[float]:
    factor = build_schedule(named, steps_per_epoch=steps_per_epoch, epochs=epochs)
    return [factor(step) for step in range(steps_per_epoch * epochs)]


@pytest.mark.parametrize("final", [0.0, 0.1])
def test_cosine_is_torchs_cosine_annealing(final):
    torch_rates = rates_of(lambda o: torch.optim.lr_scheduler.CosineAnnealingLR(o, T_max=30, eta_min=final), 30)
    assert factors(Named("cosine", {"final": final}), 10, 3) == pytest.approx(torch_rates, abs=1e-12)


@pytest.mark.parametrize(("peak", "div", "final_div"), [(0.3, 25.0, 1e4), (0.5, 10.0, 100.0), (0.05, 4.0, 1.0)])
def test_one_cycle_is_torchs_one_cycle_with_cosines(peak, div, final_div):
    torch_rates = rates_of(
        lambda o: torch.optim.lr_scheduler.OneCycleLR(
            o,
            max_lr=1.0,
            total_steps=41,
            pct_start=peak,
            div_factor=div,
            final_div_factor=final_div,
            cycle_momentum=False,
        ),
        40,
    )
    named = Named("one_cycle", {"peak": peak, "div": div, "final_div": final_div})
    assert factors(named, 41, 1)[:40] == pytest.approx(torch_rates, abs=1e-12)


def test_warm_up_is_torchs_linear_schedule():
    torch_rates = rates_of(
        lambda o: torch.optim.lr_scheduler.LinearLR(o, start_factor=1 / 20, end_factor=1.0, total_iters=19), 30
    )
    assert factors(Named("constant", {"warmup_epochs": 2}), 10, 3) == pytest.approx(torch_rates, abs=1e-12)


def test_cosine_starts_after_its_warm_up():
    warmed = factors(Named("cosine", {"warmup_epochs": 1.5, "final": 0.2}), 10, 4)
    assert warmed[:15] == pytest.approx([(step + 1) / 15 for step in range(15)])
    plain = rates_of(lambda o: torch.optim.lr_scheduler.CosineAnnealingLR(o, T_max=25, eta_min=0.2), 25)
    assert warmed[15:] == pytest.approx(plain, abs=1e-12)


def test_a_warm_up_longer_than_the_training_only_rises():
    assert factors(Named("cosine", {"warmup_epochs": 9}), 2, 2) == pytest.approx([0.25, 0.5, 0.75, 1.0])


def test_coslog4_falls_to_nothing_four_times_each_twice_as_late():
    got = factors(Named("coslog4"), 30, 5)
    lows = [150 * (2**k - 1) // 15 for k in range(4)]
    assert [got[step] for step in lows] == pytest.approx([0.0] * 4, abs=1e-12)
    turns = [step for step in range(1, 149) if got[step - 1] > got[step] <= got[step + 1]]
    assert turns == lows[1:]
    assert got[7] == pytest.approx((1 - math.cos(2 * math.pi * math.log2(1 + 15 * 7 / 150))) / 2)
    assert max(got) > 0.99


@pytest.mark.parametrize(("shape", "falls"), [("linear", lambda s: 1 - s), ("sqrt", lambda s: 1 - math.sqrt(s))])
def test_wsd_rises_stays_and_falls(shape, falls):
    got = factors(Named("wsd", {"warmup": 0.1, "decay": 0.25, "shape": shape}), 10, 4)
    expected = [(step + 1) / 4 for step in range(4)] + [1.0] * 26 + [falls(step / 10) for step in range(10)]
    assert got == pytest.approx(expected, abs=1e-12)


def test_a_decay_that_leaves_no_room_begins_after_the_warm_up():
    got = factors(Named("wsd", {"warmup": 0.5, "decay": 1.0, "shape": "linear"}), 8, 1)
    assert got == pytest.approx([0.25, 0.5, 0.75, 1.0, 1.0, 0.75, 0.5, 0.25])


@pytest.mark.parametrize("name", schedules)
def test_all_but_the_constant_one_anneal(name):
    assert anneals(Named(name)) == (name != "constant")


def test_dropout_and_weight_decay_follow_schedules_of_their_own(make_fit, labelled):
    model = nn.Sequential(nn.Linear(5, 4), nn.Dropout(0.4), nn.Linear(4, 4), nn.Dropout1d(0.2), nn.Linear(4, 3))
    seen = []

    def look(*_) -> None:
        if model.training:
            seen.append((model[1].p, model[3].p, *(group["weight_decay"] for group in groups)))

    model.register_forward_pre_hook(look)
    fit = make_fit(
        model,
        labelled(),
        labelled(seed=1),
        optimizer=Named("adamw", {"weight_decay": 0.1}),
        dropout_schedule=Named("cosine"),
        weight_decay_schedule=Named("wsd", {"warmup": 0.0, "decay": 0.5, "shape": "linear"}),
        epochs=2,
    )
    groups = fit._parts[0].optimizers[0].param_groups
    rates = {record.learning_rate for record in fit}
    shares = factors(Named("cosine"), 4, 2)
    decays = [1.0, 1.0, 1.0, 1.0, 1.0, 0.75, 0.5, 0.25]
    expected = [(0.4 * p, 0.2 * p, 0.1 * w, 0.0) for p, w in zip(shares, decays, strict=True)]
    assert seen == [pytest.approx(each) for each in expected]
    assert rates == {1e-3}


@settings(max_examples=25)
@given(name=st.sampled_from(list(schedules)), steps=st.integers(1, 50), epochs=st.integers(1, 4))
def test_factors_stay_between_nothing_and_the_full_rate(name, steps, epochs):
    assert all(0.0 <= factor <= 1.0 + 1e-12 for factor in factors(Named(name), steps, epochs))


@pytest.mark.parametrize(
    ("named", "message"),
    [
        (Named("cosin"), "unknown schedule 'cosin'; did you mean 'cosine'"),
        (Named("cosine", {"final": 2.0}), r"schedule\.cosine\.final: .*got 2\.0"),
        (Named("constant", {"warmup": 1}), r"schedule\.constant\.warmup: unknown key; did you mean 'warmup_epochs'"),
    ],
)
def test_a_wrong_name_or_parameter_is_refused_with_its_key_path(named, message):
    with pytest.raises(InputError, match=message):
        validate_schedule(named)


def test_the_key_path_is_that_of_what_is_scheduled():
    with pytest.raises(InputError, match=r"^dropout_schedule\.wsd\.decay: .*got 0\.0"):
        validate_schedule(Named("wsd", {"decay": 0.0}), "dropout_schedule")


@settings(max_examples=60)
@given(steps=st.integers(1, 60), peak=st.floats(0.01, 0.99))
def test_one_cycle_reaches_about_its_rate_unless_it_has_a_handful_of_steps(steps, peak):
    assert max(factors(Named("one_cycle"), steps, 1)) > 0.81
    if steps >= 10:
        assert max(factors(Named("one_cycle", {"peak": peak}), steps, 1)) > 0.97
