from __future__ import annotations

import math

import pytest

from harness.hardware.pcie import PcieTraffic, link_bytes_s


@pytest.fixture
def traffic():
    made = PcieTraffic()
    made.fastest_bytes_s = link_bytes_s(4, 16)
    return made


def test_a_link_doubles_with_each_generation_and_grows_with_its_lanes():
    # 32 GB/s in each direction: what generation 4 with 16 lanes has before its coding
    assert link_bytes_s(4, 16) == 32e9
    assert link_bytes_s(5, 16) == 2 * link_bytes_s(4, 16) == 4 * link_bytes_s(4, 8)


def test_the_first_reading_tells_no_rate(traffic):
    assert all(math.isnan(rate) for rate in traffic.rates_mb_s(5.0, (100, 200), 2**64))


def test_rates_are_millions_of_bytes_per_second_since_the_last_reading(traffic):
    traffic.rates_mb_s(5.0, (100, 200), 2**64)
    assert traffic.rates_mb_s(7.0, (100 + 8_000_000, 200 + 1_000_000), 2**64) == (4.0, 0.5)
    assert traffic.rates_mb_s(8.0, (100 + 8_000_000, 200 + 1_500_000), 2**64) == (0.0, 0.5)


def test_a_counter_that_began_anew_once_is_told(traffic):
    traffic.rates_mb_s(0.0, (2**32 - 1_000_000,), 2**32)
    assert traffic.rates_mb_s(0.1, (1_000_000,), 2**32) == (pytest.approx(20.0),)


def test_a_counter_that_may_have_begun_anew_more_than_once_is_not_told(traffic):
    traffic.rates_mb_s(0.0, (0,), 2**32)
    assert traffic.rates_mb_s(0.14, (5,), 2**32) is None  # 0.14 s of 32 GB/s are more than 2**32 bytes
    assert traffic.rates_mb_s(0.27, (10,), 2**32) is not None


def test_a_counter_that_was_set_back_is_not_told(traffic):
    traffic.rates_mb_s(0.0, (10**12,), 2**64)
    assert traffic.rates_mb_s(1.0, (0,), 2**64) is None
    assert traffic.rates_mb_s(2.0, (10**6,), 2**64) == (1.0,)


def test_two_readings_at_one_time_tell_no_rate(traffic):
    traffic.rates_mb_s(1.0, (1,), 2**64)
    assert all(math.isnan(rate) for rate in traffic.rates_mb_s(1.0, (2,), 2**64))


def test_a_measurement_is_due_once_a_second(traffic):
    assert [traffic.due(second) for second in (0.0, 0.5, 0.99, 1.0, 1.5, 3.0)] == [
        True,
        False,
        False,
        True,
        False,
        True,
    ]
