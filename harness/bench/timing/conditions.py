"""What the machine was like while something was measured, and what of it makes the figures doubtful."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from operator import or_
from pathlib import Path
from typing import Self

import numpy as np
import torch

from harness.bench.workload import UNWATCHED, Idle
from harness.hardware import Sampler, Stall, meters_for, read_stall, stalled_percent, throttle_names
from harness.hardware.stretch import MAX_IDLE_UTILIZATION_PERCENT
from harness.records import NAN, Figures, TelemetryRecord

_GPU_IDLE = 0x0001
"""Of the reasons for lower clocks, by bit, the one that is no obstacle."""
_SLOWING = 0x0004 | 0x0008 | 0x0010 | 0x0020 | 0x0040 | 0x0080
"""Those that come and go; the others are how someone has set the clocks."""

MAX_PSI_PERCENT = 10.0
MAX_OTHERS_MIB = 256.0
"""Memory that others hold on the GPU; a desktop's own takes less, a CUDA program more."""


@dataclass(frozen=True, slots=True)
class Mark:
    """The start of a stretch."""

    unix_s: float
    wall_s: float
    cpu_s: float
    stall: Stall


@dataclass(frozen=True, slots=True, kw_only=True)
class Conditions:
    """Of one stretch, under the names that a row has for them."""

    mem_device_peak_mib: float = NAN
    mem_rss_peak_mib: float = NAN
    idle_w: float = NAN
    sm_mhz_median: float = NAN
    temp_max_c: float = NAN
    throttle: str = ""
    psi_cpu: float = NAN
    cpu_wall_ratio: float = NAN
    flags: tuple[str, ...] = ()
    """What makes a figure doubtful, each as it is to be read."""


class Watch:
    """Samples what ``device`` does from its start to its end; ``idle`` is what it did before all work.

    The ``sampler`` is the device's own unless given; ``root`` stands for the top of the file system.
    """

    def __init__(
        self,
        device: torch.device,
        sampler: Sampler | None = None,
        *,
        idle: Idle = UNWATCHED,
        root: Path = Path("/"),
    ) -> None:
        self.metered = False
        """Whether there is a GPU that answers; known from the start on."""
        self._sampler = sampler or Sampler(meters_for(device), baseline=False)
        self._pressure = root / "proc/pressure/cpu"
        self._idle = idle

    def __enter__(self) -> Self:
        self._sampler.start()
        now_unix_s = self._sampler.sample()
        self.metered = math.isfinite(self._sampler.window(now_unix_s, now_unix_s).values["memory_device_peak_mib"])
        return self

    def __exit__(self, *_: object) -> None:
        self._sampler.stop()

    def begin(self) -> Mark:
        """Begin a stretch."""
        self._sampler.drain()
        unix_s = self._sampler.sample()
        return Mark(unix_s, time.perf_counter(), time.process_time(), read_stall(self._pressure))

    def end(self, mark: Mark) -> Conditions:
        """End the stretch that began last."""
        wall_s = max(time.perf_counter() - mark.wall_s, 1e-9)
        cpu_s = time.process_time() - mark.cpu_s
        psi = stalled_percent(mark.stall, read_stall(self._pressure))
        figures = self.figures(mark)
        samples = self._sampler.drain()
        reasons = _union(samples)
        return Conditions(
            mem_device_peak_mib=figures.values["memory_device_peak_mib"],
            mem_rss_peak_mib=figures.values["memory_rss_peak_mib"],
            idle_w=self._idle.power_w,
            sm_mhz_median=_median(samples, "sm_clock_mhz"),
            temp_max_c=figures.values["temperature_c"],
            throttle=", ".join(_named(reasons & ~_GPU_IDLE)),
            psi_cpu=psi,
            cpu_wall_ratio=cpu_s / wall_s,
            flags=(*_throttled(reasons), *_contended(samples, psi, self._idle)),
        )

    def figures(self, mark: Mark) -> Figures:
        """Return energy, power and peaks from the mark until now; see :meth:`harness.hardware.Sampler.window`."""
        return self._sampler.window(mark.unix_s, self._sampler.sample())


def watch_idle(device: torch.device, sampler: Sampler | None = None) -> Idle:
    """Return what the device does while nothing here works on it; it takes the time of a sampler's baseline."""
    began_unix_s = time.time()
    with sampler or Sampler(meters_for(device)) as running:
        values = running.window(began_unix_s, running.sample()).values
    return Idle(values["power_w"], values["gpu_utilization_percent"])


def _union(samples: Sequence[TelemetryRecord]) -> int:
    masks = (sample.values["throttle_reasons"] for sample in samples)
    return reduce(or_, (int(mask) for mask in masks if mask == mask), 0)


def _named(reasons: int) -> tuple[str, ...]:
    return throttle_names(reasons) or ()


def _throttled(reasons: int) -> list[str]:
    slowing = _named(reasons & _SLOWING)
    return [f"throttled: {', '.join(slowing)}"] if slowing else []


def _contended(samples: Sequence[TelemetryRecord], psi: float, idle: Idle) -> list[str]:
    flags = []
    if psi > MAX_PSI_PERCENT:
        flags.append(f"contended: some task waited for a CPU {psi:.0f} % of the time")
    if idle.busy_percent > MAX_IDLE_UTILIZATION_PERCENT:
        flags.append(f"contended: the GPU was {idle.busy_percent:.0f} % busy before the work began")
    others = [each.values["memory_device_mib"] - each.values["memory_process_mib"] for each in samples]
    most = max((each for each in others if each == each), default=0.0)
    if most > MAX_OTHERS_MIB:
        flags.append(f"contended: other processes hold {most:.0f} MiB of the GPU")
    return flags


def _median(samples: Sequence[TelemetryRecord], name: str) -> float:
    values = [sample.values[name] for sample in samples if sample.values[name] == sample.values[name]]
    return float(np.median(values)) if values else NAN
