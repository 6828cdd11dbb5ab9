"""Memory that is allocated now, and its peak over a stretch of work: a GPU's, or this process's to the page."""

from __future__ import annotations

import math
import re
from pathlib import Path

import psutil
import torch

from harness.hardware import trim
from harness.measure.memory import MemoryPeak
from harness.records import MIB, Figures, memory_mib

NAME = "memory_rss_peak_mib"
_PEAK = re.compile(r"^VmHWM:\s+(\d+) kB$", re.MULTILINE)


class ResidentPeak:
    """Context manager around a stretch of work; ``figures`` holds ``memory_rss_peak_mib`` afterwards.

    Linux keeps the most that was resident at once, and begins anew when asked to (``proc(5)``: ``VmHWM``,
    ``clear_refs``), so a peak of a millisecond counts. Entering a stretch ends the account of any other. Where the
    system keeps none, ``figures`` stays empty: samples taken now and then have to do.
    """

    def __init__(self, process: Path = Path("/proc/self")) -> None:
        self.figures = Figures()
        self._process = process
        self._kept = False

    def __enter__(self) -> ResidentPeak:
        try:
            (self._process / "clear_refs").write_text("5")
            self._kept = True
        except OSError:
            self._kept = False
        return self

    def __exit__(self, *_: object) -> None:
        self.look()

    def look(self) -> None:
        """Bring ``figures`` up to date in the middle of the stretch."""
        found = _PEAK.search((self._process / "status").read_text()) if self._kept else None
        if found is not None:
            self.figures = Figures({NAME: int(found[1]) / 1024})


class PeakMemory:
    """Context manager; ``mib`` holds the peak of what counts as the memory of work on a device, NaN if none is kept."""

    def __init__(self, device: torch.device) -> None:
        self._meter = ResidentPeak() if device.type == "cpu" else MemoryPeak(device)
        self.mib = math.nan

    def __enter__(self) -> PeakMemory:
        self._meter.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        self._meter.__exit__()
        self.mib = memory_mib(self._meter.figures.values)


def allocated_mib(device: torch.device) -> float:
    """Return what is allocated now: on a GPU by torch's live tensors, else by the process with all that it has loaded.

    What the C library keeps of freed memory is given back first, where it can be.
    """
    if device.type == "cuda":
        return torch.cuda.memory_allocated(device) / MIB
    if device.type == "mps":
        return torch.mps.current_allocated_memory() / MIB
    trim()
    return rss_mib()


def rss_mib() -> float:
    """Return the resident memory of this process."""
    return float(psutil.Process().memory_info().rss / MIB)
