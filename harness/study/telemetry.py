"""The telemetry of a run, one part per trial until the run is put together."""

from __future__ import annotations

import pandas as pd

from harness.hardware import Sampler
from harness.store import RunFolder, storage_errors, telemetry_frame, to_parquet

_PARTS = "telemetry"


def flush(folder: RunFolder, sampler: Sampler, name: str) -> None:
    """Write what was sampled since the last time as the part ``name``; a part of that name is replaced."""
    frame = telemetry_frame(sampler.drain())
    if len(frame):
        folder.write(f"{_PARTS}/{name}.parquet", to_parquet(frame))


def gather(folder: RunFolder) -> None:
    """Write ``telemetry.parquet`` from all parts, in the order of time."""
    paths = sorted((folder.path / _PARTS).glob("*.parquet"))
    with storage_errors(folder.path / _PARTS):
        frames = [telemetry_frame([]), *(pd.read_parquet(path) for path in paths)]
    filled = [frame for frame in frames if len(frame)] or frames[:1]
    whole = pd.concat(filled, ignore_index=True).sort_values("time_unix_s", kind="stable", ignore_index=True)
    folder.write("telemetry.parquet", to_parquet(whole))
