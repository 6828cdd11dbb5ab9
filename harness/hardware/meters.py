"""Meters: each reads some names of records.TELEMETRY at one moment.

A meter belongs to the process that made it; what it watches may be another one.
"""

from __future__ import annotations

import ctypes
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import psutil

from harness.errors import HarnessError
from harness.hardware.nvml import GPU_TELEMETRY, Gpu, open_nvml
from harness.hardware.pressure import PressureMeter
from harness.hardware.rapl import RaplMeter
from harness.records import MIB, TELEMETRY, Figures

_FAILURES = (ArithmeticError, HarnessError, LookupError, OSError, RuntimeError, ValueError, psutil.Error)
"""What a meter may raise for one sample: trouble with the system it reads. Anything else is a bug and shows as one."""


@dataclass(frozen=True, slots=True)
class Watched:
    """One GPU, or the reason why there is none; beside it this process and this machine, as always."""

    gpu_uuid: str = ""
    """As NVML or torch write it; empty: no GPU is watched."""
    no_gpu: str = "no GPU is watched"
    """Why not."""
    root: str = "/"
    """Stands for the top of the file system that pressure and the processor's energy are read from."""


class Meter(Protocol):
    """Anything that can be read."""

    @property
    def names(self) -> tuple[str, ...]:
        """What it reads: names of records.TELEMETRY."""

    def read(self) -> Figures:
        """Return the figures of this moment, NaN with a reason for what cannot be told."""


class HostMeter:
    """CPU time and memory of the process ``pid``.

    ``cpu_percent`` is the CPU time of all threads over the wall time since the last reading: 100 is one core in full.
    """

    names = ("cpu_percent", "memory_rss_mib")

    def __init__(self, pid: int) -> None:
        self._process = psutil.Process(pid)
        self._cpu_s = _cpu_clock(pid)
        self._last_s = (time.perf_counter(), self._cpu_s())

    def read(self) -> Figures:
        """Return CPU use since the last reading, and resident memory."""
        wall_s, cpu_s = time.perf_counter(), self._cpu_s()
        since_wall_s, since_cpu_s = self._last_s
        resident = Figures({"memory_rss_mib": self._process.memory_info().rss / MIB})
        if wall_s <= since_wall_s:
            return resident | Figures.missing("no time has passed since the last reading", "cpu_percent")
        self._last_s = (wall_s, cpu_s)
        return resident | Figures({"cpu_percent": 100 * (cpu_s - since_cpu_s) / (wall_s - since_wall_s)})


class GpuMeter:
    """One GPU through NVML, with the memory that the process ``pid`` holds there."""

    names = GPU_TELEMETRY

    def __init__(self, gpu: Gpu, pid: int) -> None:
        self._gpu = gpu
        self._pid = pid

    def read(self) -> Figures:
        """Return one sample of the GPU."""
        return self._gpu.read({self._pid})


class AbsentMeter:
    """Stands in for a meter that this machine cannot have, and says why."""

    def __init__(self, reason: str, names: tuple[str, ...]) -> None:
        self.names = names
        self._figures = Figures.missing(reason, *names)

    def read(self) -> Figures:
        """Return NaN for every name."""
        return self._figures


def open_meters(watched: Watched, pid: int) -> tuple[Meter, ...]:
    """Return the meters of the process ``pid``, its GPU and its machine, with stand-ins that say what is not there."""
    root = Path(watched.root)
    gpu: Meter = AbsentMeter(watched.no_gpu, GPU_TELEMETRY)
    if watched.gpu_uuid:
        nvml = open_nvml()
        found = nvml.gpu_for(watched.gpu_uuid)
        lacking = nvml.reason or "NVML shows no GPU with the UUID of the device"
        gpu = GpuMeter(found, pid) if found else AbsentMeter(lacking, GPU_TELEMETRY)
    meters = (HostMeter(pid), PressureMeter(root), RaplMeter(root), gpu)
    metered = {name for meter in meters for name in meter.names}
    rest = tuple(name for name in TELEMETRY if name not in metered)
    return (*meters, AbsentMeter("no meter measures it", rest))


def read_safely(meter: Meter) -> Figures:
    """Return what a meter reads; where it fails, NaN with the failure as the reason."""
    try:
        return meter.read()
    except _FAILURES as error:
        return Figures.missing(f"{type(meter).__name__} failed: {error}", *meter.names)


def _cpu_clock(pid: int) -> Callable[[], float]:
    """Return what tells the CPU seconds of a process.

    On Linux that is its own CPU clock, whose steps are nanoseconds where those of ``/proc`` are 10 ms.
    """
    if sys.platform == "linux":
        clock = ctypes.c_int()
        if ctypes.CDLL(None).clock_getcpuclockid(pid, ctypes.byref(clock)) == 0:
            return lambda: time.clock_gettime(clock.value)
    process = psutil.Process(pid)
    return lambda: sum(process.cpu_times()[:2])
