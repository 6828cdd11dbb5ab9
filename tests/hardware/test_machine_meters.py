"""Meters of the whole machine, on made-up file systems."""

from __future__ import annotations

import math
import os
import time

import pytest

from harness.hardware.pressure import PressureMeter, Stall, stalled_percent
from harness.hardware.rapl import RaplMeter


class Zones:
    """Counters of energy under a made-up root."""

    def __init__(self, root):
        self.root = root

    def set(self, zone, name, microjoules, *, wraps_at=1_000_000_000):
        folder = self.root / "sys/class/powercap" / zone
        folder.mkdir(parents=True, exist_ok=True)
        for file, value in (("name", name), ("energy_uj", microjoules), ("max_energy_range_uj", wraps_at)):
            (folder / file).write_text(f"{value}\n")
        return folder


@pytest.fixture
def zones(tmp_path):
    return Zones(tmp_path)


def joules(meter):
    return meter.read().values["cpu_energy_j"]


def test_energy_is_the_sum_of_packages_and_of_nothing_that_is_in_them_or_around_them(zones):
    others = (("intel-rapl:0:0", "core"), ("intel-rapl:2", "psys"), ("intel-rapl-mmio:0", "package-0"))
    packages = (("intel-rapl:0", "package-0"), ("intel-rapl:1", "package-1"))
    for zone, name in (*packages, *others):
        zones.set(zone, name, 5_000_000)
    meter = RaplMeter(zones.root)
    assert joules(meter) == pytest.approx(10.0)
    for zone, name in packages:
        zones.set(zone, name, 8_500_000)
    for zone, name in others:
        zones.set(zone, name, 900_000_000)
    assert joules(meter) == pytest.approx(17.0)


def test_a_counter_that_starts_anew_goes_on(zones):
    zones.set("intel-rapl:0", "package-0", 90_000_000, wraps_at=100_000_000)
    meter = RaplMeter(zones.root)
    for now, total in ((95_000_000, 95.0), (15_000_000, 115.0), (20_000_000, 120.0), (0, 200.0)):
        zones.set("intel-rapl:0", "package-0", now, wraps_at=100_000_000)
        assert joules(meter) == pytest.approx(total)


def test_without_packages_there_is_a_reason(tmp_path):
    figures = RaplMeter(tmp_path).read()
    assert math.isnan(figures.values["cpu_energy_j"])
    assert "counts energy (RAPL)" in figures.reasons["cpu_energy_j"]


def test_a_counter_that_only_root_may_read_is_a_reason(zones, monkeypatch):
    folder = zones.set("intel-rapl:0", "package-0", 1)
    if os.geteuid() == 0:  # who may read everything

        def refuse(path, *_, **__):
            raise PermissionError(13, "Permission denied", str(path))

        monkeypatch.setattr("harness.hardware.rapl._microjoules", refuse)
    else:
        (folder / "energy_uj").chmod(0)
    reason = RaplMeter(zones.root).read().reasons["cpu_energy_j"]
    assert reason == f"{folder / 'energy_uj'}: permission denied; RAPL is readable by root only"


def test_a_counter_that_goes_away_is_missing_until_it_is_back(zones):
    folder = zones.set("intel-rapl:0", "package-0", 1_000_000)
    meter = RaplMeter(zones.root)
    (folder / "energy_uj").unlink()
    figures = meter.read()
    assert math.isnan(figures.values["cpu_energy_j"])
    assert "energy_uj" in figures.reasons["cpu_energy_j"]
    zones.set("intel-rapl:0", "package-0", 3_000_000)
    assert joules(meter) == pytest.approx(3.0)


def test_pressure_is_the_share_of_the_time_in_which_some_task_waited(tmp_path):
    folder = tmp_path / "proc/pressure"
    folder.mkdir(parents=True)

    def stall(cpu, memory):
        for name, total in (("cpu", cpu), ("memory", memory)):
            some, full = f"some avg10=9.00 avg60=9.00 total={total}", f"full avg10=0.00 total={10**9 + total}"
            (folder / name).write_text(f"{some}\n{full}\n")

    stall(1_000_000, 7)
    began = time.monotonic()  # before the meter's own first reading
    meter = PressureMeter(tmp_path)
    time.sleep(0.05)
    stall(1_010_000, 7)
    values = meter.read().values
    assert 1.0 / (time.monotonic() - began) <= values["cpu_pressure_percent"] <= 20.0
    assert values["memory_pressure_percent"] == 0.0
    (folder / "memory").unlink()
    figures = meter.read()
    assert figures.values["cpu_pressure_percent"] == 0.0
    assert math.isnan(figures.values["memory_pressure_percent"])
    assert "CONFIG_PSI" in figures.reasons["memory_pressure_percent"]


def test_who_has_to_wait_between_clock_and_counter_sees_no_more_than_all_of_the_time(tmp_path, monkeypatch):
    """A reader that is held up on the way reads a later counter than its clock says."""
    now_s = [100.0]
    counters = tmp_path / "proc/pressure"
    counters.mkdir(parents=True)
    for name in ("cpu", "memory"):
        (counters / name).write_text("")
    held_up_s = iter([0.0, 0.0, 0.4, 0.0, 0.0, 0.0])

    def read_text(path):
        now_s[0] += next(held_up_s)  # all the time some task waits for a CPU, and none for memory
        return f"some total={1e6 * now_s[0] if path.name == 'cpu' else 7.0}\n"

    monkeypatch.setattr("harness.hardware.pressure.time.monotonic", lambda: now_s[0])
    monkeypatch.setattr("pathlib.Path.read_text", read_text)
    meter, seen = PressureMeter(tmp_path), []
    for _ in range(2):
        now_s[0] += 0.1
        seen.append(meter.read().values)
    assert [values["cpu_pressure_percent"] for values in seen] == [100.0, pytest.approx(100 * 0.1 / 0.3)]
    assert all(values["memory_pressure_percent"] == 0.0 for values in seen)


def test_pressure_is_a_share_and_unknown_without_time_or_counter():
    assert stalled_percent(Stall(0.0, 1.0), Stall(5e5, 2.0)) == pytest.approx(50.0)
    assert stalled_percent(Stall(0.0, 1.0), Stall(2e6, 2.0)) == 100.0
    assert math.isnan(stalled_percent(Stall(0.0, 1.0), Stall(5e5, 1.0)))
    assert math.isnan(stalled_percent(Stall(math.nan, 1.0), Stall(5e5, 2.0)))
