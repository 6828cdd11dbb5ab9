"""The telemetry of a run, in parts until the run is put together."""

from __future__ import annotations

import io
import time
from collections.abc import Sequence
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from harness.errors import StorageError
from harness.records import TelemetryRecord
from harness.store import RunFolder, telemetry_frame, to_parquet
from harness.store.files import read_parquet

_PARTS = "telemetry"
EVERY_S = 10.0
"""Least seconds between two parts of the trials: a table takes as long to write as the rest of a small trial's result.
Whoever kills the search costs it the telemetry of as long at most."""


class Trials:
    """The telemetry of trials on its way into parts."""

    def __init__(self, folder: RunFolder) -> None:
        self._folder = folder
        self._samples: list[TelemetryRecord] = []
        self._name = ""
        self._written_s = time.monotonic()

    def add(self, name: str, samples: Sequence[TelemetryRecord]) -> None:
        """Add what was sampled until a stretch ended; the part that it is written to may be called ``name``."""
        self._samples += samples
        self._name = name
        if time.monotonic() - self._written_s >= EVERY_S:
            self.flush()

    def flush(self) -> None:
        """Write what there is."""
        write(self._folder, self._name, self._samples)
        self._samples, self._written_s = [], time.monotonic()


def write(folder: RunFolder, name: str, samples: Sequence[TelemetryRecord]) -> None:
    """Write what was sampled as the part ``name``; a part of that name is replaced."""
    if samples:
        folder.write(f"{_PARTS}/{name}.parquet", _packed(telemetry_frame(samples)))


def _packed(frame: pd.DataFrame) -> bytes:
    """Return the frame as a Parquet file, without what pandas adds to one, which takes longer than the rest."""
    buffer = io.BytesIO()
    pq.write_table(pa.table({name: frame[name].to_numpy() for name in frame}), buffer)
    return buffer.getvalue()


def gather(folder: RunFolder) -> None:
    """Write ``telemetry.parquet`` from all parts, in the order of time.

    A part that is damaged is left out: a gap in the telemetry is no reason to lose the rest of it, or the run.
    """
    empty = telemetry_frame([])
    parts = [_read(path, like=empty) for path in sorted((folder.path / _PARTS).glob("*.parquet"))]
    filled = [part for part in parts if len(part)] or [empty]
    whole = pd.concat(filled, ignore_index=True).sort_values("time_unix_s", kind="stable", ignore_index=True)
    folder.write("telemetry.parquet", to_parquet(whole))


def _read(path: Path, *, like: pd.DataFrame) -> pd.DataFrame:
    """Return the part at ``path``; nothing of it when it is not whole, or not telemetry.

    Meters that an older version did not have are NaN.
    """
    try:
        part = read_parquet(path)
    except StorageError:
        return like
    if not {"time_unix_s", "trial"} <= set(part) <= set(like):
        return like
    whole = part.reindex(columns=like.columns)
    return whole if whole.dtypes.equals(like.dtypes) else like
