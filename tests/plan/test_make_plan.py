import math
from functools import partial

import pytest
import torch
from torch import nn

from harness import plan as planning
from harness.errors import HardwareError
from harness.plan import LAYOUTS, Loss, Memory, may_be_lower
from harness.plan.calibration import Probe
from harness.plan.learning import Lesson
from harness.plan.precision import LEAST_STEPS

make_plan = partial(planning.make_plan, steps=LEAST_STEPS)


def linear() -> nn.Module:
    return nn.Linear(3, 2)


def test_where_nothing_is_native_nothing_is_measured_and_fp32_is_taken(clock, table, cpu, squares):
    compared = clock()
    plan = make_plan(linear, table, device=cpu, loss=squares, memory=Memory())
    assert (plan.precision, plan.layout, plan.device) == ("fp32", "contiguous", "cpu")
    assert math.isnan(plan.precision_ratio)
    assert plan.precision_reason == (
        "fp32: no other precision is native here (tf32: no tensor cores; bf16: no AMX; fp16: slow)"
    )
    assert compared == []


def test_the_fastest_native_precision_is_taken_with_its_ratio(native, clock, table, cpu, squares):
    native("bf16")
    clock(fp32=3.1, bf16=1.0)
    plan = make_plan(linear, table, device=cpu, loss=squares, memory=Memory())
    assert plan.precision == "bf16"
    assert plan.precision_reason.startswith("bf16 measured 3.10x fp32, loss after 30 steps ")
    assert plan.precision_ratio == pytest.approx(3.1)


def test_a_precision_that_measures_slower_is_not_taken(native, clock, table, cpu, squares):
    native("tf32", "bf16")
    clock(fp32=1.0, tf32=0.97, bf16=1 / 0.58)
    plan = make_plan(linear, table, device=cpu, loss=squares, memory=Memory())
    assert (plan.precision, plan.precision_ratio) == ("fp32", 1.0)
    assert plan.precision_reason == "fp32: nothing measured clearly faster (tf32 1.03x, bf16 0.58x)"


class Unscalable(nn.Linear):
    """Has no kernel for fp16, as some devices have none for some operations."""

    def __init__(self, error):
        super().__init__(3, 2)
        self.error = error

    def forward(self, x):
        y = super().forward(x)
        if y.dtype is torch.float16:
            raise self.error
        return y


@pytest.mark.parametrize("error", [NotImplementedError("no such kernel\nmore"), TypeError("no such kernel")])
def test_a_precision_that_torch_has_no_kernel_for_is_left_out(native, clock, table, cpu, error, squares):
    native("bf16", "fp16")
    compared = clock(fp32=1.0, bf16=1.0)
    plan = make_plan(lambda: Unscalable(error), table, device=cpu, loss=squares, memory=Memory())
    assert (plan.precision, compared) == ("fp32", [("fp32", "bf16")])
    assert plan.precision_reason == "fp32: fp16 does not work here: no such kernel"


def test_a_precision_whose_loss_cannot_be_scaled_is_left_out(native, clock, table, cpu, monkeypatch):
    native("bf16", "fp16")
    clock(fp32=3.0, bf16=2.0, fp16=1.0)
    judge = Lesson.judge

    def judged(lesson, precision):
        if precision == "fp16":
            raise TypeError("Cannot convert a MPS Tensor to float64 dtype")
        return judge(lesson, precision)

    monkeypatch.setattr(Lesson, "judge", judged)
    loss = Loss("mean", lambda outputs, targets: outputs.square().mean() + 0 * targets.sum())
    plan = make_plan(linear, table, device=cpu, memory=Memory(), loss=loss)
    assert plan.precision == "bf16"
    assert plan.precision_reason.endswith("fp16 does not work here: Cannot convert a MPS Tensor to float64 dtype")


def test_less_exact_numbers_must_beat_the_more_exact_by_five_percent(native, clock, table, cpu, squares):
    native("tf32", "bf16", "fp16")
    clock(fp32=1.0, tf32=0.5, bf16=0.48, fp16=0.478)
    assert make_plan(linear, table, device=cpu, loss=squares, memory=Memory()).precision == "tf32"


@pytest.mark.parametrize(("seconds", "precision"), [(1.0, "fp32"), (0.5, "bf16")])
def test_precisions_are_compared_each_in_its_own_layout(
    native, clock, maps, cpu, monkeypatch, seconds, precision, squares
):
    native("bf16")
    compared = clock(contiguous=1.0, channels_last=0.9, winograd=0.5, fp32=1.0, bf16=seconds)
    asked = []
    step = Probe.step

    def noted(probe, *, precision, layout):
        asked.append((precision, layout))
        return step(probe, precision=precision, layout=layout)

    monkeypatch.setattr(Probe, "step", noted)
    plan = make_plan(small_maps, maps, device=cpu, loss=squares, memory=Memory())
    assert compared == [LAYOUTS, LAYOUTS[:2], ("fp32", "bf16")]
    assert {("fp32", "winograd"), ("bf16", "channels_last")} <= set(asked)
    assert (plan.precision, plan.layout) == (precision, "winograd" if precision == "fp32" else "channels_last")


def test_little_work_on_a_cpu_does_not_repay_measuring_precisions(native, clock, table, cpu, squares, monkeypatch):
    native("bf16")
    compared = clock(fp32=2.0, bf16=1.0)
    plan = make_plan(linear, table, device=cpu, loss=squares, memory=Memory(), steps=LEAST_STEPS - 1)
    assert (plan.precision, compared) == ("fp32", [])
    assert plan.precision_reason == "fp32: 999 steps are too few to repay measuring others"
    asked = make_plan(linear, table, device=cpu, loss=squares, memory=Memory(), steps=1, precision="bf16")
    assert asked.precision == "bf16"
    with monkeypatch.context() as large:
        large.setattr("harness.plan.precision.SMALL_FLOPS", 49.0)
        plan = make_plan(linear, table, device=cpu, loss=squares, memory=Memory())
    assert plan.precision_reason == "fp32: 4.8e-05 MFLOP of a batch are too few to gain by less exact ones"
    assert make_plan(linear, table, device=cpu, loss=squares, memory=Memory()).precision == "bf16"


def test_measurements_are_remembered_by_shape(native, clock, table, cpu, squares):
    native("bf16")
    compared = clock(fp32=2.0, bf16=1.0)
    plans = [make_plan(linear, table, device=cpu, loss=squares, memory=Memory()) for _ in range(3)]
    assert compared == [("fp32", "bf16")]
    assert plans[0] == plans[2]
    make_plan(lambda: nn.Linear(3, 4), table, device=cpu, loss=squares, memory=Memory())
    table.batch.inputs[0].resize_(8, 3)
    make_plan(linear, table, device=cpu, loss=squares, memory=Memory())
    assert len(compared) == 3


@pytest.mark.parametrize(
    ("wanted", "reason"),
    [("fp32", "fp32 was asked for"), ("bf16", "bf16 was asked for although it is slow here: no AMX")],
)
def test_what_is_asked_for_is_not_measured(clock, table, cpu, wanted, reason, squares):
    compared = clock()
    plan = make_plan(linear, table, device=cpu, loss=squares, memory=Memory(), precision=wanted)
    assert (plan.precision, plan.precision_reason) == (wanted, reason)
    assert math.isnan(plan.precision_ratio)
    assert compared == []


@pytest.mark.parametrize("wanted", ["tf32", "fp16"])
def test_what_the_device_cannot_do_is_refused(table, cpu, wanted, squares):
    with pytest.raises(
        HardwareError, match=f"precision {wanted} cannot be used on cpu: .*; use auto or one of fp32, bf16"
    ):
        make_plan(linear, table, device=cpu, loss=squares, memory=Memory(), precision=wanted)


def test_a_native_precision_may_be_asked_for(native, table, cpu, squares):
    native("fp16")
    assert (
        make_plan(linear, table, device=cpu, loss=squares, memory=Memory(), precision="fp16").precision_reason
        == "fp16 was asked for"
    )


@pytest.mark.parametrize(("seconds", "layout"), [(0.5, "channels_last"), (0.99, "contiguous"), (2.0, "contiguous")])
def test_convolutions_on_images_get_the_layout_that_measures_faster(clock, images, cpu, cnn, seconds, layout, squares):
    compared = clock(contiguous=1.0, channels_last=seconds)
    assert make_plan(cnn, images, device=cpu, loss=squares, memory=Memory()).layout == layout
    make_plan(cnn, images, device=cpu, loss=squares, memory=Memory())
    assert compared == [("contiguous", "channels_last")]


@pytest.mark.parametrize(("seconds", "layout"), [(0.5, "winograd"), (0.79, "channels_last"), (2.0, "channels_last")])
def test_convolutions_of_small_maps_can_go_by_winograds_algorithm(clock, maps, cpu, seconds, layout, squares):
    compared = clock(contiguous=1.0, channels_last=0.8, winograd=seconds)
    plan = make_plan(small_maps, maps, device=cpu, loss=squares, memory=Memory())
    assert plan.layout == layout
    assert compared == [LAYOUTS]
    assert plan.layout_reason == (
        f"channels_last measured 1.25x contiguous, winograd measured {1 / seconds:.2f}x contiguous"
    )


def test_what_was_remembered_of_two_layouts_says_nothing_about_the_third(clock, maps, cpu, squares, monkeypatch):
    with monkeypatch.context() as before:
        before.setattr("harness.plan.plan.fits", lambda _layer: False)
        clock(contiguous=1.0, channels_last=0.8)
        assert make_plan(small_maps, maps, device=cpu, loss=squares, memory=Memory()).layout == "channels_last"
    compared = clock(contiguous=1.0, channels_last=0.8, winograd=0.5)
    for _ in range(2):
        assert make_plan(small_maps, maps, device=cpu, loss=squares, memory=Memory()).layout == "winograd"
    assert compared == [LAYOUTS[:2], LAYOUTS]


def test_another_precision_does_not_go_by_winograds_algorithm(clock, native, maps, cpu, squares):
    native("bf16")
    compared = clock(contiguous=1.0, channels_last=0.8)
    plan = make_plan(small_maps, maps, device=cpu, loss=squares, memory=Memory(), precision="bf16")
    assert (plan.layout, compared) == ("channels_last", [LAYOUTS[:2]])


def small_maps():
    return nn.Sequential(nn.Conv2d(32, 32, 3, padding=1), nn.Flatten(), nn.Linear(32 * 64, 2))


def test_without_convolutions_the_layout_is_not_measured(clock, images, cpu, squares):
    compared = clock()
    assert make_plan(lambda: nn.Flatten(), images, device=cpu, loss=squares, memory=Memory()).layout == "contiguous"
    assert compared == []


def test_the_plan_repeats_what_the_batches_say(table, cpu, squares):
    plan = make_plan(linear, table, device=cpu, loss=squares, memory=Memory(), threads=1)
    assert (plan.batch_size, plan.data_path, plan.data_reason, plan.threads) == (4, "resident", "it fits", 1)


def test_without_a_memory_rules_decide_and_no_clock(native, clock, images, cpu, cnn, squares):
    native("tf32", "bf16")
    compared = clock()
    plan = make_plan(cnn, images, device=cpu, loss=squares, memory=None, threads=8)
    assert (plan.precision, plan.layout, plan.threads) == ("tf32", "contiguous", 1)
    assert (plan.precision_reason, plan.layout_reason, plan.threads_reason) == (
        "tf32: by rule",
        "by rule",
        "1: by rule",
    )
    native("bf16")
    assert make_plan(cnn, images, device=cpu, loss=squares, memory=None).precision == "fp32"
    assert compared == []


def test_everything_else_is_measured_on_the_threads_that_were_chosen(native, images, cpu, cnn, monkeypatch, squares):
    native("bf16")
    monkeypatch.setattr("harness.plan.threads.SMALL_FLOPS", 0.0)
    used = []
    seconds = {"1": 2.0, "2": 1.0, "fp32": 1.0, "bf16": 1.0, "contiguous": 1.0, "channels_last": 1.0}

    def compare(_probe, arms, **_options):
        used.append((tuple(arms), torch.get_num_threads()))
        return {name: seconds[name] for name in arms}

    monkeypatch.setattr("harness.plan.calibration.Probe.compare", compare)
    plan = make_plan(cnn, images, device=cpu, loss=squares, memory=Memory(), threads=2)
    layouts = (("contiguous", "channels_last"), 2)
    assert used == [(("1", "2"), 2), layouts, layouts, (("fp32", "bf16"), 2)]
    assert (plan.threads, plan.threads_reason) == (2, "2: 2 measured 2.00x 1")


def test_measuring_leaves_the_random_generator_and_the_threads_alone(native, images, cpu, cnn, monkeypatch, squares):
    native("bf16")
    monkeypatch.setattr("harness.plan.precision.BUDGET_S", 0.05)
    monkeypatch.setattr("harness.plan.plan.BUDGET_S", 0.05)
    torch.manual_seed(0)
    threads = torch.get_num_threads()
    state = torch.get_rng_state()
    monkeypatch.setattr("harness.plan.threads.SMALL_FLOPS", 0.0)
    monkeypatch.setattr("harness.plan.threads.CLEAR_GAIN", 0.0)
    plan = make_plan(cnn, images, device=cpu, loss=squares, memory=Memory(), threads=threads + 1)
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.get_num_threads() == threads
    assert plan.precision_ratio > 0.0
    assert plan.threads == threads + 1


@pytest.mark.parametrize(
    ("wanted", "native_here", "steps", "lower"),
    [
        ("auto", (), LEAST_STEPS, False),
        ("auto", ("tf32",), LEAST_STEPS, False),
        ("auto", ("bf16",), LEAST_STEPS, True),
        ("auto", ("bf16",), LEAST_STEPS - 1, False),
        ("bf16", (), 1, True),
        ("tf32", ("tf32", "bf16"), LEAST_STEPS, False),
        ("fp32", ("bf16",), LEAST_STEPS, False),
    ],
)
def test_a_training_may_take_less_memory_where_a_lower_precision_can_be_chosen(
    native, cpu, wanted, native_here, steps, lower
):
    native(*native_here)
    assert may_be_lower(wanted, cpu, steps) == lower
