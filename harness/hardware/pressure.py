"""Pressure: the share of the time in which some task waited for a CPU, or for memory.

Source: Linux pressure stall information, https://docs.kernel.org/accounting/psi.html.
"""

from __future__ import annotations

import math
import time
from pathlib import Path

from harness.records import Figures

FOLDER = "proc/pressure"


def stalled_us(path: Path) -> float:
    """Return the microseconds since boot in which some task waited; NaN where the system does not tell."""
    try:
        line = path.read_text().splitlines()[0]
        return float(line.rpartition("total=")[2])
    except (OSError, IndexError, ValueError):
        return math.nan


class PressureMeter:
    """Pressure on the CPU and on memory since the last reading, in percent of the time."""

    names = ("cpu_pressure_percent", "memory_pressure_percent")

    def __init__(self, root: Path = Path("/")) -> None:
        self._paths = {name: root / FOLDER / name.partition("_")[0] for name in self.names}
        self._last_s = time.monotonic()
        self._last_us = {name: stalled_us(path) for name, path in self._paths.items()}

    def read(self) -> Figures:
        """Return both; NaN where the kernel tells none, or no time has passed."""
        now_s = time.monotonic()
        passed_us = 1e6 * (now_s - self._last_s)
        if passed_us <= 0:
            return Figures.missing("no time has passed since the last reading", *self.names)
        figures = Figures()
        for name, path in self._paths.items():
            total_us = stalled_us(path)
            percent = 100 * (total_us - self._last_us[name]) / passed_us
            self._last_us[name] = total_us
            if math.isnan(percent):
                figures |= Figures.missing(f"{path} is not available; it needs Linux 4.20 with CONFIG_PSI", name)
            else:
                figures |= Figures({name: percent})
        self._last_s = now_s
        return figures
