from __future__ import annotations

import math
import time

import pytest
import torch

from harness.bench.timing.clocks import cache_bytes
from harness.bench.timing.conditions import Watch, watch_idle
from harness.hardware import sampler
from harness.records import Figures

CPU = torch.device("cpu")


class Scripted:
    """A GPU that gives the readings of a script, then the last one for ever."""

    names = (
        "sm_clock_mhz",
        "temperature_c",
        "throttle_reasons",
        "power_w",
        "memory_device_mib",
        "memory_process_mib",
        "gpu_utilization_percent",
    )

    def __init__(self, *readings):
        usual = dict(zip(self.names, (1500.0, 50.0, 0.0, 100.0, 1000.0, 1000.0, 0.0), strict=True))
        self.readings = [{**usual, **reading} for reading in readings] or [usual]

    def read(self):
        return Figures(self.readings.pop(0) if len(self.readings) > 1 else self.readings[0])


@pytest.fixture
def seen(scripted_sampler):
    """Return what a stretch with work looks like to a watch of these meters."""

    def see(*meters, root="/", work=lambda: None):
        watch = Watch(CPU, scripted_sampler(*meters), root=root)
        mark = watch.begin()
        work()
        return watch.end(mark)

    return see


@pytest.fixture
def pressure(tmp_path):
    """A system whose stalled microseconds can be set."""
    (tmp_path / "proc/pressure").mkdir(parents=True)

    def stalled(microseconds):
        text = f"some avg10=0.00 avg60=0.00 avg300=0.00 total={microseconds}\nfull avg10=0.00 total=7\n"
        (tmp_path / "proc/pressure/cpu").write_text(text)

    stalled(1_000_000)
    return tmp_path, stalled


def test_pressure_is_the_share_of_the_stretch(seen, pressure):
    root, stalled = pressure

    def work():
        time.sleep(0.1)
        stalled(1_050_000)

    found = seen(root=root, work=work)
    assert 5 < found.psi_cpu <= 50
    assert [flag.partition(":")[0] for flag in found.flags] == (["contended"] if found.psi_cpu > 10 else [])


def test_no_pressure_is_no_contention(seen, pressure):
    found = seen(root=pressure[0], work=lambda: time.sleep(0.01))
    assert found.psi_cpu == 0
    assert found.flags == ()


def test_a_system_that_tells_no_pressure_leaves_it_open(seen, tmp_path):
    found = seen(root=tmp_path)
    assert math.isnan(found.psi_cpu)
    assert found.flags == ()


def test_cpu_time_is_over_wall_time(seen, tmp_path):
    assert seen(root=tmp_path, work=lambda: time.sleep(0.1)).cpu_wall_ratio < 0.5


def test_clock_temperature_and_memory_are_of_the_stretch(seen, tmp_path):
    meter = Scripted(
        {"sm_clock_mhz": 1000.0, "temperature_c": 40.0, "memory_device_mib": 500.0, "memory_process_mib": 500.0},
        {"sm_clock_mhz": 1800.0, "temperature_c": 70.0},
    )
    found = seen(meter, root=tmp_path)
    assert found.sm_mhz_median in (1400.0, 1800.0)
    assert found.temp_max_c == 70.0
    assert found.mem_device_peak_mib == 1000.0


@pytest.mark.parametrize(
    ("mask", "names", "flagged"),
    [
        (0x1, "", False),
        (0x2, "applications clocks setting", False),
        (0x4, "software power cap", True),
        (0x24, "software power cap, software thermal slowdown", True),
        (0x48, "hardware slowdown, hardware thermal slowdown", True),
    ],
)
def test_what_slowed_the_gpu_is_named_and_flagged(seen, tmp_path, mask, names, flagged):
    found = seen(Scripted({"throttle_reasons": float(mask)}, {}), root=tmp_path)
    assert found.throttle == names
    assert found.flags == ((f"throttled: {names}",) if flagged else ())


def test_memory_that_others_hold_is_contention(seen, tmp_path):
    found = seen(Scripted({"memory_device_mib": 3000.0}), root=tmp_path)
    assert found.flags == ("contended: other processes hold 2000 MiB of the GPU",)
    unknown = seen(Scripted({"memory_device_mib": 3000.0, "memory_process_mib": math.nan}), root=tmp_path)
    assert unknown.flags == ()


def test_a_gpu_that_is_busy_before_all_work_is_contended(tmp_path, monkeypatch, scripted_sampler):
    monkeypatch.setattr(sampler, "BASELINE_S", 0.05)
    idle = watch_idle(CPU, scripted_sampler(Scripted({"gpu_utilization_percent": 80.0, "power_w": 60.0})))
    busy = Scripted({"gpu_utilization_percent": 100.0, "power_w": 300.0})
    with Watch(CPU, scripted_sampler(busy), idle=idle, root=tmp_path) as watch:
        assert watch.metered
        found = watch.end(watch.begin())
    assert found.idle_w == pytest.approx(60.0)
    assert found.flags == ("contended: the GPU was 80 % busy before the work began",)


def test_without_a_gpu_nothing_is_said_of_one(tmp_path):
    with Watch(CPU, root=tmp_path) as watch:
        found = watch.end(watch.begin())
    assert not watch.metered
    assert all(map(math.isnan, (found.idle_w, found.sm_mhz_median, found.temp_max_c, found.mem_device_peak_mib)))
    assert found.throttle == ""
    assert found.mem_rss_peak_mib > 1


def test_the_cache_is_the_last_of_its_levels(tmp_path):
    for index, (level, size) in enumerate([("1", "48K"), ("1", "32K"), ("2", "2048K"), ("3", "33792K")]):
        folder = tmp_path / f"sys/devices/system/cpu/cpu0/cache/index{index}"
        folder.mkdir(parents=True)
        (folder / "level").write_text(f"{level}\n")
        (folder / "size").write_text(f"{size}\n")
    assert cache_bytes(CPU, tmp_path) == 33 * 2**20
    assert math.isnan(cache_bytes(CPU, tmp_path / "nowhere"))
    assert math.isnan(cache_bytes(torch.device("mps"), tmp_path))
