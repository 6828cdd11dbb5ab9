"""How much memory is free: what this process may still take without anyone being killed for it."""

from __future__ import annotations

from pathlib import Path

import psutil

from harness.hardware.cgroup import memory_left_mib
from harness.hardware.machine import MIB


def free_host_mib(root: Path = Path("/")) -> float:
    """Return the main memory that this process may still take: what the host has, and what its control groups leave.

    In a container the host may have far more than the group lets anyone take. ``root`` stands for the top of the file
    system that the groups are read from.
    """
    available, left = psutil.virtual_memory().available / MIB, memory_left_mib(root)
    return float(available if left is None else min(available, left))
