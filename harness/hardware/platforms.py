"""What is not measured on systems other than Linux, in words for whoever starts a measurement there."""

from __future__ import annotations

import sys

_EVERYWHERE = "the CPU's caches, affinity and energy, pressure, control groups, and short peaks of memory"
_NOT_THERE = {
    "darwin": f"{_EVERYWHERE}, and all of NVIDIA's meters",
    "win32": f"{_EVERYWHERE}, and the CPU's instruction sets",
}
_NAMES = {"darwin": "macOS", "win32": "Windows"}


def not_measured_here(system: str = sys.platform) -> str:
    """Return a line on what a measurement lacks on a system, by Python's name of it; ``""`` on Linux."""
    if system == "linux":
        return ""
    name = _NAMES.get(system, system)
    missing = _NOT_THERE.get(system, _EVERYWHERE)
    return f"harness is tested on Linux alone; on {name} these are not measured and stay empty: {missing}"
