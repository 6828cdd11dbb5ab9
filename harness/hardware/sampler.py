"""Telemetry of this process, its GPU and its machine, sampled by a process of its own.

The process that works is not held up for it: another one reads the meters (:mod:`harness.hardware.recorder`), writes
its rows where both can read them, and is asked for a row at once where a stretch begins and ends.
"""

from __future__ import annotations

import math
import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np

from harness.hardware.meters import Watched
from harness.hardware.rapl import RaplMeter
from harness.hardware.recorder import WIDTH
from harness.hardware.recorder_process import RecorderProcess
from harness.hardware.stretch import BASELINE_S, Floats, idle_power, summarise
from harness.records import NAN, TELEMETRY, Figures, TelemetryRecord

_BLOCK = 1024
"""Rows that are read at once on the way back to where a stretch begins."""
_UNSEEN = 0.01
"""Share of a stretch, at its end, for which no sample is asked for: many trials of one program end close together."""


@dataclass
class _Label:
    trial: int
    start_unix_s: float
    end_unix_s: float = math.inf


class Sampler:
    """Samples of what is ``watched`` every ``interval_s`` seconds, from :meth:`start` to :meth:`stop`.

    The last ``keep`` samples stay for :meth:`window` and :meth:`drain`; at the default 10 Hz they are three hours and
    20 MiB. Of a longer stretch only the part kept is summarised, and its energy is NaN. Whatever becomes of the process
    that samples, figures are then NaN with the reason, and nothing else happens. A sampler belongs to the process that
    made it. ``source`` takes the samples in place of a process of its own. Without ``baseline`` the idle machine is not
    looked at first, and its power is NaN.
    """

    def __init__(
        self,
        watched: Watched,
        *,
        interval_s: float = 0.1,
        keep: int = 108_000,
        source: RecorderProcess | None = None,
        baseline: bool = True,
    ) -> None:
        if not interval_s > 0:
            raise ValueError(f"interval_s must be above 0, not {interval_s}")
        self._watched = watched
        self._source = source or RecorderProcess(watched, interval_s=interval_s, keep=keep)
        self._lock = threading.RLock()
        self._labels: list[_Label] = []
        """Of samples that are not drained yet."""
        self._drained = 0
        self._missed: deque[float] = deque(maxlen=keep)
        """When a sample was asked for and nobody took it."""
        self._started = False
        self._first_unix_s = math.inf
        """When the first sample was taken, where something tells power."""
        self._begun_unix_s = math.inf
        """When the first labelled stretch began."""
        self._baseline = baseline
        why = "power is not available on this machine" if baseline else "idle power was not measured"
        self._idle = Figures.missing(why, "idle_power_w")

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        """Start sampling; does nothing if it has started already.

        Where something tells power, BASELINE_S seconds of idleness are seen before this returns, unless they are not
        wanted.
        """
        with self._lock:
            if self._started:
                return
            self._started = True
            self._source.start()
            first_s = self._source.ask()
        if first_s is not None and self._baseline and self._metered():
            self._first_unix_s = first_s
            time.sleep(BASELINE_S)
            self._see_idle(self.sample())

    def stop(self) -> None:
        """Stop sampling and keep what was sampled; does nothing if it has not started."""
        with self._lock:
            self._started = False
            self._source.stop()

    def sample(self) -> float:
        """Have a sample taken now and return its Unix time in seconds.

        Taken at both ends of a stretch, it makes :meth:`window` exact, however short the stretch.
        """
        with self._lock:
            taken_s = self._source.ask()
            if taken_s is None:
                taken_s = time.time()
                self._missed.append(taken_s)
            return taken_s

    @contextmanager
    def labelled(self, trial: int) -> Iterator[None]:
        """Mark the samples of a stretch with its trial, with one sample at each end.

        Those before the first such stretch tell what the idle machine draws; those between two are nobody's.
        """
        start_s = self.sample()
        with self._lock:
            self._see_idle(start_s)
            self._begun_unix_s = min(self._begun_unix_s, start_s)
            label = _Label(trial, start_s)
            self._labels.append(label)
        try:
            yield
        finally:
            label.end_unix_s = self.sample()

    def drain(self) -> list[TelemetryRecord]:
        """Return the samples taken since the last call, oldest first; NaN where one was asked for in vain."""
        with self._lock:
            ring, count = self._source.ring, self._count()
            rows = self._read(max(self._drained, ring.oldest) if ring else 0, count)
            found = [(time_s, dict(zip(TELEMETRY, values, strict=True))) for time_s, *values in rows.tolist()]
            found += [(time_s, dict.fromkeys(TELEMETRY, NAN)) for time_s in self._missed]
            records = [
                TelemetryRecord(time_unix_s=time_s, values=values, trial=trial)
                for time_s, values in sorted(found, key=lambda row: row[0])
                if (trial := self._trial_at(time_s)) >= 0 or time_s < self._begun_unix_s
            ]
            self._drained = count
            self._missed.clear()
            self._labels = [label for label in self._labels if label.end_unix_s == math.inf]
        return records

    def window(self, start_unix_s: float, end_unix_s: float) -> Figures:
        """Return the figures of a stretch, times as of ``time.time()``; see :func:`harness.hardware.stretch.summarise`.

        Takes a sample first if the newest tells of less than 99 % of the stretch. ``idle_power_w`` is the power before
        the first stretch that was labelled.
        """
        with self._lock:
            if not self._newest_unix_s() >= end_unix_s - _UNSEEN * (end_unix_s - start_unix_s):
                self.sample()
            times, columns = self._table(start_unix_s)
            return summarise(times, columns, start_unix_s, end_unix_s, self._source.reasons()) | self._idle

    def _metered(self) -> bool:
        """Tell whether something here may tell power."""
        packages = RaplMeter(Path(self._watched.root))
        return bool(self._watched.gpu_uuid) or math.isfinite(packages.read().values["cpu_energy_j"])

    def _see_idle(self, until_unix_s: float) -> None:
        """Take what was drawn since the start for that of the idle machine, until work begins."""
        if self._first_unix_s < until_unix_s <= self._begun_unix_s:
            times, columns = self._table(self._first_unix_s)
            self._idle = idle_power(times, columns, until_unix_s, self._source.reasons())

    def _count(self) -> int:
        return self._source.ring.count if self._source.ring else 0

    def _newest_unix_s(self) -> float:
        count = self._count()
        rows = self._read(max(0, count - 1), count)
        return float(rows[-1, 0]) if len(rows) else -math.inf

    def _read(self, first: int, last: int) -> Floats:
        """Return rows as (N, 1 + TELEMETRY)."""
        data = self._source.ring.read(first, last) if self._source.ring else b""
        return np.frombuffer(data).reshape(-1, WIDTH)

    def _since(self, start_s: float) -> Floats:
        """Return the rows from the last one before ``start_s`` on."""
        last = self._count()
        oldest = self._source.ring.oldest if self._source.ring else 0
        blocks: list[Floats] = []
        while last > oldest:
            first = max(oldest, last - _BLOCK)
            blocks.append(self._read(first, last))
            if len(blocks[-1]) and blocks[-1][0, 0] <= start_s:
                break
            last = first
        return np.concatenate([np.empty((0, WIDTH)), *blocks[::-1]])

    def _table(self, start_s: float) -> tuple[Floats, dict[str, Floats]]:
        """Return times and columns of the samples that tell of what came after ``start_s``."""
        rows = self._since(start_s)
        columns = dict(zip(TELEMETRY, rows[:, 1:].T, strict=True))
        if self._watched.gpu_uuid:
            del columns["cpu_energy_j"]  # the processor's would pass for that of a GPU that has gone silent
        return rows[:, 0], columns

    def _trial_at(self, time_unix_s: float) -> int:
        inside = (each.trial for each in self._labels if each.start_unix_s <= time_unix_s <= each.end_unix_s)
        return next(inside, -1)
