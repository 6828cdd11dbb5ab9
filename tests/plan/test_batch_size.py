import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.plan import Memory, batch_size_by_rule, choose_batch_size, sizes_for

SIZES = (16, 32, 64, 128, 256, 512, 1024)


class Device:
    """Trains at most ``limit`` samples/s, a batch taking ``overhead_s`` at least, and holds ``most`` samples."""

    def __init__(self, *, limit=10_000.0, overhead_s=0.01, most=10**9):
        self.limit, self.overhead_s, self.most = limit, overhead_s, most
        self.asked = []

    def rate(self, size):
        self.asked.append(size)
        return min(self.limit, size / self.overhead_s) if size <= self.most else math.nan


def test_the_smallest_size_that_keeps_the_device_busy_is_taken():
    device = Device()
    choice = choose_batch_size(SIZES, device.rate, key="model", memory=Memory())
    assert choice.value == "128"
    assert choice.ratio == pytest.approx(10_000 / 1_600)
    assert choice.reason == (
        "128: the smallest within 5 % of the most samples/s"
        " (16: 1,600, 32: 3,200, 64: 6,400, 128: 10,000, 256: 10,000, 512: 10,000)"
    )


def test_nothing_larger_is_tried_once_two_doublings_in_a_row_gain_less_than_five_percent():
    rates = dict(zip(SIZES, (100.0, 104.0, 120.0, 125.0, 131.0, 900.0, 999.0), strict=True))
    asked = []
    choice = choose_batch_size(SIZES, lambda size: asked.append(size) or rates[size], key="model", memory=Memory())
    assert asked == [16, 32, 64, 128, 256]
    assert choice.value == "128"


def test_what_does_not_fit_ends_the_trying():
    device = Device(limit=math.inf, most=100)
    choice = choose_batch_size(SIZES, device.rate, key="model", memory=Memory())
    assert device.asked == [16, 32, 64, 128]
    assert choice.value == "64"
    assert "64: 6,400, 128 does not fit in memory or in its limit" in choice.reason


def test_a_size_is_measured_once_per_machine_and_key():
    device = Device()
    first = choose_batch_size(SIZES, device.rate, key="model", memory=Memory())
    assert choose_batch_size(SIZES, lambda _: pytest.fail("measured again"), key="model", memory=Memory()) == first
    slower = Device(limit=100.0)
    assert choose_batch_size(SIZES, slower.rate, key="another", memory=Memory()).value == "16"
    assert choose_batch_size(SIZES[1:], slower.rate, key="model", memory=Memory()).value == "32"


def test_where_not_even_the_smallest_fits_it_is_taken_for_this_time():
    choice = choose_batch_size(SIZES, Device(most=8).rate, key="model", memory=Memory())
    assert (choice.value, choice.reason) == (
        "16",
        "16: the smallest size, and not even that fits in memory or in its limit",
    )
    assert math.isnan(choice.ratio)
    assert choose_batch_size(SIZES, Device().rate, key="model", memory=Memory()).value == "128"


def test_a_single_size_is_not_measured():
    choice = choose_batch_size((16,), lambda _: pytest.fail("measured"), key="model", memory=Memory())
    assert (choice.value, choice.reason) == ("16", "16: the only size to choose from")


@given(limit=st.floats(1.0, 1e6), overhead_s=st.floats(1e-6, 10.0), most=st.integers(16, 5000))
@settings(max_examples=25)
def test_the_choice_fits_and_is_close_to_the_best_of_all_sizes_that_fit(limit, overhead_s, most):
    sizes = sizes_for(10**6)
    device = Device(limit=limit, overhead_s=overhead_s, most=most)
    choice = choose_batch_size(sizes, device.rate, key=(limit, overhead_s, most), memory=Memory())
    best = max(device.rate(size) for size in sizes if size <= most)
    close = [size for size in sizes if size <= most and device.rate(size) * 1.05 >= best]
    assert int(choice.value) == close[0]


@given(st.integers(1, 200_000))
@settings(max_examples=50)
def test_sizes_are_powers_of_two_that_leave_sixteen_batches(samples):
    sizes = sizes_for(samples)
    if samples < 256:
        assert sizes == (min(16, samples),)
    else:
        assert sizes == tuple(2**n for n in range(4, 13) if samples // 2**n >= 16)


@pytest.mark.parametrize(("samples", "size"), [(10, 10), (150, 16), (1_437, 32), (50_000, 256), (10**9, 256)])
def test_by_rule_it_is_the_middle_size(samples, size):
    choice = batch_size_by_rule(sizes_for(samples))
    assert choice.value == str(size)
    assert choice.reason.startswith(f"{size}: by rule, the middle one of ")


def test_sizes_of_known_tasks():
    assert sizes_for(10) == (10,)
    assert sizes_for(150) == (16,)
    assert sizes_for(1_437) == (16, 32, 64)
    assert sizes_for(50_000) == (16, 32, 64, 128, 256, 512, 1024, 2048)
    assert sizes_for(10**9)[-1] == 4096
