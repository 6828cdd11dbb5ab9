"""What times single calls on a device: the device's own events where it has them, else the host's clock."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch

from harness.hardware.cpu import read_caches
from harness.measure.timing import LEAST_S, elapsed_s, new_event
from harness.records import NAN

Call = Callable[[], object]

FLUSH_FACTOR = 2
"""Size of the buffer that is written to empty the L2 cache, in sizes of that cache."""


class Clock:
    """Times calls on a device.

    On CUDA calls are queued between events on the current stream and not waited for until the block ends. While the GPU
    still writes the flush buffer the host has time to queue the call, so what is timed is the GPU's work and not the
    host's; the method is that of ``triton.testing.do_bench``. Elsewhere each call is waited for, and there is no flush:
    sizes beyond the caches do the same.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        flushed = FLUSH_FACTOR * cache_bytes(device) if device.type == "cuda" else 0
        self._flushed = torch.empty(int(flushed), dtype=torch.int8, device=device)

    def block(self, work: Call, calls: int, *, cold: bool) -> list[float]:
        """Return the seconds of each of so many calls; ``cold``: with an L2 cache that holds none of its data."""
        if self._device.type != "cuda":
            return [elapsed_s(work, self._device) for _ in range(calls)]
        stream = torch.cuda.current_stream(self._device)
        pairs = [(new_event(enable_timing=True), new_event(enable_timing=True)) for _ in range(calls)]
        for begin, end in pairs:
            if cold:
                self._flushed.zero_()
            begin.record(stream)
            work()
            end.record(stream)
        torch.cuda.synchronize(self._device)
        return [max(begin.elapsed_time(end) * 1e-3, LEAST_S) for begin, end in pairs]


def cache_bytes(device: torch.device, root: Path = Path("/")) -> float:
    """Return the size of a GPU's L2 or of the CPU's last-level cache; NaN where the system does not tell it.

    The last cache before main memory decides what a copy measures. ``root`` stands for the top of the file system.
    """
    if device.type == "cuda":
        return float(torch.cuda.get_device_properties(device).L2_cache_size)
    caches_kib = read_caches(root) if device.type == "cpu" else {}
    return 1024.0 * caches_kib[max(caches_kib)] if caches_kib else NAN
