from __future__ import annotations

import json
import math
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

from harness.errors import StorageError
from harness.hardware import ReplayMeter

T0 = 1_700_000_000.0


def recording(tmp_path, kind="parquet", **columns):
    count = 5
    base = {"time_unix_s": T0 + np.arange(count), "trial": np.full(count, 3), "power_w": np.linspace(100, 140, count)}
    frame = pd.DataFrame({**base, **columns})
    path = tmp_path / f"telemetry.{kind}"
    frame.to_parquet(path) if kind == "parquet" else frame.to_csv(path, index=False)
    return path


@pytest.mark.parametrize("kind", ["parquet", "csv"])
def test_recorded_samples_come_back_with_their_times_and_trials(tmp_path, kind):
    meter = ReplayMeter(recording(tmp_path, kind))
    assert meter.names == ("power_w",)
    assert [record.time_unix_s for record in meter.records] == [T0, T0 + 1, T0 + 2, T0 + 3, T0 + 4]
    assert {record.trial for record in meter.records} == {3}
    assert [meter.read().values["power_w"] for _ in range(5)] == [100.0, 110.0, 120.0, 130.0, 140.0]


def test_a_recording_that_has_ended_gives_nan_with_a_reason(tmp_path):
    meter = ReplayMeter(recording(tmp_path))
    for _ in range(5):
        meter.read()
    figures = meter.read()
    assert math.isnan(figures.values["power_w"])
    assert figures.reasons == {"power_w": "the recording has ended"}


def test_what_was_not_measured_then_is_nan_with_a_reason_now(tmp_path):
    figures = ReplayMeter(recording(tmp_path, energy_counter_j=np.full(5, np.nan))).read()
    assert math.isnan(figures.values["energy_counter_j"])
    assert set(figures.reasons) == {"energy_counter_j"}


def test_samples_are_replayed_in_the_order_of_their_times(tmp_path):
    meter = ReplayMeter(recording(tmp_path, time_unix_s=T0 + np.arange(5)[::-1]))
    assert meter.read().values["power_w"] == 140.0


def test_a_window_of_the_recording_matches_the_closed_form(tmp_path):
    figures = ReplayMeter(recording(tmp_path)).window(T0 + 1, T0 + 3)
    assert figures.values["power_w"] == pytest.approx(120.0)
    assert figures.values["energy_j"] == pytest.approx(240.0)


def test_a_sampler_reads_a_replay_like_any_meter(tmp_path, scripted_sampler):
    sampler = scripted_sampler(ReplayMeter(recording(tmp_path)))
    for _ in range(6):
        sampler.sample()
    powers = [record.values["power_w"] for record in sampler.drain()]
    assert powers == pytest.approx([100.0, 110.0, 120.0, 130.0, 140.0, math.nan], nan_ok=True)


RECORD = """
import json, sys, time
from pathlib import Path
from harness.hardware import ReplayMeter, Sampler, Watched
from harness.store import telemetry_frame, to_parquet
gpu, path = sys.argv[1], Path(sys.argv[2])
with Sampler(Watched(gpu_uuid=gpu), interval_s=0.02) as sampler:
    with sampler.labelled(3):
        start = time.time()
        time.sleep(0.2)
        end = time.time()
    live = sampler.window(start, end)
records = sampler.drain()
path.write_bytes(to_parquet(telemetry_frame(records)))
meter = ReplayMeter(path)
replayed = meter.window(start, end)
same = [(a.time_unix_s, a.trial, repr(a.values)) == (b.time_unix_s, b.trial, repr(b.values))
        for a, b in zip(records, meter.records, strict=True)]
print(json.dumps([dict(live.values), dict(replayed.values), all(same), len(same), [r.trial for r in records]]))
"""


def test_a_recording_replays_to_the_same_samples_and_the_same_figures(nvml_stub, tmp_path):
    gpu = "GPU-aaaaaaaa-1111-2222-3333-444444444444"
    command = [sys.executable, "-W", "error", "-c", RECORD, gpu, str(tmp_path / "telemetry.parquet")]
    environment = nvml_stub.environment(errors="UtilizationRates=3")  # else the stub looks busy
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=True)
    live, replayed, same, count, trials = json.loads(done.stdout)
    assert replayed == pytest.approx(live, rel=1e-12, nan_ok=True)
    assert live["energy_j"] > 0
    assert live["idle_power_w"] > 100
    assert same
    assert count > 10
    assert trials == sorted(trials)
    assert set(trials) == {-1, 3}


def test_files_of_a_version_with_fewer_meters_replay_too(tmp_path):
    meter = ReplayMeter(recording(tmp_path, trial=[-1, -1, 3, 3, 3]))
    figures = meter.window(T0 + 2, T0 + 4)
    assert figures.values["energy_j"] == pytest.approx(260.0)
    assert figures.values["idle_power_w"] == pytest.approx(110.0)
    assert math.isnan(figures.values["memory_rss_peak_mib"])


def test_the_processors_energy_does_not_stand_in_for_that_of_a_silent_gpu(tmp_path):
    joules = np.linspace(0, 40, 5)
    alone = recording(tmp_path, power_w=np.full(5, np.nan), cpu_energy_j=joules)
    figures = ReplayMeter(alone).window(T0, T0 + 4)
    assert figures.values["energy_j"] == pytest.approx(40.0)
    beside = recording(tmp_path, power_w=np.full(5, np.nan), cpu_energy_j=joules, memory_device_mib=np.ones(5))
    assert math.isnan(ReplayMeter(beside).window(T0, T0 + 4).values["energy_j"])


def test_a_recording_without_trials_does_not_tell_what_is_idle(tmp_path):
    figures = ReplayMeter(recording(tmp_path, trial=np.full(5, -1))).window(T0, T0 + 4)
    assert math.isnan(figures.values["idle_power_w"])


def test_a_file_that_is_no_telemetry_is_refused_by_name(tmp_path):
    (tmp_path / "a.csv").write_text("x,y\n1,2\n")
    (tmp_path / "b.parquet").write_bytes(b"no parquet")
    (tmp_path / "c.csv").write_text("time_unix_s,trial,power_w\n1,0,hot\n")
    for name, said in (("a.csv", "no column time_unix_s, trial"), ("b.parquet", ""), ("c.csv", "hot"), ("d.csv", "")):
        with pytest.raises(StorageError, match=rf"{name}: not telemetry \(.*{said}"):
            ReplayMeter(tmp_path / name)
