"""Figures of a stretch against closed forms."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.hardware.stretch import idle_power, summarise
from harness.records import FIGURES

T0 = 1_700_000_000.0


def samples(times, **columns):
    return np.asarray(times), {name: np.asarray(values, dtype=float) for name, values in columns.items()}


def test_every_figure_is_there_by_its_name_in_the_records_even_when_nothing_was_measured():
    figures = summarise(np.empty(0), {}, T0, T0 + 1, {"power_w": "no GPU"})
    assert set(figures.values) == set(figures.reasons)
    assert set(figures.values) < set(FIGURES)
    assert len(figures.values) == 7
    assert all(math.isnan(value) for value in figures.values.values())
    assert figures.reasons["power_w"] == "no GPU"


@settings(max_examples=25)
@given(
    watts=st.floats(1, 700),
    slope=st.floats(0, 100),
    start=st.floats(0, 5),
    length=st.floats(0.01, 5),
    gaps=st.lists(st.floats(0.01, 0.5), min_size=25, max_size=60),
)
def test_energy_and_mean_of_a_power_ramp_are_exact_however_uneven_the_samples(watts, slope, start, length, gaps):
    times = np.concatenate([[0.0], np.cumsum(gaps)])
    times *= 11 / times[-1]
    times, columns = samples(T0 + times, power_w=watts + slope * times)
    figures = summarise(times, columns, T0 + start, T0 + start + length, {"energy_counter_j": "not supported"})
    middle = watts + slope * (start + length / 2)
    assert figures.values["power_w"] == pytest.approx(middle, rel=1e-4)
    assert figures.values["energy_j"] == pytest.approx(middle * length, rel=1e-4)
    assert "sampled power" in figures.reasons["energy_j"]
    assert "not supported" in figures.reasons["energy_j"]


def test_energy_is_the_counters_difference_where_there_is_a_counter():
    times = np.linspace(0, 10, 101)
    at, columns = samples(T0 + times, energy_counter_j=5e6 + 300 * times, power_w=np.full(101, 100.0))
    figures = summarise(at, columns, T0 + 2.03, T0 + 7.08, {})
    assert figures.values["energy_j"] == pytest.approx(300 * 5.05, rel=1e-6)
    assert figures.values["power_w"] == pytest.approx(100.0)
    assert "energy_j" not in figures.reasons


def test_peaks_are_of_the_stretch_alone():
    times = np.arange(10.0)
    memory = [9e3, 100, 100, 300, 700, 200, 100, 100, 8e3, 9e3]
    at, columns = samples(T0 + times, memory_device_mib=memory, memory_rss_mib=memory, memory_process_mib=memory)
    figures = summarise(at, columns, T0 + 2, T0 + 7, {})
    peaks = ("memory_device_peak_mib", "memory_rss_peak_mib", "memory_process_peak_mib")
    assert {figures.values[name] for name in peaks} == {700.0}


def test_a_stretch_between_two_samples_is_read_off_the_line_between_them():
    at, columns = samples([T0, T0 + 1], power_w=[100, 200], temperature_c=[50, 60], energy_counter_j=[0, 150])
    figures = summarise(at, columns, T0 + 0.4, T0 + 0.6, {})
    assert figures.values["power_w"] == pytest.approx(150.0)
    assert figures.values["temperature_c"] == pytest.approx(56.0)
    assert figures.values["energy_j"] == pytest.approx(30.0)


def test_samples_on_one_side_only_tell_nothing_of_a_stretch():
    at, columns = samples([T0, T0 + 1], power_w=[100, 200])
    for start, end in ((2, 3), (-3, -2)):
        assert math.isnan(summarise(at, columns, T0 + start, T0 + end, {}).values["power_w"])


def test_one_sample_in_the_stretch_gives_levels_but_no_energy():
    at, columns = samples([T0 + 1], power_w=[120.0])
    figures = summarise(at, columns, T0, T0 + 2, {})
    assert figures.values["power_w"] == 120.0
    assert math.isnan(figures.values["energy_j"])
    assert "0.00 s of the 2.00 s" in figures.reasons["energy_j"]


def test_a_gpu_lost_half_way_has_levels_until_then_but_no_energy():
    times = np.linspace(0, 10, 101)
    known = np.where(times <= 5, 1.0, np.nan)
    at, columns = samples(T0 + times, power_w=100 * known, energy_counter_j=100 * times * known)
    figures = summarise(at, columns, T0, T0 + 10, {"energy_counter_j": "GPU is lost"})
    assert figures.values["power_w"] == pytest.approx(100.0)
    assert math.isnan(figures.values["energy_j"])
    assert figures.reasons["energy_j"] == "samples cover 5.00 s of the 10.00 s: GPU is lost"


def test_energy_of_a_stretch_nearly_covered_is_scaled_to_the_whole():
    times = np.linspace(0.5, 10, 96)
    at, columns = samples(T0 + times, energy_counter_j=200 * times)
    assert summarise(at, columns, T0, T0 + 10, {}).values["energy_j"] == pytest.approx(2000.0, rel=1e-6)


def test_a_failed_sample_in_between_is_bridged():
    at, columns = samples(T0 + np.arange(5.0), power_w=[100, 110, np.nan, 130, 140])
    assert summarise(at, columns, T0, T0 + 4, {}).values["power_w"] == pytest.approx(120.0)


@pytest.mark.parametrize("counter", [[50.0, 50.0], [50.0, 40.0]])
def test_a_counter_that_did_not_advance_is_not_zero_energy(counter):
    at, columns = samples([T0, T0 + 1], energy_counter_j=counter)
    figures = summarise(at, columns, T0, T0 + 1, {})
    assert math.isnan(figures.values["energy_j"])
    assert "no energy was counted" in figures.reasons["energy_j"]


def test_power_of_the_instant_is_integrated_where_it_is_known():
    at, columns = samples([T0, T0 + 2], power_w=[100, 100], power_instant_w=[150, 250])
    figures = summarise(at, columns, T0, T0 + 2, {})
    assert figures.values["energy_j"] == pytest.approx(400.0)
    assert figures.values["power_w"] == pytest.approx(100.0)


def test_without_a_gpu_energy_and_power_are_those_of_the_processor_and_said_to_be():
    times = np.linspace(0, 10, 101)
    at, columns = samples(T0 + times, cpu_energy_j=7 + 35 * times)
    figures = summarise(at, columns, T0 + 1.25, T0 + 3.25, {"energy_counter_j": "the device is cpu"})
    assert figures.values["energy_j"] == pytest.approx(70.0)
    assert figures.values["power_w"] == pytest.approx(35.0)
    said = "package energy of the CPU, whatever else ran there included"
    assert figures.reasons["energy_j"] == figures.reasons["power_w"] == said


def test_energy_that_nothing_tells_names_both_meters_that_do_not():
    at, columns = samples([T0, T0 + 1], cpu_energy_j=[np.nan, np.nan])
    reasons = {"energy_counter_j": "the device is cpu", "cpu_energy_j": "readable by root only"}
    figures = summarise(at, columns, T0, T0 + 1, reasons)
    assert figures.reasons["energy_j"] == "the device is cpu; readable by root only"


@pytest.mark.parametrize("column", ["power_w", "power_instant_w"])
def test_idle_power_is_the_mean_before_the_work(column):
    at, columns = samples(T0 + np.arange(6) / 4, **{column: [40, 60, 40, 60, 300, 300]})
    assert idle_power(at, columns, T0 + 0.5, {}).values["idle_power_w"] == pytest.approx(50.0)


def test_idle_power_of_a_processor_is_the_slope_of_its_counter():
    at, columns = samples(T0 + np.arange(6) / 4, cpu_energy_j=[0, 5, 10, 15, 200, 400])
    figures = idle_power(at, columns, T0 + 0.75, {})
    assert figures.values["idle_power_w"] == pytest.approx(20.0)
    assert "package energy" in figures.reasons["idle_power_w"]


@pytest.mark.parametrize(
    ("columns", "until", "said"),
    [
        ({}, 1.0, "no GPU here"),
        ({"power_w": [50, 50, 50]}, 0.2, "only 0.20 s were seen"),
        ({"power_w": [50, 50, 50], "gpu_utilization_percent": [80, 80, 80]}, 1.0, "the GPU was 80 % busy"),
    ],
)
def test_what_was_not_seen_idle_has_no_idle_power(columns, until, said):
    at, columns = samples(T0 + np.arange(3) / 2, **columns)
    figures = idle_power(at, columns, T0 + until, {"power_w": "no GPU here"})
    assert math.isnan(figures.values["idle_power_w"])
    assert said in figures.reasons["idle_power_w"]


def test_samples_out_of_order_are_put_in_order():
    at, columns = samples([T0 + 2, T0, T0 + 1], power_w=[300, 100, 200])
    assert summarise(at, columns, T0, T0 + 2, {}).values["energy_j"] == pytest.approx(400.0)


def test_a_stretch_that_ends_before_it_starts_is_refused():
    with pytest.raises(ValueError, match=r"ends 1\.000 s before"):
        summarise(np.empty(0), {}, T0, T0 - 1, {})
