"""A recording of telemetry in place of the meters that made it: reports and tests then need no GPU."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pandas as pd

from harness.errors import StorageError
from harness.hardware.nvml import GPU_TELEMETRY
from harness.hardware.stretch import idle_power, summarise
from harness.records import TELEMETRY, Figures, TelemetryRecord

_ENDED = "the recording has ended"
_EMPTY = "not measured when this was recorded"


class ReplayMeter:
    """Telemetry from a Parquet or CSV file with the columns ``time_unix_s``, ``trial`` and some of records.TELEMETRY.

    :meth:`read` gives the recorded samples one by one, in the order of their times; :attr:`records` has them all, with
    their times, and :meth:`window` summarises a stretch of the recorded time.
    """

    def __init__(self, path: Path) -> None:
        frame = _load(path)
        self.names = tuple(name for name in TELEMETRY if name in frame)
        self.records = tuple(
            TelemetryRecord(time_unix_s=time_s, values=dict(zip(self.names, values, strict=True)), trial=trial)
            for time_s, trial, *values in frame[["time_unix_s", "trial", *self.names]].itertuples(
                index=False, name=None
            )
        )
        self._columns = {name: frame[name].to_numpy() for name in ("time_unix_s", "trial", *self.names)}
        self._next = 0

    def read(self) -> Figures:
        """Return the next recorded sample; NaN once the recording has ended."""
        if self._next == len(self.records):
            return Figures.missing(_ENDED, *self.names)
        values = self.records[self._next].values
        self._next += 1
        return Figures(values, {name: _EMPTY for name, value in values.items() if math.isnan(value)})

    def window(self, start_unix_s: float, end_unix_s: float) -> Figures:
        """Return what :meth:`harness.hardware.Sampler.window` would have returned when this was recorded."""
        times = self._columns["time_unix_s"]
        labelled = times[self._columns["trial"] >= 0]
        columns = {name: self._columns[name] for name in self.names}
        if any(np.isfinite(columns[name]).any() for name in GPU_TELEMETRY if name in columns):
            columns.pop("cpu_energy_j", None)  # what a GPU does not tell, the processor does not tell for it
        idle = idle_power(times, columns, float(labelled.min()) if len(labelled) else -math.inf, {})
        return summarise(times, columns, start_unix_s, end_unix_s, {}) | idle


def _load(path: Path) -> pd.DataFrame:
    try:
        frame = pd.read_parquet(path) if path.suffix == ".parquet" else pd.read_csv(path)
        lacking = sorted({"time_unix_s", "trial"} - set(frame))
        if lacking:
            raise ValueError(f"no column {', '.join(lacking)}")
        figures = {name: np.float64 for name in ("time_unix_s", *TELEMETRY) if name in frame}
        frame = frame.astype({"trial": np.int64, **figures})
    except (OSError, ValueError) as error:
        raise StorageError(f"{path}: not telemetry ({error}); give a telemetry.parquet, or the same as CSV") from error
    return frame.sort_values("time_unix_s", kind="stable")
