"""The telemetry of a run is put together from its parts, whichever version wrote them."""

import pandas as pd

from harness.records import TELEMETRY, TelemetryRecord
from harness.store import RunFolder, telemetry_frame, to_parquet
from harness.study import telemetry


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
