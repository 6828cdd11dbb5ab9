"""Pressure: the share of the time in which some task waited for a CPU, or for memory.

Source: Linux pressure stall information, https://docs.kernel.org/accounting/psi.html.
"""

from __future__ import annotations

import math
import time
from pathlib import Path
from typing import NamedTuple

from harness.records import Figures

FOLDER = "proc/pressure"


class Stall(NamedTuple):
    """One reading of a counter."""

    total_us: float
    """Microseconds since boot in which some task waited; NaN where the system does not tell."""
    at_s: float
    """When, of ``time.monotonic()``."""


def read_stall(path: Path) -> Stall:
    """Return what a file of pressure counts now.

    Where tasks wait, so does whoever reads: the moment is the middle of the reading, and each counter has its own.
    """
    before_s = time.monotonic()
    try:
        line = path.read_text().splitlines()[0]
        total_us = float(line.rpartition("total=")[2])
    except (OSError, IndexError, ValueError):
        total_us = math.nan
    return Stall(total_us, (before_s + time.monotonic()) / 2)


def stalled_percent(first: Stall, second: Stall) -> float:
    """Return the percentage of the time between two readings in which some task waited; NaN where that is not known.

    Counter and clock are never read in one instant. What was counted between the two is put in the wrong interval, and
    of a short one that may be more than all of it: no share is more than 100.
    """
    passed_us = 1e6 * (second.at_s - first.at_s)
    if not passed_us > 0:
        return math.nan
    percent = 100 * (second.total_us - first.total_us) / passed_us
    return percent if math.isnan(percent) else min(percent, 100.0)


class PressureMeter:
    """Pressure on the CPU and on memory since the last reading, in percent of the time."""

    names = ("cpu_pressure_percent", "memory_pressure_percent")

    def __init__(self, root: Path = Path("/")) -> None:
        self._paths = {name: root / FOLDER / name.partition("_")[0] for name in self.names}
        self._last = {name: read_stall(path) for name, path in self._paths.items()}

    def read(self) -> Figures:
        """Return both; NaN where the kernel tells none, or no time has passed."""
        figures = Figures()
        for name, path in self._paths.items():
            first, second = self._last[name], read_stall(path)
            if not second.at_s > first.at_s:
                figures |= Figures.missing("no time has passed since the last reading", name)
                continue
            percent = stalled_percent(first, second)
            self._last[name] = second
            if math.isnan(percent):
                figures |= Figures.missing(f"{path} is not available; it needs Linux 4.20 with CONFIG_PSI", name)
            else:
                figures |= Figures({name: percent})
        return figures
