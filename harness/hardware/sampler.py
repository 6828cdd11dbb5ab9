"""A background thread that reads meters at a steady pace.

One sample of the host and one GPU took 51 us on one core of a 2.6 GHz EPYC 9005 (mean of 3000): 12 us for the host and
33 us for the GPU, against a stub of NVML, so without the time of a driver. At 10 Hz that is 0.05 % of a core. NVML is
called without the GIL.
"""

from __future__ import annotations

import threading
import time
from array import array
from collections import deque
from collections.abc import Sequence
from itertools import islice
from types import TracebackType
from typing import Self

import numpy as np
import psutil

from harness.errors import HarnessError
from harness.hardware.meters import Meter
from harness.hardware.stretch import summarise
from harness.records import NAN, TELEMETRY, Figures, TelemetryRecord

_FAILURES = (ArithmeticError, HarnessError, LookupError, OSError, RuntimeError, ValueError, psutil.Error)
"""What a meter may raise for one sample: trouble with the system it reads. Anything else is a bug and shows as one."""


class Sampler:
    """Samples of ``meters`` every ``interval_s`` seconds, in a daemon thread, from :meth:`start` to :meth:`stop`.

    Samples carry :attr:`trial`, which the owner sets when a trial starts and ends. The last ``keep`` samples stay
    for :meth:`window` and :meth:`drain`; at the default 10 Hz they are three hours and 20 MiB. Of a longer stretch only
    the part kept is summarised, and its energy is NaN. A sampler belongs to the process that made it.
    """

    def __init__(self, meters: Sequence[Meter], *, interval_s: float = 0.1, keep: int = 108_000) -> None:
        if not interval_s > 0:
            raise ValueError(f"interval_s must be above 0, not {interval_s}")
        self.trial = -1
        self._meters = tuple(meters)
        self._interval_s = interval_s
        metered = {name for meter in meters for name in meter.names}
        self._reasons = {name: "no meter measures it" for name in TELEMETRY if name not in metered}
        self._rows: deque[array[float]] = deque(maxlen=keep)
        """Of each sample its time, its trial and TELEMETRY, as doubles."""
        self._undrained = 0
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Start sampling; does nothing if it has started already."""
        if self._thread is None:
            self._stopping.clear()
            self._thread = threading.Thread(target=self._run, name="harness-sampler", daemon=True)
            self._thread.start()

    def stop(self) -> None:
        """Stop sampling and keep what was sampled; does nothing if it has not started."""
        if self._thread is not None:
            self._stopping.set()
            self._thread.join(timeout=10.0)  # a hung driver must not hang the program
            self._thread = None

    def sample(self) -> float:
        """Take a sample now, in the caller's thread, and return its Unix time in seconds.

        Taken at both ends of a stretch, it makes :meth:`window` exact, however short the stretch.
        """
        with self._lock:
            figures = Figures()
            for meter in self._meters:
                figures |= _read(meter)
            time_unix_s = time.time()
            values = (figures.values.get(name, NAN) for name in TELEMETRY)
            self._reasons.update(figures.reasons)
            self._rows.append(array("d", (time_unix_s, self.trial, *values)))
            self._undrained = min(self._undrained + 1, len(self._rows))
        return time_unix_s

    def drain(self) -> list[TelemetryRecord]:
        """Return the samples taken since the last call, oldest first."""
        with self._lock:
            rows = list(islice(self._rows, len(self._rows) - self._undrained, None))
            self._undrained = 0
        return [
            TelemetryRecord(time_unix_s=row[0], values=dict(zip(TELEMETRY, row[2:], strict=True)), trial=int(row[1]))
            for row in rows
        ]

    def window(self, start_unix_s: float, end_unix_s: float) -> Figures:
        """Return the figures of a stretch, times as of ``time.time()``; see :func:`harness.hardware.stretch.summarise`.

        Takes a sample first if the newest is older than the end of the stretch.
        """
        with self._lock:
            newest_s = self._rows[-1][0] if self._rows else -np.inf
        if newest_s < end_unix_s:
            self.sample()
        with self._lock:
            rows = _since(self._rows, start_unix_s)
            reasons = dict(self._reasons)
        table = np.array(rows).T
        columns = dict(zip(TELEMETRY, table[2:], strict=True))
        return summarise(table[0], columns, start_unix_s, end_unix_s, reasons)

    def _run(self) -> None:
        due_s = time.monotonic()
        while not self._stopping.wait(max(0.0, due_s - time.monotonic())):
            self.sample()
            due_s = max(due_s + self._interval_s, time.monotonic())  # a beat that was missed is not made up for


def _read(meter: Meter) -> Figures:
    try:
        return meter.read()
    except _FAILURES as error:
        return Figures.missing(f"{type(meter).__name__} failed: {error}", *meter.names)


def _since(rows: deque[array[float]], start_s: float) -> list[array[float]]:
    """Return the rows from the last one before ``start_s`` on."""
    found: list[array[float]] = []
    for row in reversed(rows):
        found.append(row)
        if row[0] <= start_s:
            break
    return found[::-1]
