"""Samples of real processes, and what is told of stretches and trials by them."""

from __future__ import annotations

import json
import math
import time

import pytest

from harness.hardware import Sampler, Watched
from harness.records import TELEMETRY, Figures


class Scripted:
    """Gives the watts of a script, then the last ones for ever."""

    def __init__(self, *script):
        self.script = list(script)

    def read(self):
        watts = self.script.pop(0) if len(self.script) > 1 else self.script[0]
        return Figures({"power_w": watts, "temperature_c": 50.0})


@pytest.fixture(scope="module")
def running():
    """A sampler of this process that is running."""
    with Sampler(Watched(no_gpu="the device is cpu"), interval_s=0.01) as sampler:
        yield sampler


def wait_for(condition):
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def spin(seconds):
    """Compute for so long."""
    until = time.process_time() + seconds
    while time.process_time() < until:
        pass


def test_a_sample_taken_now_is_one_of_this_moment_with_every_column(running):
    running.drain()
    before = time.time()
    taken = running.sample()
    after = time.time()
    (record,) = [each for each in running.drain() if each.time_unix_s == taken]
    assert before <= taken <= after
    assert tuple(record.values) == TELEMETRY
    assert record.values["memory_rss_mib"] > 1
    assert math.isnan(record.values["power_w"])


def test_it_goes_on_sampling_without_being_asked_and_hands_over_each_sample_once(running):
    running.drain()
    seen = []
    wait_for(lambda: seen.extend(running.drain()) or len(seen) >= 5)
    times = [record.time_unix_s for record in seen]
    assert times == sorted(set(times))


def test_cpu_percent_counts_this_process_alone(running):
    began, start = time.perf_counter(), running.sample()
    spin(0.2)
    percent = 100 * 0.2 / (time.perf_counter() - began)
    end = running.sample()
    time.sleep(0.1)
    idle = running.sample()
    rows = [(row.time_unix_s, row.values["cpu_percent"]) for row in running.drain() if row.time_unix_s >= start]
    spent, at = {"busy": 0.0, "idle": 0.0}, start
    for time_s, value in rows[1:]:
        spent["busy" if time_s <= end else "idle"] += value * (time_s - at)
        at = time_s
    assert spent["busy"] / (end - start) == pytest.approx(percent, rel=0.15)
    assert spent["idle"] / (idle - end) < 50


def test_memory_grows_with_what_is_allocated(running):
    before = running.sample()
    block = b"x" * (64 * 2**20)
    during = running.sample()
    del block
    low, high = (running.window(at, at).values["memory_rss_peak_mib"] for at in (before, during))
    assert high - low == pytest.approx(64, abs=8)


def test_a_stretch_shorter_than_the_interval_has_figures():
    with Sampler(Watched(), interval_s=30) as sampler:
        start = time.time()
        figures = sampler.window(start, time.time())
    assert figures.values["memory_rss_peak_mib"] > 1


def test_a_sample_is_taken_for_the_end_of_a_stretch_where_it_tells_more_than_a_hundredth_of_it():
    with Sampler(Watched(), interval_s=30) as sampler:
        first = sampler.sample()
        sampler.drain()
        long = sampler.window(first - 10_000.0, time.time())
        assert sampler.drain() == []
        assert long.values["memory_rss_peak_mib"] > 1
        sampler.window(first, time.time())
        assert len(sampler.drain()) == 1


def test_a_window_says_why_a_figure_is_missing(running):
    figures = running.window(time.time(), time.time())
    for name in ("power_w", "energy_j", "memory_device_peak_mib"):
        assert math.isnan(figures.values[name])
        assert figures.reasons[name].startswith("the device is cpu")


def test_a_sampler_that_does_not_run_measures_nothing_and_says_so():
    sampler = Sampler(Watched())
    assert sampler.window(time.time(), time.time()).reasons["power_w"] == "the sampler has not been started"
    with sampler:
        start = sampler.sample()
    figures = sampler.window(start, time.time())
    assert figures.values["memory_rss_peak_mib"] > 1
    assert math.isnan(sampler.window(time.time(), time.time()).values["memory_rss_peak_mib"])


def test_samples_belong_to_the_trial_in_whose_time_they_were_taken(scripted_sampler):
    sampler = scripted_sampler(Scripted(*map(float, range(1, 20))))
    sampler.sample()
    with sampler.labelled(7):
        sampler.sample()
        first = sampler.drain()
    sampler.sample()
    with sampler.labelled(8):
        pass
    second = sampler.drain()
    assert [(each.trial, each.values["power_w"]) for each in first] == [(-1, 1.0), (7, 2.0), (7, 3.0)]
    assert [(each.trial, each.values["power_w"]) for each in second] == [(7, 4.0), (8, 6.0), (8, 7.0)]


def test_a_trial_that_fails_ends_its_label(scripted_sampler):
    sampler = scripted_sampler(Scripted(1.0))
    with pytest.raises(OSError, match="planted"), sampler.labelled(3):
        raise OSError("planted")
    sampler.sample()
    assert [each.trial for each in sampler.drain()] == [3, 3]


def test_only_the_newest_samples_are_kept(scripted_sampler):
    sampler = scripted_sampler(Scripted(*map(float, range(1, 9))), keep=4)
    times = [sampler.sample() for _ in range(6)]
    assert [record.values["power_w"] for record in sampler.drain()] == [4.0, 5.0, 6.0]
    energy_j = sampler.window(times[0], times[5]).values["energy_j"]
    # The first three may be taken in no time, so that the others tell of nearly all of it.
    assert math.isnan(energy_j) or times[5] - times[3] > 0.89 * (times[5] - times[0])


def test_old_stretches_are_told_from_their_own_samples(scripted_sampler, monkeypatch):
    monkeypatch.setattr("harness.hardware.sampler._BLOCK", 4)
    sampler = scripted_sampler(Scripted(*map(float, range(1, 100))))
    times = [sampler.sample() for _ in range(20)]
    assert sampler.window(times[4], times[4]).values["power_w"] == pytest.approx(5.0)
    assert 8 <= sampler.window(times[7], times[9]).values["power_w"] <= 10


def test_what_is_drawn_before_the_first_trial_is_idle_power(scripted_sampler, monkeypatch):
    monkeypatch.setattr("harness.hardware.sampler.BASELINE_S", 0.0)
    monkeypatch.setattr("harness.hardware.stretch.BASELINE_S", 0.0)
    meter = Scripted(40.0)
    with scripted_sampler(meter) as sampler:
        for trial in (0, 1):
            with sampler.labelled(trial):
                meter.script = [300.0]
                start = sampler.sample()
            figures = sampler.window(start, sampler.sample())
            assert figures.values["idle_power_w"] == pytest.approx(40.0)


def test_where_nothing_tells_power_none_is_waited_for(tmp_path, monkeypatch):
    monkeypatch.setattr("harness.hardware.sampler.BASELINE_S", 1e6)
    with Sampler(Watched(root=str(tmp_path))) as sampler:
        figures = sampler.window(sampler.sample(), time.time())
    assert math.isnan(figures.values["idle_power_w"])
    assert figures.reasons["idle_power_w"] == "power is not available on this machine"


def test_who_wants_no_baseline_waits_for_none(scripted_sampler, monkeypatch):
    monkeypatch.setattr("harness.hardware.sampler.BASELINE_S", 1e6)
    source = scripted_sampler(Scripted(40.0))._source
    with Sampler(Watched(gpu_uuid="GPU-scripted"), source=source, baseline=False) as sampler:
        figures = sampler.window(sampler.sample(), time.time())
    assert figures.values["power_w"] == 40.0
    assert figures.reasons["idle_power_w"] == "idle power was not measured"


def test_an_interval_must_be_positive():
    with pytest.raises(ValueError, match="interval_s must be above 0, not 0"):
        Sampler(Watched(), interval_s=0)


SAMPLE = """
import json, os, time
from harness.hardware import Sampler, Watched, sampler
sampler.BASELINE_S = 0.05
os.environ["NVML_STUB_CHILD"] = str(os.getpid())
A, B = (Watched(gpu_uuid=f"{letter * 8}-1111-2222-3333-444444444444") for letter in "ab")
with Sampler(A, interval_s=0.02) as first, Sampler(B, interval_s=0.02) as second:
    with first.labelled(0), second.labelled(0):
        start = second.sample()
        time.sleep(0.3)
        end = first.sample()
    both = [sampler.window(start, end) for sampler in (first, second)]
print(json.dumps([start, end, *([dict(f.values), dict(f.reasons)] for f in both), len(first.drain())]))
"""


def test_energy_of_the_stubs_ramp_matches_its_closed_form_from_counter_and_from_power(nvml_stub):
    t0 = time.time()
    start, end, counted, integrated, _ = json.loads(nvml_stub.run(SAMPLE, t0=repr(t0)))
    first, last = start - t0, end - t0
    ramp = 25 * (last**2 - first**2)
    values, reasons = counted
    assert set(reasons) == {"idle_power_w"}
    assert values["energy_j"] == pytest.approx(100 * (last - first) + ramp, rel=0.1)
    assert values["power_w"] == pytest.approx(100 + ramp / (last - first), rel=0.1)
    assert values["memory_device_peak_mib"] == pytest.approx(1000 + 100 * last, rel=0.02)
    assert values["memory_process_peak_mib"] == 50.0
    assert values["gpu_utilization_percent"] == 80.0
    assert values["temperature_c"] == 56.0
    values, reasons = integrated
    assert values["energy_j"] == pytest.approx(110 * (last - first) + ramp, rel=0.1)
    assert "sampled power" in reasons["energy_j"]


def test_a_gpu_lost_half_way_leaves_the_host_figures_and_a_reason(nvml_stub):
    _, _, (values, reasons), _, count = json.loads(nvml_stub.run(SAMPLE, lost_after=15))
    assert count > 10
    assert values["memory_rss_peak_mib"] > 1
    assert math.isnan(values["energy_j"])
    assert reasons["energy_j"].endswith("NVML: GPU is lost")


def test_a_gpu_that_nvml_does_not_show_and_processes_that_a_container_hides_are_reasons(nvml_stub):
    code = SAMPLE.replace('in "ab"', 'in "az"').replace("time.sleep(0.3)", "")
    _, _, hidden, unknown, _ = json.loads(nvml_stub.run(code, processes="none"))
    assert math.isnan(hidden[0]["memory_process_peak_mib"])
    assert "container" in hidden[1]["memory_process_peak_mib"]
    assert unknown[1]["power_w"] == "NVML shows no GPU with the UUID of the device"
