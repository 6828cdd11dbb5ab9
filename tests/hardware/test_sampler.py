from __future__ import annotations

import json
import math
import threading
import time

import pytest

from harness.hardware import AbsentMeter, HostMeter, Sampler
from harness.records import TELEMETRY, Figures


class Scripted:
    """Gives the figures or raises the errors of a script, then the last one for ever."""

    names = ("power_w", "temperature_c")

    def __init__(self, *script):
        self.script = list(script)
        self.reads = 0

    def read(self):
        self.reads += 1
        step = self.script.pop(0) if len(self.script) > 1 else self.script[0]
        if isinstance(step, Exception):
            raise step
        return Figures({"power_w": step, "temperature_c": 50.0})


def wait_for(condition):
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def test_a_record_holds_every_column_and_the_trial_it_was_taken_in():
    sampler = Sampler([HostMeter(), Scripted(100.0)])
    before = time.time()
    sampler.sample()
    sampler.trial = 7
    sampler.sample()
    first, second = sampler.drain()
    assert tuple(first.values) == TELEMETRY
    assert (first.trial, second.trial) == (-1, 7)
    assert before <= first.time_unix_s <= second.time_unix_s <= time.time()
    assert first.values["power_w"] == 100.0
    assert first.values["memory_rss_mib"] > 1
    assert math.isnan(first.values["sm_clock_mhz"])


def test_draining_hands_over_each_sample_once_and_windows_still_see_them():
    sampler = Sampler([Scripted(100.0)])
    start = sampler.sample()
    time.sleep(0.01)
    end = sampler.sample()
    assert [record.time_unix_s for record in sampler.drain()] == [start, end]
    assert sampler.drain() == []
    assert sampler.window(start, end).values["power_w"] == 100.0


def test_only_the_newest_samples_are_kept():
    sampler = Sampler([Scripted(*map(float, range(1, 9)))], keep=3)
    for _ in range(5):
        sampler.sample()
    assert [record.values["power_w"] for record in sampler.drain()] == [3.0, 4.0, 5.0]


def test_the_thread_samples_until_stopped_and_can_be_started_again():
    meter = Scripted(100.0)
    sampler = Sampler([meter], interval_s=0.005)
    with sampler:
        sampler.start()
        wait_for(lambda: meter.reads >= 5)
        assert sum(thread.name == "harness-sampler" for thread in threading.enumerate()) == 1
    reads = meter.reads
    time.sleep(0.03)
    assert meter.reads == reads
    assert all(thread.name != "harness-sampler" for thread in threading.enumerate())
    sampler.stop()
    with sampler:
        wait_for(lambda: meter.reads > reads)


def test_a_meter_that_fails_spoils_its_sample_and_nothing_else():
    meter = Scripted(100.0, OSError("the sensor is gone"), RuntimeError("again"), 130.0)
    sampler = Sampler([HostMeter(), meter], interval_s=0.005)
    with sampler:
        wait_for(lambda: meter.reads >= 5)
    records = sampler.drain()
    powers = [record.values["power_w"] for record in records[:4]]
    assert powers == pytest.approx([100.0, math.nan, math.nan, 130.0], nan_ok=True)
    assert all(record.values["memory_rss_mib"] > 0 for record in records)


def test_a_window_says_why_a_figure_is_missing():
    sampler = Sampler([Scripted(OSError("the sensor is gone"))])
    start = sampler.sample()
    figures = sampler.window(start, time.time())
    assert figures.reasons["power_w"] == "Scripted failed: the sensor is gone"
    assert figures.reasons["memory_rss_peak_mib"] == "no meter measures it"
    assert figures.reasons["energy_j"] == "no meter measures it"


def test_a_stand_in_tells_why_there_is_no_gpu():
    sampler = Sampler([HostMeter(), AbsentMeter("the device is cpu")])
    start = sampler.sample()
    figures = sampler.window(start, time.time())
    assert math.isnan(figures.values["power_w"])
    assert {figures.reasons[name] for name in ("power_w", "energy_j", "memory_device_peak_mib")} == {
        "the device is cpu"
    }
    assert figures.values["memory_rss_peak_mib"] > 1


def test_a_stretch_shorter_than_the_interval_still_has_figures():
    sampler = Sampler([Scripted(100.0)], interval_s=30)
    with sampler:
        wait_for(lambda: sampler.drain())
        start = time.time()
        time.sleep(0.02)
        end = time.time()
        figures = sampler.window(start, end)
    assert figures.values["power_w"] == pytest.approx(100.0)
    assert figures.values["energy_j"] == pytest.approx(100.0 * (end - start), rel=1e-6)


def test_old_stretches_are_told_from_their_own_samples():
    sampler = Sampler([Scripted(*map(float, range(1, 100)))])
    times = [sampler.sample() for _ in range(20)]
    assert sampler.window(times[4], times[4]).values["power_w"] == pytest.approx(5.0)
    assert 8 <= sampler.window(times[7], times[9]).values["power_w"] <= 10


def test_an_interval_must_be_positive():
    with pytest.raises(ValueError, match="interval_s must be above 0, not 0"):
        Sampler([], interval_s=0)


def test_cpu_percent_counts_the_threads_of_this_process_alone():
    meter = HostMeter()
    busy_until = time.process_time() + 0.2
    began = time.perf_counter()
    while time.process_time() < busy_until:
        pass
    wall = time.perf_counter() - began
    percent = meter.read().values["cpu_percent"]
    assert percent == pytest.approx(100 * 0.2 / wall, rel=0.1)
    time.sleep(0.2)
    assert meter.read().values["cpu_percent"] < 25


def test_host_memory_grows_with_what_is_allocated_and_the_peak_stays():
    meter = HostMeter()
    before = meter.read().values["memory_rss_mib"]
    block = b"x" * (64 * 2**20)
    during = meter.read().values["memory_rss_mib"]
    del block
    after = meter.read().values["memory_rss_mib"]
    assert during - before == pytest.approx(64, abs=8)
    assert after < during
    assert meter.peak_rss_mib == during


SAMPLE = """
import json, time
from harness.hardware import GpuMeter, HostMeter, Sampler, open_nvml
sampler = Sampler([HostMeter(), GpuMeter(open_nvml().gpus[{gpu}])], interval_s=0.02)
with sampler:
    time.sleep(0.1)
    start = sampler.sample()
    time.sleep(0.6)
    end = sampler.sample()
    time.sleep(0.05)
    figures = sampler.window(start, end)
print(json.dumps([start, end, dict(figures.values), dict(figures.reasons), len(sampler.drain())]))
"""


@pytest.mark.parametrize(("gpu", "source"), [(1, None), (0, "sampled power")])
def test_energy_of_the_stubs_ramp_matches_its_closed_form_from_counter_and_from_power(nvml_stub, gpu, source):
    t0 = time.time()
    start, end, values, reasons, count = json.loads(nvml_stub.run(SAMPLE.format(gpu=gpu), t0=repr(t0)))
    first, last = start - t0, end - t0
    energy = 100 * (last - first) + 25 * (last**2 - first**2)
    assert values["energy_j"] == pytest.approx(energy, rel=0.1)
    assert values["power_w"] == pytest.approx(energy / (last - first), rel=0.1)
    assert values["memory_device_peak_mib"] == pytest.approx(1000 + 100 * last, rel=0.02)
    assert values["memory_process_peak_mib"] == 300.0
    assert values["gpu_utilization_percent"] == 80.0
    assert values["temperature_c"] == 56.0
    assert count >= 5
    assert source in reasons["energy_j"] if source else reasons == {}


def test_a_gpu_lost_half_way_leaves_the_host_figures_and_a_reason(nvml_stub):
    _, _, values, reasons, count = json.loads(nvml_stub.run(SAMPLE.format(gpu=1), lost_after=10))
    assert count > 10
    assert values["memory_rss_peak_mib"] > 1
    assert math.isnan(values["energy_j"])
    assert reasons["energy_j"].endswith("NVML: GPU is lost")
