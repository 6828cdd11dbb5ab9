"""What memory there is: what may still be allocated, and what this process holds."""

from __future__ import annotations

from typing import NamedTuple

import psutil
import torch

from harness.hardware.cgroup import read_limits

MIB = 2**20


class Held(NamedTuple):
    """Memory of this process, in MiB."""

    device: float
    host: float


def free_mib(device: torch.device) -> float:
    """Return what may still be allocated on the device; on the host the control group's limit counts too."""
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        return float(free / MIB)
    available = psutil.virtual_memory().available / MIB
    limit = read_limits().memory_mib
    return float(available if limit is None else min(available, limit - rss_mib()))


def held_mib(device: torch.device) -> Held:
    """Return what torch has of the device's memory, 0 but on CUDA, and the resident memory of the process."""
    return Held(torch.cuda.memory_reserved(device) / MIB if device.type == "cuda" else 0.0, rss_mib())


def rss_mib() -> float:
    """Return the resident memory of this process."""
    return float(psutil.Process().memory_info().rss / MIB)
