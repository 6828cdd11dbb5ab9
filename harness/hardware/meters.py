"""Meters: each reads some names of records.TELEMETRY at one moment.

A meter belongs to the process that made it.
"""

from __future__ import annotations

import os
import time
from typing import Protocol

import psutil

from harness.hardware.nvml import GPU_TELEMETRY, MIB, Gpu
from harness.records import Figures


class Meter(Protocol):
    """Anything that can be read."""

    @property
    def names(self) -> tuple[str, ...]:
        """What it reads: names of records.TELEMETRY."""

    def read(self) -> Figures:
        """Return the figures of this moment, NaN with a reason for what cannot be told."""


class HostMeter:
    """CPU time and memory of this process.

    ``cpu_percent`` is the CPU time of all threads over the wall time since the last reading: 100 is one core in full.
    It comes from the process's own CPU clock, whose steps are nanoseconds where those of ``/proc`` are 10 ms.
    """

    names = ("cpu_percent", "memory_rss_mib")

    def __init__(self) -> None:
        self._process = psutil.Process()
        self._last_s = (time.perf_counter(), time.process_time())
        self.peak_rss_mib = self._rss_mib()
        """Largest resident memory of all readings."""

    def read(self) -> Figures:
        """Return CPU use since the last reading, and resident memory."""
        wall_s, cpu_s = time.perf_counter(), time.process_time()
        since_wall_s, since_cpu_s = self._last_s
        rss_mib = self._rss_mib()
        self.peak_rss_mib = max(self.peak_rss_mib, rss_mib)
        if wall_s <= since_wall_s:
            unknown = Figures.missing("no time has passed since the last reading", "cpu_percent")
            return unknown | Figures({"memory_rss_mib": rss_mib})
        self._last_s = (wall_s, cpu_s)
        return Figures(
            {"cpu_percent": 100 * (cpu_s - since_cpu_s) / (wall_s - since_wall_s), "memory_rss_mib": rss_mib}
        )

    def _rss_mib(self) -> float:
        return float(self._process.memory_info().rss / MIB)


class GpuMeter:
    """One GPU through NVML; ``children`` counts the memory of this process's children with its own."""

    names = GPU_TELEMETRY

    def __init__(self, gpu: Gpu, *, children: bool = False) -> None:
        self.gpu = gpu
        self._process = psutil.Process() if children else None

    def read(self) -> Figures:
        """Return one sample of the GPU."""
        children = self._process.children(recursive=True) if self._process else []
        return self.gpu.read({os.getpid(), *(child.pid for child in children)})


class AbsentMeter:
    """Stands in for a meter that this machine cannot have, and says why."""

    def __init__(self, reason: str, names: tuple[str, ...] = GPU_TELEMETRY) -> None:
        self.names = names
        self._figures = Figures.missing(reason, *names)

    def read(self) -> Figures:
        """Return NaN for every name."""
        return self._figures
