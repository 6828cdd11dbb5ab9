"""What times single calls on a device: the device's own events where it has them, else the host's clock."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Protocol

import torch

from harness.measure import synchronize

Call = Callable[[], object]

FLUSH_FACTOR = 2
"""Size of the buffer that is written to empty the L2 cache, in sizes of that cache."""
MIN_S = 1e-9

_event: Callable[..., torch.cuda.Event] = torch.cuda.Event  # torch leaves its constructor untyped


class Clock(Protocol):
    """Times calls."""

    def block(self, work: Call, calls: int, *, cold: bool) -> list[float]:
        """Return the seconds of each of so many calls; ``cold``: with an L2 cache that holds none of its data."""


class HostClock:
    """Wall time until the device has done a call. There is no flush: sizes beyond the caches do the same on a CPU."""

    def __init__(self, device: torch.device) -> None:
        self._device = device

    def block(self, work: Call, calls: int, *, cold: bool) -> list[float]:  # noqa: ARG002 - the protocol's name
        """Return the seconds of each call."""
        clock, seconds = time.perf_counter, []
        for _ in range(calls):
            start = clock()
            work()
            synchronize(self._device)
            seconds.append(max(clock() - start, MIN_S))
        return seconds


class CudaClock:
    """Time between events on the current stream. Calls are queued, not waited for, until the block ends.

    While the GPU still writes the flush buffer the host has time to queue the call, so what is timed is the GPU's work
    and not the host's. The method is that of ``triton.testing.do_bench``.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        cache_bytes = int(torch.cuda.get_device_properties(device).L2_cache_size)
        self._flushed = torch.empty(max(FLUSH_FACTOR * cache_bytes, 1), dtype=torch.int8, device=device)

    def block(self, work: Call, calls: int, *, cold: bool) -> list[float]:
        """Return the seconds of each call."""
        stream = torch.cuda.current_stream(self._device)
        pairs = [(_event(enable_timing=True), _event(enable_timing=True)) for _ in range(calls)]
        for begin, end in pairs:
            if cold:
                self._flushed.zero_()
            begin.record(stream)
            work()
            end.record(stream)
        torch.cuda.synchronize(self._device)
        return [max(begin.elapsed_time(end) * 1e-3, MIN_S) for begin, end in pairs]


def clock_for(device: torch.device) -> Clock:
    """Return the best clock for the device."""
    return CudaClock(device) if device.type == "cuda" else HostClock(device)
