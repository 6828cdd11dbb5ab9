"""The telemetry of a run is put together from its parts, whichever version wrote them."""

from types import SimpleNamespace

import pandas as pd

from harness.records import TELEMETRY, TelemetryRecord
from harness.store import RunFolder, telemetry_frame, to_parquet
from harness.study import telemetry


def test_trials_of_a_while_share_a_part_and_what_is_held_back_can_be_written(tmp_path, monkeypatch):
    now = [100.0]
    monkeypatch.setattr("harness.study.telemetry.time", SimpleNamespace(monotonic=lambda: now[0]))
    folder = RunFolder(tmp_path)
    trials = telemetry.Trials(folder)
    for trial in range(8):
        now[0] += 3.0
        values = dict.fromkeys(TELEMETRY, 5.0)
        trials.add(f"{trial:06d}", [TelemetryRecord(time_unix_s=float(trial), values=values, trial=trial)])
    assert sorted(path.stem for path in (tmp_path / "telemetry").iterdir()) == ["000003", "000007"]
    trials.add("000008", [TelemetryRecord(time_unix_s=8.0, values=values, trial=8)])
    trials.flush()
    trials.flush()
    telemetry.gather(folder)
    assert list(pd.read_parquet(tmp_path / "telemetry.parquet")["trial"]) == list(range(9))


def test_parts_with_fewer_meters_are_kept_and_the_others_left_empty(tmp_path):
    folder = RunFolder(tmp_path)
    new, old = (
        TelemetryRecord(time_unix_s=float(number), values=dict.fromkeys(TELEMETRY, 5.0), trial=number)
        for number in (1, 2)
    )
    telemetry.write(folder, "trial-1", [new])
    fewer = telemetry_frame([old]).drop(columns=["power_instant_w", "cpu_energy_j"])
    folder.write("telemetry/trial-2.parquet", to_parquet(fewer))
    folder.write("telemetry/trial-3.parquet", to_parquet(pd.DataFrame({"time_unix_s": [3.0], "other": [1]})))
    folder.write("telemetry/trial-4.parquet", to_parquet(fewer.assign(power_w="hot")))
    telemetry.gather(folder)
    whole = pd.read_parquet(tmp_path / "telemetry.parquet")
    assert list(whole["trial"]) == [1, 2]
    assert list(whole["power_w"]) == [5.0, 5.0]
    assert whole["power_instant_w"].isna().tolist() == [False, True]
