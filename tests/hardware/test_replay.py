from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest

from harness.errors import StorageError
from harness.hardware import ReplayMeter, Sampler
from harness.records import TELEMETRY

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


def test_a_sampler_reads_a_replay_like_any_meter(tmp_path):
    sampler = Sampler([ReplayMeter(recording(tmp_path))])
    for _ in range(6):
        sampler.sample()
    powers = [record.values["power_w"] for record in sampler.drain()]
    assert powers == pytest.approx([100.0, 110.0, 120.0, 130.0, 140.0, math.nan], nan_ok=True)


def test_what_a_sampler_drained_replays_to_the_same_records(tmp_path):
    first = Sampler([ReplayMeter(recording(tmp_path))])
    for _ in range(3):
        first.sample()
    drained = first.drain()
    rows = [{"time_unix_s": each.time_unix_s, "trial": each.trial, **each.values} for each in drained]
    pd.DataFrame(rows).to_parquet(tmp_path / "again.parquet")
    again = ReplayMeter(tmp_path / "again.parquet")
    assert again.names == TELEMETRY
    for old, new in zip(drained, again.records, strict=True):
        assert (old.time_unix_s, old.trial) == (new.time_unix_s, new.trial)
        assert dict(new.values) == pytest.approx(dict(old.values), nan_ok=True)


def test_a_file_that_is_no_telemetry_is_refused_by_name(tmp_path):
    (tmp_path / "a.csv").write_text("x,y\n1,2\n")
    (tmp_path / "b.parquet").write_bytes(b"no parquet")
    (tmp_path / "c.csv").write_text("time_unix_s,trial,power_w\n1,0,hot\n")
    for name, said in (("a.csv", "no column time_unix_s, trial"), ("b.parquet", ""), ("c.csv", "hot"), ("d.csv", "")):
        with pytest.raises(StorageError, match=rf"{name}: not telemetry \(.*{said}"):
            ReplayMeter(tmp_path / name)
